/** Verbs of containers that run: signals, pausing, limits, statistics, and what is left when they are deleted. @module */
import { afterAll, afterEach, describe, expect } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { Container, startTimeOf } from "../lib/oci/index.ts";
import { noLimits, notRoot, SLOW, testUnless } from "./support/machine.ts";
import { bundleIn, MAIN, ociAs, runtimeIn } from "./support/oci.ts";
import { eventually, processes, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
const runtime = runtimeIn(folder);
afterAll(() => [folder, rootfs].forEach((each) => each.remove()));

/** Also the name of its groups. */
let id = "";
let count = 0;
const next = () => (id = `tsbox-test-${process.pid}-${++count}`);
afterEach(() => {
  oci("delete", "--force", id);
  expect(existsSync(runtime.root) ? readdirSync(runtime.root) : []).toEqual([]);
});

const oci = (...words: string[]) => ociAs({ leaves: words[0] === "create" }, "--root", runtime.root, ...words);
const ok = { status: 0, stdout: "", stderr: "" };
const status = () => JSON.parse(oci("state", id).stdout).status as string;

/** A container that runs a line of shell. @returns its groups */
function started(line: string, changes: Record<string, unknown> = {}): string[] {
  next();
  expect(oci("create", "-b", bundleIn(folder, rootfs.path, ["/bin/sh", "-c", line], changes), id)).toEqual(ok);
  expect(oci("start", id)).toEqual(ok);
  return groups();
}

function groups(): string[] {
  using container = Container.open(runtime, id);
  return [...new Set(Object.values(container.record.cgroup?.paths ?? {}))];
}

/** Processes that wait to be started, with a root of this file's. */
const waiting = () =>
  processes().filter(({ pid }) => {
    try {
      return (
        readlinkSync(`/proc/${pid}/exe`).startsWith("/memfd:tsbox-create") &&
        statSync(`/proc/${pid}/root`).ino === statSync(rootfs.path).ino
      );
    } catch {
      return false;
    }
  });

function readRecord() {
  using container = Container.open(runtime, id);
  return container.record;
}

const pids = () => JSON.parse(oci("ps", "--format", "json", id).stdout) as number[];
const limitsTest = (name: string, body: () => unknown) => testUnless(noLimits, name, body, 60_000 * SLOW);

/** The host's pid namespace, and so its /proc. */
const SHARED = {
  linux: { namespaces: ["mount", "ipc", "uts"].map((type) => ({ type })) },
  mounts: [],
};

describe("create, killed", () => {
  /** Waits in a hook until it is killed; `pids` gets that of the hook. */
  function making(hook: string): { creator: Bun.Subprocess; bundle: string } {
    next();
    const waits = folder.write("waits", `#!/bin/sh\necho $$ >> ${folder.path}/pids\nexec sleep 60\n`, 0o755);
    const hooks = { [hook]: [{ path: waits, env: [`PATH=${process.env["PATH"]}`] }] };
    const bundle = bundleIn(folder, rootfs.path, ["/bin/sh"], { hooks });
    folder.write("pids");
    const creator = Bun.spawn([process.execPath, MAIN, "oci", "--root", runtime.root, "create", "-b", bundle, id], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    return { creator, bundle };
  }
  const hookPids = () => readFileSync(join(folder.path, "pids"), "utf8").trim().split("\n").filter(Boolean).map(Number);

  limitsTest("in a hook: what it made is stopped, and can be deleted", async () => {
    const { creator, bundle } = making("createRuntime");
    expect(await eventually(() => hookPids().length > 0)).toBe(true);
    const [made, record] = [groups(), readRecord()];
    expect([status(), record.stage, record.pid > 0]).toEqual(["creating", "creating", true]);
    // others do not take it for theirs meanwhile
    expect(oci("create", "-b", bundle, id).stderr).toContain("container with given ID already exists");
    creator.kill("SIGKILL");
    await creator.exited;
    expect(status()).toBe("stopped");
    expect(oci("start", id).stderr).toContain("cannot start a container that has stopped");
    expect(oci("delete", id)).toEqual(ok);
    expect(startTimeOf(record.pid)).toBe(undefined);
    expect(made.filter((path) => existsSync(path))).toEqual([]);
    for (const pid of hookPids()) process.kill(pid, "SIGKILL");
  });

  limitsTest("at any time: nothing is left when it is deleted", async () => {
    const plain = bundleIn(folder, rootfs.path, ["/bin/sleep", "60"]);
    for (let delayMs = 0; delayMs < 200 * SLOW; delayMs += 12 * SLOW) {
      next();
      const creator = Bun.spawn([process.execPath, MAIN, "oci", "--root", runtime.root, "create", "-b", plain, id], {
        stdio: ["ignore", "ignore", "ignore"],
      });
      await Bun.sleep(delayMs);
      creator.kill("SIGKILL");
      await creator.exited;
      const made = existsSync(join(runtime.root, id, "state.json"))
        ? { record: readRecord(), paths: groups() }
        : undefined;
      expect(oci("delete", "--force", id)).toEqual(ok);
      expect(existsSync(join(runtime.root, id))).toBe(false);
      expect(made?.paths.filter((path) => existsSync(path)) ?? []).toEqual([]);
      if (made && made.record.pid > 0) expect(startTimeOf(made.record.pid)).not.toBe(made.record.pidStartTime);
    }
    expect(await eventually(() => waiting().length === 0)).toBe(true);
  });

  limitsTest("ten of one name at once: one is made", async () => {
    const bundle = bundleIn(folder, rootfs.path, ["/bin/sleep", "60"]);
    next();
    const all = Array.from({ length: 10 }, () =>
      Bun.spawn([process.execPath, MAIN, "oci", "--root", runtime.root, "create", "-b", bundle, id], {
        stdio: ["ignore", "ignore", "ignore"],
      }),
    );
    const ended = await Promise.all(all.map(({ exited }) => exited));
    expect(ended.toSorted()).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect([status(), oci("start", id), status()]).toEqual(["created", ok, "running"]);
  });
});

describe("--debug", () => {
  limitsTest("tells every step, in the log alone where there is one", () => {
    next();
    const { linux } = JSON.parse(readFileSync(join(bundleIn(folder, rootfs.path, []), "config.json"), "utf8")) as {
      linux: object;
    };
    const seccomp = { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_LOG"] };
    const bundle = bundleIn(folder, rootfs.path, ["/bin/true"], { linux: { ...linux, seccomp } });
    const log = join(folder.path, "debug.json");
    expect(oci("--debug", "--log", log, "--log-format", "json", "run", "-b", bundle, id)).toEqual(ok);
    const lines = readFileSync(log, "utf8").trim().split("\n");
    const told = lines.map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(new Set(told.map(({ level }) => level))).toEqual(new Set(["debug"]));
    const messages = told.map(({ msg }) => msg).join("\n");
    for (const step of [
      "nsexec container setup",
      "seccomp filter flags: 2",
      'step: mount on "/proc"',
      'step: execute "/bin/true"',
      "child process in init()",
    ]) {
      expect(messages).toContain(step);
    }
    expect(oci("--debug", "run", "-b", bundle, id).stderr).toContain("level=debug");
  });
});

describe("CPUs", () => {
  const LIST = ["grep", "Cpus_allowed_list", "/proc/self/status"];
  const on = (cpus: string, ...words: string[]) =>
    Bun.spawnSync(["taskset", "-c", cpus, ...words], { stderr: "inherit" }).stdout.toString();
  const pinned = (...words: string[]) => on("0", process.execPath, MAIN, "oci", "--root", runtime.root, ...words);

  limitsTest("are those of the cgroup, not those that whoever made it is kept to", () => {
    const all = on("0-1023", ...LIST);
    next();
    expect(pinned("run", "-b", bundleIn(folder, rootfs.path, ["/bin/busybox", ...LIST]), id)).toBe(all);
    started("sleep 100");
    expect(pinned("exec", id, "/bin/busybox", ...LIST)).toBe(all);
    const kept = { execCPUAffinity: { initial: "0" }, args: ["/bin/busybox", ...LIST], env: [], cwd: "/" };
    const file = folder.write("kept.json", JSON.stringify(kept));
    // what is said counts, from the first moment on, of which the log tells
    const { stdout, stderr } = oci("--debug", "exec", "--process", file, id);
    expect([stdout, stderr]).toEqual([on("0", ...LIST), expect.stringContaining('nsexec: affinity: 0x1"') as string]);
  });
});

testUnless(notRoot, "a process that is not in the file that is named is said once", () => {
  next();
  started("sleep 100");
  const { status, stderr } = oci("exec", "--process", "/no/such/file", id);
  expect([status, stderr]).toEqual([
    255,
    expect.stringMatching(/msg="open .*no.such.file.*: no such file or directory"$/m),
  ]);
});

describe("stdio", () => {
  testUnless(notRoot, "becomes the user's, but not /dev/null, wherever that lies", () => {
    next();
    const device = join(folder.path, "null");
    expect(Bun.spawnSync(["mknod", device, "c", "1", "3"]).exitCode).toBe(0);
    const own = folder.write("stdout");
    const user = { user: { uid: 1000, gid: 1000 }, args: ["/bin/true"], env: [], cwd: "/" };
    const bundle = bundleIn(folder, rootfs.path, [], { process: user });
    const line = `exec ${process.execPath} ${MAIN} oci --root ${runtime.root} run -d -b ${bundle} ${id} < ${device} > ${own}`;
    expect(Bun.spawnSync(["bash", "-c", line]).exitCode).toBe(0);
    expect([statSync(device).uid, statSync(own).uid, statSync("/dev/null").uid]).toEqual([0, 1000, 0]);
  });
});

describe("pause and resume", () => {
  limitsTest("stop all of a container where it is", async () => {
    started("n=0; while :; do n=$((n+1)); echo $n > /tmp/n; usleep 1000; done", {
      mounts: [{ destination: "/tmp", type: "tmpfs", source: "tmpfs" }],
    });
    const read = () => oci("exec", "--ignore-paused", id, "cat", "/tmp/n");
    expect(Number(read().stdout)).toBeGreaterThan(0);
    expect([oci("pause", id), status()]).toEqual([ok, "paused"]);
    expect(oci("pause", id)).toMatchObject({ status: 1, stderr: expect.stringContaining("container already paused") });
    expect(oci("exec", id, "true").stderr).toContain("cannot exec in a paused container");
    expect(oci("delete", id).stderr).toContain("that is not stopped: paused");
    expect([oci("resume", id), status()]).toEqual([ok, "running"]);
    expect(oci("resume", id)).toMatchObject({ status: 1, stderr: expect.stringContaining("container not paused") });
  });

  limitsTest("of one that was not started yet", () => {
    next();
    expect(oci("create", "-b", bundleIn(folder, rootfs.path, ["/bin/sh"]), id)).toEqual(ok);
    expect([status(), oci("pause", id), status()]).toEqual(["created", ok, "paused"]);
    expect(oci("start", id)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("cannot start a container in the paused state"),
    });
    expect([oci("resume", id), status()]).toEqual([ok, "created"]);
  });

  limitsTest("a paused container is killed, and deleted by force", async () => {
    const made = started("sleep 60");
    expect([oci("pause", id), oci("kill", id, "KILL")]).toEqual([ok, ok]);
    expect(await eventually(() => status() === "stopped")).toBe(true);
    expect(oci("delete", id)).toEqual(ok);
    expect(made.filter((path) => existsSync(path))).toEqual([]);
    started("sleep 60");
    expect([oci("pause", id), oci("delete", "--force", id)]).toEqual([ok, ok]);
  });
});

const noPs = noLimits ?? (Bun.which("ps") ? undefined : "procps is not installed");

describe("ps", () => {
  testUnless(noPs, "lists the processes, by number or as ps(1) does", () => {
    started("sleep 61 & sleep 62 & wait");
    using container = Container.open(runtime, id);
    const found = pids();
    expect([found.length, found.includes(container.record.pid)]).toEqual([3, true]);
    const [title = "", ...lines] = oci("ps", id).stdout.trimEnd().split("\n");
    expect(title).toMatch(/^UID +PID +PPID/);
    expect(lines.map((line) => Number(line.split(/ +/)[1])).toSorted()).toEqual(found.toSorted());
    const [own, ...rows] = oci("ps", id, "-e", "-o", "args,pid").stdout.trimEnd().split("\n");
    expect(own).toMatch(/COMMAND +PID/);
    expect(
      rows
        .map((row) => row.trim().replace(/ +\d+$/, ""))
        .toSorted()
        .slice(-2),
    ).toEqual(["sleep 61", "sleep 62"]);
    expect(oci("ps", id, "--nope")).toMatchObject({ status: 1, stderr: expect.stringContaining("run ps --nope") });
    expect(oci("ps", id, "-e", "-o", "args").stderr).toContain("couldn't find PID field in ps output");
    oci("kill", id, "KILL");
  });
});

describe("kill", () => {
  limitsTest("--all reaches every process", async () => {
    started(
      "trap 'exit 0' USR1; (trap 'echo > /tmp/got; exit' USR1; while :; do usleep 1000; done) & while :; do usleep 1000; done",
    );
    expect(pids().length).toBeGreaterThan(1);
    expect(oci("kill", "--all", id, "USR1")).toEqual(ok);
    expect(await eventually(() => status() === "stopped")).toBe(true);
    expect(oci("kill", "--all", id, "USR1")).toEqual(ok);
    expect(oci("kill", id, "USR1").stderr).toContain("container not running");
  });

  limitsTest(
    "of a container in the host's pid namespace ends all of it, also where its first process is gone",
    async () => {
      for (const initIsGone of [false, true]) {
        started("sleep 61 & sleep 62 & exec sleep 63", SHARED);
        const all = pids();
        expect(all.length).toBe(3);
        using container = Container.open(runtime, id);
        if (initIsGone) {
          process.kill(container.record.pid, "SIGKILL");
          expect(await eventually(() => status() === "stopped")).toBe(true);
          expect(pids().length).toBe(2);
        }
        expect(oci("kill", id, "KILL")).toEqual(ok);
        expect(all.filter((pid) => startTimeOf(pid) !== undefined)).toEqual([]);
        expect(pids()).toEqual([]);
        expect(oci("delete", id)).toEqual(ok);
      }
    },
  );

  limitsTest("delete kills what its first process has left behind", () => {
    const made = started("sleep 61 & sleep 62 & exec sleep 63", SHARED);
    const all = pids();
    using container = Container.open(runtime, id);
    process.kill(container.record.pid, "SIGKILL");
    while (status() !== "stopped");
    expect(oci("delete", id)).toEqual(ok);
    expect(all.filter((pid) => startTimeOf(pid) !== undefined)).toEqual([]);
    expect(made.filter((path) => existsSync(path))).toEqual([]);
  });
});

describe("delete", () => {
  limitsTest("is not kept from it by a process that joined, and whose end nobody asks for", async () => {
    const made = started("sleep 100");
    const begun = performance.now();
    // this process takes it in, and leaves it
    expect(oci("exec", "--detach", id, "/bin/true")).toEqual(ok);
    expect(oci("delete", "--force", id)).toEqual(ok);
    expect(performance.now() - begun).toBeLessThan(9000 * SLOW);
    expect(made.filter((path) => existsSync(path))).toEqual([]);
    reapOrphans();
  });
});

describe("update", () => {
  const limit = (...names: string[]) => {
    const files = groups().flatMap((group) => names.map((name) => join(group, name)));
    const file = files.find((each) => existsSync(each));
    return file && readFileSync(file, "utf8").trim();
  };

  limitsTest("changes what is said, and leaves the rest", () => {
    started("sleep 60", {
      linux: {
        namespaces: ["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
        resources: { pids: { limit: 20 }, memory: { limit: 64 * 1024 ** 2 } },
      },
    });
    const memory = () => limit("memory.limit_in_bytes", "memory.max");
    expect([limit("pids.max"), memory()]).toEqual(["20", String(64 * 1024 ** 2)]);
    expect(oci("update", "--pids-limit", "30", id)).toEqual(ok);
    expect([limit("pids.max"), memory()]).toEqual(["30", String(64 * 1024 ** 2)]);
    const file = folder.write("limits.json", JSON.stringify({ memory: { limit: 32 * 1024 ** 2 } }));
    expect(oci("update", "-r", file, id)).toEqual(ok);
    expect([limit("pids.max"), memory()]).toEqual(["30", String(32 * 1024 ** 2)]);
    const stdin = JSON.stringify({ pids: { limit: -1 } });
    expect(ociAs({ stdin }, "--root", runtime.root, "update", "--resources=-", id)).toEqual(ok);
    expect(limit("pids.max")).toBe("max");
    const refused = oci("update", "--l3-cache-schema", "L3:0=f", id);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining("l3 cache schema is not enabled") });
    oci("kill", id, "KILL");
    while (status() !== "stopped");
    expect(oci("update", "--pids-limit", "30", id).stderr).toContain("container not running");
  });
});

describe("events", () => {
  limitsTest("--stats prints what the container uses, once", () => {
    started("sleep 60");
    const { stdout, stderr } = oci("events", "--stats", id);
    expect(stderr).toBe("");
    expect(stdout).toStartWith(`{"type":"stats","id":"${id}",`);
    expect(JSON.parse(stdout)).toMatchObject({
      data: {
        pids: { current: 1 },
        cpu: { usage: { total: expect.any(Number) } },
        memory: { raw: expect.any(Object) },
      },
    });
  });

  limitsTest("come in intervals, tell when memory is out, and end with the container", async () => {
    started("sleep 60", {
      linux: {
        namespaces: ["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
        resources: { memory: { limit: 16 * 1024 ** 2, swap: 16 * 1024 ** 2 } },
      },
    });
    const watch = Bun.spawn(
      [process.execPath, MAIN, "oci", "--root", runtime.root, "events", "--interval", "100ms", id],
      { stdout: "pipe", stderr: "inherit" },
    );
    const types: string[] = [];
    const all = (async () => {
      for await (const bytes of watch.stdout) {
        const lines = new TextDecoder().decode(bytes).trim().split("\n");
        types.push(...lines.map((line) => /^\{"type":"(\w+)"/.exec(line)?.[1] ?? line));
      }
    })();
    expect(await eventually(() => types.length > 1)).toBe(true);
    expect(oci("exec", id, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1").status).toBe(128 + 9);
    expect(await eventually(() => types.includes("oom"))).toBe(true);
    oci("kill", id, "KILL");
    await all;
    expect([await watch.exited, [...new Set(types)].toSorted()]).toEqual([0, ["oom", "stats"]]);
    const over = oci("events", "--stats", id);
    expect(over).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`container with id ${id} is not running`),
    });
  });
});
