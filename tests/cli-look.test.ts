/** Verbs that look at containers: lists, templates, the columns of ps(1), graphs; and real containers, where they can be. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binarySize, graphs, statsRow } from "../lib/cli/containers/stats.ts";
import { columnsFor, imageOf, rowOf } from "../lib/cli/containers/container-rows.ts";
import { eventData, eventLine } from "../lib/cli/containers/events.ts";
import { sparkline } from "../lib/cli/containers/sparkline.ts";
import { commandText, shortened, statusText } from "../lib/cli/containers/status.ts";
import { listed } from "../lib/cli/images/rows.ts";
import { withoutMountPoints } from "../lib/containers/changes.ts";
import { hostConfigOf } from "../lib/containers/host-config.ts";
import { environmentOf, inspectOf } from "../lib/containers/inspect.ts";
import { insideOf, namesById, rangesIn } from "../lib/containers/inside.ts";
import { mountPointsOf } from "../lib/containers/mount-points.ts";
import { parseProcess } from "../lib/containers/processes.ts";
import { cpuTime, elapsedTime, startTime, terminalName, type Moment } from "../lib/containers/ps-fields.ts";
import { psOptions } from "../lib/containers/ps-options.ts";
import type { ContainerRecord, ContainerStats } from "../lib/containers/index.ts";
import { statsOf } from "../lib/containers/stats.ts";
import { bytesThrough } from "../lib/network/index.ts";
import { topOf } from "../lib/containers/top.ts";
import { capabilityNames, parseMounts } from "../lib/containers/explain.ts";
import { addresses6In, addressesIn, listeningIn } from "../lib/containers/network-ends.ts";
import { CommandLine } from "./support/command-line.ts";
import { noBusybox, noLimits, SLOW, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";

const NOW = Date.UTC(2026, 10, 25, 12);
const [SECOND, MINUTE, HOUR] = [1000, 60_000, 3_600_000];
const ID = "0123456789abcdef".repeat(4);

const record = (more: Partial<ContainerRecord> = {}): ContainerRecord => ({
  version: 1,
  id: ID,
  name: "web",
  created: NOW - 2 * HOUR,
  options: {},
  image: { reference: "busybox:1", id: `sha256:${"ab".repeat(32)}`, digest: `sha256:${"cd".repeat(32)}` },
  command: ["sh", "-c", "sleep 1; echo done"],
  status: "running",
  pid: 4711,
  startedAt: NOW - 3 * MINUTE,
  restarts: 0,
  stopped: false,
  volumes: [],
  hostname: "0123456789ab",
  ...more,
});

describe("status", () => {
  const health = (status: "starting" | "healthy" | "unhealthy") => ({ status, failingStreak: 0, log: [] });
  test.each<[Partial<ContainerRecord>, string]>([
    [{}, "Up 3 minutes"],
    [{ health: health("healthy") }, "Up 3 minutes (healthy)"],
    [{ health: health("unhealthy") }, "Up 3 minutes (unhealthy)"],
    [{ health: health("starting") }, "Up 3 minutes (health: starting)"],
    [{ status: "paused", startedAt: NOW - 5 * SECOND }, "Up 5 seconds (Paused)"],
    [{ status: "restarting", exitCode: 1, finishedAt: NOW - 3 * SECOND }, "Restarting (1) 3 seconds ago"],
    [{ status: "exited", exitCode: 0, finishedAt: NOW - 2 * HOUR }, "Exited (0) 2 hours ago"],
    [{ status: "exited", exitCode: 137, finishedAt: NOW - 10 }, "Exited (137) Less than a second ago"],
    [{ status: "created" }, "Created"],
    [{ status: "starting" }, "Created"],
    [{ status: "removing" }, "Removal In Progress"],
    [{ status: "dead" }, "Dead"],
    // a clock that was set back
    [{ startedAt: NOW + HOUR }, "Up Less than a second"],
  ])("%j is %s", (more, expected) => expect(statusText(record(more), NOW)).toBe(expected));

  test("commands", () => {
    expect(commandText(["sh", "-c", "sleep 1; echo"])).toBe("sh -c 'sleep 1; echo'");
    expect(shortened("sh -c 'sleep 1; echo done'", 20)).toBe("sh -c 'sleep 1; ech…");
    expect(shortened("exactly twenty chars", 20)).toBe("exactly twenty chars");
  });
});

describe("ps", () => {
  const list = (format: string | undefined, records: ContainerRecord[], trunc = true) => {
    const wanted = columnsFor(format, false);
    return listed(
      wanted.format,
      wanted,
      records.map((each) =>
        rowOf(each, undefined, { trunc, isTable: wanted.format === undefined, now: NOW, labels: wanted.labels }),
      ),
    );
  };

  test("has Docker's columns", () => {
    expect(list(undefined, [record()])).toBe(
      [
        "CONTAINER ID   IMAGE       COMMAND                  CREATED       STATUS         PORTS     NAMES",
        `0123456789ab   busybox:1   "sh -c 'sleep 1; ech…"   2 hours ago   Up 3 minutes             web`,
        "",
      ].join("\n"),
    );
    expect(list(undefined, [])).toBe("CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n");
  });

  test("takes templates, labels by their names among them", () => {
    const labelled = record({ options: { labels: { "com.example.my-tier": "front", b: "2" } } });
    expect(list('{{.Names}}: {{.Label "com.example.my-tier"}}{{.Label `no`}}', [labelled])).toBe("web: front\n");
    expect(list('table {{.ID}}\t{{.Label "com.example.my-tier"}}', [labelled])).toBe(
      "CONTAINER ID   my tier\n0123456789ab   front\n",
    );
    expect(list("{{.Labels}}|{{.State}}|{{.Networks}}|{{.LocalVolumes}}", [labelled])).toBe(
      "b=2,com.example.my-tier=front|running|none|0\n",
    );
    expect(list("{{.ID}} {{.Command}}", [record()], false)).toBe(`${ID} "sh -c 'sleep 1; echo done'"\n`);
    expect(JSON.parse(list("json", [record()]))).toMatchObject({
      ID: "0123456789ab",
      Names: "web",
      Size: "0B",
      Ports: "",
    });
    expect(() => list("{{.Nope}}", [record()])).toThrow("can't evaluate field");
  });

  test("names images as they were asked for", () => {
    const image = (reference: string) => record({ image: { ...record().image!, reference } });
    const trunc = { trunc: true };
    expect(imageOf(image("app@sha256:" + "cd".repeat(32)), trunc)).toBe("app");
    expect(imageOf(image("abababababab"), trunc)).toBe("abababababab");
    expect(imageOf(image(`sha256:${"ab".repeat(32)}`), trunc)).toBe("abababababab");
    expect(imageOf(image("abba"), trunc)).toBe("abba");
    const { image: _, ...without } = record({ options: { rootfs: "/srv/root" } });
    expect(imageOf(without, trunc)).toBe("/srv/root");
    const withoutImageName = new Set([record().id]);
    expect(imageOf(image("app"), { trunc: true, withoutImageName })).toBe("abababababab");
    expect(imageOf(image("app"), { trunc: false, withoutImageName })).toBe(`sha256:${"ab".repeat(32)}`);
  });

  test("shortens the names of mounts", () => {
    const mounted = record({
      mounts: [
        { type: "volume", source: "f".repeat(64), target: "/a" },
        { type: "bind", source: "/srv/a", target: "/b" },
      ],
    });
    expect(list("{{.Mounts}}", [mounted])).toBe(`${"f".repeat(14)}…,/srv/a\n`);
    expect(list("{{.Mounts}}", [mounted], false)).toBe(`${"f".repeat(64)},/srv/a\n`);
  });
});

describe("inspect", () => {
  const home = { root: "/r", path: (id: string) => `/r/containers/${id}` };
  const base = {
    config: {
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers" as const, diff_ids: [] },
      config: {
        Env: ["A=1", "PATH=/bin"],
        Cmd: ["sh"],
        Entrypoint: ["/entry"],
        Labels: { a: "image", b: "image" },
        WorkingDir: "/w",
      },
    },
    layers: ["/l2", "/l1"],
    bytes: 1000,
    ids: undefined,
  };

  test("says what Docker says", () => {
    const options = {
      labels: { a: "own" },
      env: { B: "2", A: undefined },
      restart: "on-failure:3" as const,
      stopTimeout: "5s",
    };
    const found = inspectOf(home, record({ options, restarts: 2 }), base, 24);
    expect(found).toMatchObject({
      Id: ID,
      Created: "2026-11-25T10:00:00.000Z",
      Path: "sh",
      Args: ["-c", "sleep 1; echo done"],
      State: {
        Status: "running",
        Running: true,
        Paused: false,
        Pid: 4711,
        ExitCode: 0,
        FinishedAt: "0001-01-01T00:00:00Z",
      },
      Name: "/web",
      RestartCount: 2,
      SizeRw: 24,
      SizeRootFs: 1024,
      HostConfig: {
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 },
        NetworkMode: "none",
        AutoRemove: false,
      },
      Config: {
        Env: ["B=2", "PATH=/bin"],
        Cmd: ["sh"],
        Entrypoint: ["/entry"],
        Labels: { a: "own", b: "image" },
        WorkingDir: "/w",
        StopTimeout: 5,
        Image: "busybox:1",
      },
      GraphDriver: { Data: { LowerDir: "/l2:/l1" } },
    });
    expect(found.State).not.toHaveProperty("Health");
  });

  test("states", () => {
    const stateOf = (more: Partial<ContainerRecord>) => inspectOf(home, record(more), undefined, undefined).State;
    expect(stateOf({ status: "paused" })).toMatchObject({ Status: "paused", Running: true, Paused: true, Pid: 4711 });
    expect(stateOf({ status: "restarting" })).toMatchObject({
      Status: "restarting",
      Running: true,
      Restarting: true,
      Pid: 0,
    });
    expect(stateOf({ status: "exited", exitCode: 137, oomKilled: true, finishedAt: NOW })).toMatchObject({
      Status: "exited",
      Running: false,
      OOMKilled: true,
      ExitCode: 137,
      FinishedAt: "2026-11-25T12:00:00.000Z",
    });
    const health = {
      status: "healthy" as const,
      failingStreak: 0,
      log: [{ start: NOW, end: NOW, exitCode: 0, output: "ok" }],
    };
    expect(stateOf({ health }).Health?.Log[0]).toEqual({
      Start: "2026-11-25T12:00:00.000Z",
      End: "2026-11-25T12:00:00.000Z",
      ExitCode: 0,
      Output: "ok",
    });
  });

  test("limits, capabilities and mounts", () => {
    const options: ContainerRecord["options"] = {
      limits: { memory: "64m", cpus: 0.5, pids: 10 },
      security: { capabilities: ["CHOWN", "NET_ADMIN"], readOnly: true },
      mounts: [{ type: "tmpfs", target: "/t", size: "1m", mode: 0o1777 }],
      volumes: ["/srv:/data:ro,rslave", "named:/named"],
      ulimits: { nofile: [10, 20] },
    };
    const mounts: ContainerRecord["mounts"] = [
      { type: "volume", source: "named", target: "/named" },
      { type: "tmpfs", target: "/t" },
      { type: "bind", source: "/srv", target: "/data", readOnly: true, propagation: "rslave" },
    ];
    const config = hostConfigOf(record({ options }));
    expect(config).toMatchObject({
      Memory: 64 * 2 ** 20,
      MemorySwap: 64 * 2 ** 20,
      NanoCpus: 500_000_000,
      PidsLimit: 10,
      ReadonlyRootfs: true,
      CapAdd: ["CAP_NET_ADMIN"],
      Tmpfs: { "/t": "size=1m,mode=1777" },
      Ulimits: [{ Name: "nofile", Soft: 10, Hard: 20 }],
    });
    expect(config.CapDrop).toContain("CAP_KILL");
    expect(config.CapDrop).not.toContain("CAP_CHOWN");
    expect(
      mountPointsOf(home, record({ options, mounts })).map(({ Type, Destination, RW }) => [Type, Destination, RW]),
    ).toEqual([
      ["volume", "/named", true],
      ["tmpfs", "/t", true],
      ["bind", "/data", false],
    ]);
  });

  test("the environment is what was asked for, and then the image's", () => {
    expect(environmentOf({ A: "own" }, ["A=1", "B=2"])).toEqual([
      "A=own",
      "B=2",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
    expect(environmentOf({ PATH: undefined }, ["PATH=/bin"])).toEqual([]);
  });
});

describe("top", () => {
  const stat = (pid: number, comm: string, more: Partial<Record<number, number | string>> = {}) => {
    const fields = Array.from({ length: 50 }, (_, at) => more[at] ?? 0);
    fields[0] = more[0] ?? "S";
    return `${pid} (${comm}) ${fields.join(" ")}\n`;
  };
  const status =
    "Name:\tx\nUid:\t100000\t100007\t0\t0\nGid:\t100000\t100000\t0\t0\nNSpid:\t4711\t2\nVmLck:\t       0 kB\n";
  const moment: Moment = {
    now: NOW,
    boot: NOW - 24 * HOUR * 3,
    memoryBytes: 2 ** 30,
    uid: (uid) => uid - 100_000,
    gid: (gid) => gid - 100_000,
    user: (uid) => (uid === 100_000 ? "root" : String(uid - 100_000)),
    group: (gid) => (gid === 100_000 ? "root" : String(gid - 100_000)),
  };
  const facts = parseProcess(
    stat(4711, "a ) b", {
      1: 4700,
      2: 4711,
      3: 4711,
      4: 34_816,
      5: 4711,
      11: 6000,
      12: 100,
      17: 3,
      19: 24 * 3600 * 300 - 6000,
      20: 1_048_576,
      21: 256,
    }),
    status,
    "sh\0-c\0sleep 1\0",
  );

  test("reads what the kernel says, whatever a process calls itself", () => {
    expect(facts).toMatchObject({
      pid: 4711,
      comm: "a ) b",
      words: ["sh", "-c", "sleep 1"],
      state: "S",
      pids: [4711, 2],
      uid: 100_007,
      threads: 3,
    });
  });

  test.each<[string[], string[], string[]]>([
    [
      [],
      ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
      ["7", "4711", "4700", "101", expect.any(String), "pts/0", "00:01:01", "sh -c sleep 1"],
    ],
    [
      ["aux"],
      ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"],
      ["7", "4711", "101.7", "0.1", "1024", "1024", "pts/0", "Ssl+", expect.any(String), "1:01", "sh -c sleep 1"],
    ],
    [
      ["-aux"],
      ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"],
      expect.any(Array),
    ],
    [
      ["-o", "pid,user,comm"],
      ["PID", "USER", "COMMAND"],
      ["4711", "7", "a ) b"],
    ],
    [
      ["-eo", "pid=P,nspid", "-o", "args="],
      ["P,nspid", ""],
      ["4711", "sh -c sleep 1"],
    ],
    [
      ["-opid", "-o", "nspid"],
      ["PID", "NSPID"],
      ["4711", "2"],
    ],
    [
      ["axo", "pid,rgroup"],
      ["PID", "RGROUP"],
      ["4711", "root"],
    ],
    [
      ["--format=pid,ni", "--sort", "-pid"],
      ["PID", "NI"],
      ["4711", "0"],
    ],
    [
      ["pid", "etime"],
      ["PID", "ELAPSED"],
      ["4711", "01:00"],
    ],
    [["-e"], ["PID", "TTY", "TIME", "CMD"], ["4711", "pts/0", "00:01:01", "a ) b"]],
    [["-l"], ["F", "S", "UID", "PID", "PPID", "C", "PRI", "NI", "SZ", "TTY", "TIME", "CMD"], expect.any(Array)],
  ])("%j", (words, titles, row) => {
    const found = topOf([facts], psOptions(words), moment);
    expect(found.titles).toEqual(titles);
    expect(found.rows).toEqual([row]);
  });

  test.each([[["-Z"]], [["-o"]], [["-o", "nope"]], [["--nope", "x"]], [["-p", "1"]], [["hello"]]])(
    "%j is refused",
    (words) => {
      expect(() => psOptions(words)).toThrow("understand the words of ps(1)");
    },
  );

  test("sorts", () => {
    const others = [5, 40, 7].map((pid) => parseProcess(stat(pid, "x"), "", ""));
    const pids = (words: string[]) => topOf(others, psOptions(words), moment).rows.map(([pid]) => pid);
    expect(pids(["-o", "pid"])).toEqual(["5", "40", "7"]);
    expect(pids(["-o", "pid", "--sort=pid"])).toEqual(["5", "7", "40"]);
    expect(pids(["-o", "pid", "--sort", "comm,-pid"])).toEqual(["40", "7", "5"]);
  });

  test("times and terminals", () => {
    expect(cpuTime(90_061_000)).toBe("1-01:01:01");
    expect(elapsedTime(3_661_000)).toBe("01:01:01");
    expect(elapsedTime(61_000)).toBe("01:01");
    expect(startTime(NOW - 400 * 24 * HOUR, NOW)).toBe("2025");
    expect(startTime(new Date(2026, 10, 3, 4, 5).getTime(), NOW)).toBe("Nov03");
    expect([0, 34_816, (136 << 8) | 5, 1025, (5 << 8) | 1].map(terminalName)).toEqual([
      "?",
      "pts/0",
      "pts/5",
      "tty1",
      "console",
    ]);
  });

  test("users by what is inside", () => {
    const ranges = rangesIn("         0 2004287488      65536\n");
    expect([2_004_287_488, 2_004_287_495, 5].map((id) => insideOf(ranges, id))).toEqual([0, 7, 5]);
    const names = namesById("root:x:0:0\nverylongname:x:7:7\nroot2:x:0:0\n\x1b[2J:x:8:8\nbad\n");
    expect([...names]).toEqual([
      [0, "root"],
      [7, "verylon+"],
    ]);
  });
});

describe("stats", () => {
  const counted = {
    time: NOW,
    cpuMs: 1000,
    memoryBytes: 12_582_912,
    memoryLimitBytes: 2 ** 30,
    networkInBytes: 1200,
    networkOutBytes: 0,
    blockInBytes: 0,
    blockOutBytes: 4096,
    pids: 3,
  };
  const first = statsOf({ id: ID, name: "web" }, counted, { ...counted, time: NOW + 500, cpuMs: 1250 });

  test("CPU is told in percent of one", () => {
    expect(first.cpuPercent).toBe(50);
    expect(statsOf(first, counted, { ...counted, cpuMs: 1250 }).cpuPercent).toBe(0);
  });

  test("has Docker's words", () => {
    expect(statsRow(first, first, true)).toEqual({
      Container: "0123456789ab",
      ID: "0123456789ab",
      Name: "web",
      CPUPerc: "50.00%",
      MemUsage: "12MiB / 1GiB",
      MemPerc: "1.17%",
      NetIO: "1.2kB / 0B",
      BlockIO: "0B / 4.1kB",
      PIDs: "3",
    });
    expect(statsRow(first, undefined, false)).toMatchObject({ ID, CPUPerc: "0.00%", MemUsage: "0B / 0B", PIDs: "0" });
    expect([0, 1023, 1024, 1_572_864, 2 ** 40 * 1.2345].map(binarySize)).toEqual([
      "0B",
      "1023B",
      "1KiB",
      "1.5MiB",
      "1.234TiB",
    ]);
  });

  test("the network is all interfaces but the loopback", () => {
    const text =
      "Inter-|   Receive\n face |bytes\n    lo:  999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n  eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\neth1:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
    expect(bytesThrough(text)).toEqual({ inBytes: 11, outBytes: 22 });
    expect(bytesThrough("")).toEqual({ inBytes: 0, outBytes: 0 });
  });

  test("graphs", () => {
    expect(sparkline([0, 50, 100], 5, 100)).toBe("  ▁▅█");
    expect(sparkline([1, 2, 3, 4], 2, 1)).toBe("▆█");
    expect(sparkline([], 3, 1)).toBe("   ");
    const later: ContainerStats = { ...first, time: first.time + 1000, networkInBytes: 3200 };
    const line = graphs([first, later], 100);
    expect(line).toContain("CPU         ▅▅ 50%");
    expect(line).toContain("NET         ▁█ 2kB/s");
    expect(Bun.stringWidth(line)).toBeLessThanOrEqual(100);
    expect(Bun.stringWidth(graphs([first, later], 80))).toBeLessThanOrEqual(80);
  });
});

describe("events", () => {
  const event = {
    time: NOW,
    sequence: 1,
    type: "container" as const,
    action: "die",
    id: "abc",
    attributes: { name: "web", image: "b", exitCode: "0" },
  };
  test("are a line each, whatever labels hold", () => {
    expect(eventLine(event)).toContain(" container die abc (exitCode=0, image=b, name=web)");
    expect(eventLine(event)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000000000(?:Z|[+-]\d\d:\d\d) /);
    expect(eventLine({ ...event, attributes: { a: "1\n\x1b[2J" } })).toEndWith("abc (a=1\\n\\x1b[2J)");
    expect(eventData(event)).toMatchObject({
      status: "die",
      from: "b",
      Type: "container",
      time: NOW / 1000,
      timeNano: BigInt(NOW) * 1_000_000n,
    });
  });
});

test("what was made to be mounted on is no change", () => {
  const change = (text: string) => ({ kind: text[0] as "A", path: text.slice(2) });
  const told = ["C /etc", "A /etc/hosts", "A /mnt", "A /mnt/a", "A /mnt/a/b", "C /var", "D /var/x"].map(change);
  const kept = withoutMountPoints(told, ["/etc/hosts", "/mnt/a/b"]).map(({ kind, path }) => `${kind} ${path}`);
  expect(kept).toEqual(["C /var", "D /var/x"]);
  expect(
    withoutMountPoints(["C /etc", "A /etc/hosts", "A /etc/own"].map(change), ["/etc/hosts"]).map(({ path }) => path),
  ).toEqual(["/etc", "/etc/own"]);
});

describe("what the kernel says", () => {
  test("capabilities by their bits, those of later kernels too", () => {
    expect(capabilityNames("0000000000000003")).toEqual(["CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
    expect(capabilityNames("4000000000000000")).toEqual(["CAP_62"]);
    expect(capabilityNames("")).toEqual([]);
  });

  test("mounts, whatever their names", () => {
    const text =
      "36 35 98:0 / /mnt/with\\040space rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n37 35 0:5 /null /dev/x ro - devtmpfs devtmpfs rw\n";
    expect(parseMounts(text)).toEqual([
      { target: "/mnt/with space", type: "ext3", source: "/dev/root", options: ["rw", "noatime"] },
      { target: "/dev/x", type: "devtmpfs", source: "/null of devtmpfs", options: ["ro"] },
    ]);
  });

  test("addresses, and who listens", () => {
    const trie =
      "Local:\n  +-- 127.0.0.0/8 2 0 2\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 127.255.255.255\n        /32 link BROADCAST\n";
    expect(addressesIn(trie)).toEqual(["127.0.0.1"]);
    expect(addresses6In("fe800000000000000000000000000001 02 40 20 80 eth0\n")).toEqual(["fe80::1"]);
    const tcp =
      "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000\n   1: 0100007F:1F91 0100007F:0001 01 00000000\n";
    expect(listeningIn("tcp", tcp)).toEqual(["tcp 127.0.0.1:8080"]);
    const tcp6 = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0\n";
    expect(listeningIn("tcp6", tcp6)).toEqual(["tcp6 [::1]:80"]);
  });
});

describe("a container", () => {
  const TIMEOUT_MS = 30_000 * SLOW;
  let made: CommandLine;
  let id: string;
  beforeAll(async () => {
    if (noBusybox !== undefined) return;
    made = await CommandLine.open();
    id = made.said(
      "run",
      "-d",
      "--name",
      "seen",
      "--label",
      "tier=front",
      "busy",
      "sh",
      "-c",
      "sleep 1000 & exec sleep 2000",
    );
  }, TIMEOUT_MS);
  afterAll(() => made?.[Symbol.asyncDispose](), TIMEOUT_MS);
  const lookTest = (name: string, body: () => Promise<void> | void) => testUnless(noBusybox, name, body, TIMEOUT_MS);

  lookTest("is listed", () => {
    const [head, row] = made.said("ps").split("\n");
    expect(head).toMatch(/^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES$/);
    expect(row).toMatch(new RegExp(`^${id.slice(0, 12)} +busy +"sh -c 'sleep 1000 &…" .* Up .* +seen$`));
    expect(made.said("ps", "-aq", "--no-trunc")).toBe(id);
    const both = made.tsbox("ps", "-q", "--no-trunc", "--format", "{{.Names}}");
    expect([both.stdout, both.stderr]).toEqual([`${id}\n`, expect.stringContaining("Ignoring custom format")]);
    expect(made.said("ps", "-s", "--format", "{{.Names}} {{.Size}}")).toMatch(/^seen \d+B \(virtual [\d.]+k?M?B\)$/);
    expect(made.said("ps", "--filter", "label=tier=back", "-q")).toBe("");
    expect(made.said("container", "ls", "--format", 'table {{.Names}}\\t{{.Label "tier"}}')).toMatch(
      /^NAMES +tier\nseen +front$/,
    );
    expect(made.tsbox("ps", "--format", "{{.Nope}}").stderr).toContain("can't evaluate field");
    expect(made.tsbox("ps", "--filter", "no=such").stderr).toContain("invalid filter 'no'");
  });

  lookTest("is inspected, as images are", () => {
    const [found] = JSON.parse(made.said("inspect", "seen"));
    expect(found).toMatchObject({
      Id: id,
      Name: "/seen",
      Config: { Labels: { tier: "front" }, Image: "busy" },
      State: { Status: "running" },
    });
    expect(found).not.toHaveProperty("SizeRw");
    expect(made.said("inspect", "-s", "-f", "{{.SizeRw}} {{.Config.Labels.none}}", "seen")).toMatch(/^\d+ <no value>$/);
    // what JSON leaves out, as it is empty, a template finds nevertheless
    const empty =
      "{{if .State.Health}}sick{{end}}{{.Config.ExposedPorts}}{{.HostConfig.CapDrop}}{{.Config.MacAddress}}";
    expect(made.said("inspect", "-f", `${empty} {{json .HostConfig.CapDrop}}`, "seen")).toBe("map[][] null");
    const nil = "{{.State.Health}} {{.HostConfig.PidsLimit}} {{range .NetworkSettings.Networks}}{{.DriverOpts}}{{end}}";
    expect(made.said("inspect", "-f", nil, "seen")).toBe("<nil> <nil> map[]");
    expect(Object.keys({ ...found.State, ...found.Config })).not.toContain("Health");
    expect(made.said("inspect", "-f", "{{json .State}}", "seen")).not.toContain("Health");
    const mounts = "{{range .Mounts}}<{{.Name}}{{.Driver}}>{{end}}";
    made.said("create", "--name", "mounts", "-v", "/tmp:/t", "-v", "named:/n", "busy");
    expect(made.said("inspect", "-f", mounts, "mounts")).toBe("<namedlocal><>");
    made.said("rm", "mounts");
    const ports = "{{json .HostConfig.PortBindings}}{{.HostConfig.PublishAllPorts}}{{json .Config.ExposedPorts}}";
    const published = ["-P", "-p", "127.0.0.1:8083:80", "-p", "0:80", "-p", "9000-9009:53/udp", "--expose", "81"];
    made.said("create", "--name", "ports", ...published, "busy");
    expect(made.said("inspect", "-f", ports, "ports")).toBe(
      '{"53/udp":[{"HostIp":"","HostPort":"9000-9009"}],"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8083"},{"HostIp":"","HostPort":""}]}' +
        'true{"53/udp":{},"80/tcp":{},"81/tcp":{}}',
    );
    made.said("rm", "ports");
    expect(made.said("inspect", "-f", "{{.Os}}", "busy")).toBe("linux");
    expect(made.tsbox("inspect", "--type", "container", "busy")).toMatchObject({
      status: 1,
      stderr: "tsbox: No such container: busy\n",
    });
    const made17 = Array.from({ length: 17 }, () => made.said("create", "busy"));
    const digits = made17.map((each) => each[0] as string);
    const twice = digits.find((digit, at) => digits.indexOf(digit) !== at) as string;
    expect(made.tsbox("inspect", twice).stderr).toBe(`tsbox: multiple IDs found with provided prefix: ${twice}\n`);
    // what is not there is no failure, but that is
    expect(made.tsbox("rm", "-f", twice).status).toBe(1);
    made.said("rm", ...made17);
    expect(made.tsbox("inspect", "none")).toEqual({
      status: 1,
      stdout: "[]\n",
      stderr: "tsbox: No such object: none\n",
    });
  });

  lookTest("its processes are seen without ps(1)", () => {
    const [head, ...rows] = made.said("top", "seen").split("\n");
    expect(head).toMatch(/^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/);
    expect(rows.map((row) => row.split(/ {2,}/).at(-1)).toSorted()).toEqual(["sleep 1000", "sleep 2000", "tsbox-init"]);
    expect(
      made
        .said("top", "seen", "-o", "nspid,comm")
        .split("\n")
        .slice(1)
        .map((row) => row.trim().split(/ +/))
        .toSorted(),
    ).toEqual([
      ["1", "tsbox-init"],
      ["2", "sleep"],
      ["3", "sleep"],
    ]);
    expect(made.tsbox("top", "seen", "-Z").status).toBe(1);
    expect(made.tsbox("top", "--live", "seen").stderr).toContain("no terminal");
  });

  lookTest("what it uses is told once", () => {
    const [head, row = ""] = made.said("stats", "--no-stream", "seen").split("\n");
    expect(head).toMatch(/^CONTAINER ID +NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS$/);
    expect(row).toMatch(new RegExp(`^${id.slice(0, 12)} +seen +\\d+\\.\\d\\d% .* [1-9]$`));
    expect(JSON.parse(made.said("stats", "--no-stream", "--format", "json"))).toMatchObject({ Name: "seen" });
    // as it was called
    const words = [id.slice(0, 5), "seen"].map((word) =>
      made.said("stats", "--no-stream", "--format", "{{.Container}} {{.Name}}", word),
    );
    expect(words).toEqual([`${id.slice(0, 5)} seen`, "seen seen"]);
    expect(made.tsbox("stats", "--no-stream", "none").stderr).toBe("tsbox: No such container: none\n");
  });

  lookTest("is explained", () => {
    const text = made.said("explain", "seen");
    for (const title of ["PROCESSES", "NAMESPACES", "FILES", "RIGHTS", "NETWORK", "WHO LOOKS AFTER IT"])
      expect(text).toContain(`\n${title}\n`);
    expect(text).toContain("sleep 2000");
    const { running, kept } = JSON.parse(made.said("explain", "--json", "seen"));
    expect(running.processes.map(({ pidInside }: { pidInside: number }) => pidInside)).toEqual([1, 2, 3]);
    expect(running.namespaces.find(({ type }: { type: string }) => type === "pid")).toMatchObject({
      isHosts: false,
      sharedWith: [],
    });
    expect(running.rights).toMatchObject({ seccomp: "filter", noNewPrivileges: true });
    expect(running.supervisor.name).toStartWith("tsbox-super");
    expect(running.mounts[0]).toMatchObject({ target: "/", type: "overlay" });
    expect(kept.layers).toHaveLength(1);
  });

  lookTest("what happened to it is told", () => {
    const lines = made.said("events", "--since", "1h", "--until", "0s", "--filter", "container=seen").split("\n");
    expect(lines.map((line) => line.split(" ")[2])).toEqual(["create", "start"]);
    expect(lines[0]).toEndWith(` container create ${id} (image=busy, name=seen, tier=front)`);
    const json = made.said("events", "--since", "1h", "--until", "0s", "--format", "json").split("\n")[0] as string;
    expect(JSON.parse(json)).toMatchObject({ status: "create", id, from: "busy", Type: "container", scope: "local" });
  });

  /** Somebody at a terminal, who ends it. */
  async function watch(words: string[], isSeen: (text: string) => boolean): Promise<{ text: string; status: number }> {
    let text = "";
    const child = Bun.spawn(made.command(...words), {
      cwd: made.folder.path,
      env: made.env,
      terminal: { cols: 100, rows: 20, data: (_, chunk) => void (text += new TextDecoder().decode(chunk)) },
    });
    expect(await eventually(() => isSeen(text), 20_000 * SLOW)).toBe(true);
    child.kill("SIGINT");
    const status = await child.exited;
    await eventually(() => text.includes("\x1b[?25h"));
    return { text, status };
  }

  lookTest("on a terminal, stats are drawn again in place, and the cursor comes back", async () => {
    const { text, status } = await watch(["stats"], (each) => each.split("CPU ").length > 4);
    expect(text).toStartWith("\x1b[?25l");
    expect(text).toContain("\x1b[3A");
    expect(text).toMatch(/CPU +[▁-█]+ \d+% +MEM/);
    expect(text.trimEnd()).toEndWith("\x1b[?7h\x1b[?25h");
    expect(status).toBe(130);
  });

  lookTest("so are its processes, with --live", async () => {
    const { text } = await watch(["top", "--live", "seen"], (each) => each.split("sleep 2000").length > 2);
    expect(text).toContain("processes and threads");
    expect(text.trimEnd()).toEndWith("\x1b[?25h");
  });

  testUnless(
    noLimits,
    "limits are explained, and what is paused is shown so",
    () => {
      made.said("run", "-d", "--name", "limited", "-m", "64m", "busy", "sleep", "1000");
      expect(made.said("explain", "limited")).toContain("67108864 (64MiB)");
      expect(made.said("stats", "--no-stream", "--format", "{{.MemUsage}}", "limited")).toEndWith(" / 64MiB");
      made.said("pause", "limited");
      expect(made.said("ps", "--filter", "name=limited", "--format", "{{.Status}}")).toEndWith(" (Paused)");
      made.said("rm", "-f", "limited");
    },
    TIMEOUT_MS,
  );

  lookTest("that has ended is kept, and told what is", () => {
    expect(made.tsbox("run", "--name", "ended", "busy", "sh", "-c", "echo x >/x; exit 3").status).toBe(3);
    expect(made.said("ps", "-a", "--filter", "name=ended", "--format", "{{.Status}}")).toMatch(/^Exited \(3\) .* ago$/);
    const text = made.said("explain", "ended");
    expect(text).toContain("WHAT IS KEPT");
    expect(text).toContain("it ended with status 3");
    expect(text).not.toContain("PROCESSES");
    expect(made.said("diff", "ended")).toBe("A /x");
    expect(made.tsbox("top", "ended").stderr).toMatch(/^tsbox: container [0-9a-f]{64} is not running\n/);
    expect(made.said("stats", "--no-stream", "--format", "{{.CPUPerc}} {{.PIDs}}", "ended")).toBe("0.00% 0");
    expect(made.said("port", "ended")).toBe("");
    const archive = Bun.spawnSync(made.command("export", "ended"), { env: made.env });
    expect(Bun.spawnSync(["tar", "-xOf", "-", "x"], { stdin: archive.stdout }).stdout.toString()).toBe("x\n");
    writeFileSync(join(made.folder.path, "all.tar"), archive.stdout);
    made.said("import", "-c", 'CMD ["sh", "-c", "cat /x; echo y >/y"]', "all.tar", "all:1");
    expect(made.said("run", "--name", "again", "all:1")).toBe("x");
    expect(made.said("commit", "-m", "kept", "-c", 'CMD ["cat", "/y"]', "again", "kept:1")).toMatch(/^sha256:/);
    expect(made.said("run", "--rm", "kept:1")).toBe("y");
  });
});
