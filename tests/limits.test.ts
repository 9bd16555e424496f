/** Limits: what each of them does, what is told of it, and that nothing of them stays. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { cgroupPlan, makeCgroup, settingsOf } from "../lib/cgroup/index.ts";
import { findHierarchies } from "../lib/cgroup/hierarchy.ts";
import { isCrowded } from "../lib/cgroup/place.ts";
import { weightOfShares, type Write } from "../lib/cgroup/settings.ts";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import type { Resources } from "../lib/spec/index.ts";
import { blockDeviceOf, Descriptors } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, inGuest, noBusybox, noLimits, notRoot, SLOW, testUnless, withLimits } from "./support/machine.ts";
import { cgroups, descriptors, eventually } from "./support/processes.ts";
import { makeRootfs } from "./support/rootfs.ts";
import { runChanged } from "./support/unprotected.ts";

const root = makeRootfs();
afterAll(() => root.remove());

const MIB = 2 ** 20;
const run = (line: string, options: RunOptions = {}) =>
  Sandbox.run(["sh", "-c", line], { rootfs: root.path, ...options });
const limitTest = (name: string, body: () => unknown) => testUnless(noLimits, name, body);
const sandboxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
/** Uses this much memory at once. */
const allocate = (size: string) => `dd if=/dev/zero of=/dev/null bs=${size} count=1 2>/dev/null`;

describe("memory", () => {
  limitTest("a process that needs more is killed: oom", async () => {
    const { reason, signalCode, exitCode, usage } = await run(`exec ${allocate("64M")}`, {
      limits: { memory: "16mb" },
    });
    expect([reason, signalCode, exitCode]).toEqual(["oom", "SIGKILL", null]);
    expect(usage.peakMemoryBytes).toBeGreaterThan(8 * MIB);
    expect(usage.peakMemoryBytes).toBeLessThanOrEqual(16 * MIB);
  });

  limitTest("one that needs less is not, and its peak is told", async () => {
    const { reason, exitCode, usage } = await run(allocate("8M"), { limits: { memory: "64mb" } });
    expect([reason, exitCode]).toEqual(["exit", 0]);
    expect(usage.peakMemoryBytes).toBeGreaterThan(8 * MIB);
    expect(usage.peakMemoryBytes).toBeLessThan(32 * MIB);
  });

  limitTest("a killed child is the reason only where the command did not do well either", async () => {
    const limits = { memory: "16mb" };
    expect(await run(`${allocate("64M")}; exit 0`, { limits })).toMatchObject({ reason: "exit", exitCode: 0 });
    expect(await run(`${allocate("64M")}; exit 3`, { limits })).toMatchObject({ reason: "oom", exitCode: 3 });
  });

  limitTest("what is written to file systems in memory counts", async () => {
    const { reason } = await run("head -c 64m /dev/zero >/tmp/file", { limits: { memory: "16mb" } });
    expect(reason).toBe("oom");
  });

  limitTest("the limit is that of all processes of a box together, and each is told", async () => {
    await using box = await Sandbox.create({ rootfs: root.path, limits: { memory: "24mb" } });
    const small = box.spawn(["sh", "-c", allocate("4M")]);
    expect(await small.result()).toMatchObject({ reason: "exit", exitCode: 0 });
    const large = box.spawn(["sh", "-c", `exec ${allocate("64M")}`], { stderr: "ignore" });
    expect(await large.result()).toMatchObject({ reason: "oom", signalCode: "SIGKILL" });
  });
});

describe("pids", () => {
  const many = "for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait";

  limitTest("no more processes than that at a time: pids", async () => {
    const { reason, exitCode } = await run(`${many}; exit 1`, { limits: { pids: 4 } });
    expect([reason, exitCode]).toEqual(["pids", expect.any(Number)]);
  });

  limitTest("as many as are allowed; init is not one of them", async () => {
    expect(await run(many, { limits: { pids: 9 } })).toMatchObject({ reason: "exit", exitCode: 0, stderr: "" });
    expect(await run("exec true", { limits: { pids: 1 } })).toMatchObject({ reason: "exit", exitCode: 0 });
  });

  limitTest("a fork bomb harms nobody", async () => {
    const started = performance.now();
    const result = await run("f() { f | f & }; f; sleep 0.2; f 2>/dev/null; exit 2", {
      limits: { pids: 20, time: `${5 * SLOW}s` },
    });
    expect(["pids", "timeout"]).toContain(result.reason);
    expect(performance.now() - started).toBeLessThan(8000 * SLOW);
  });
});

describe("cpus", () => {
  const busy = ["sh", "-c", "while :; do :; done"];

  limitTest("a busy loop gets no more than its share of the time", async () => {
    const { usage, reason } = await Sandbox.run(busy, {
      rootfs: root.path,
      limits: { cpus: 0.05, time: 1000 * Math.min(SLOW, 3) },
    });
    expect(reason).toBe("timeout");
    expect(usage.cpuMs / usage.wallMs).toBeLessThan(0.12);
    expect(usage.cpuMs).toBeGreaterThan(5);
  });

  sandboxTest("without a limit the same loop gets more", async () => {
    const { usage } = await Sandbox.run(busy, { rootfs: root.path, limits: { time: 700 } });
    expect(usage.cpuMs / usage.wallMs).toBeGreaterThan(0.15);
  });
});

describe("CPU time", () => {
  const busy = "while :; do :; done";
  const rows = [
    ["of the command", busy],
    ["of children and grandchildren together", `(${busy})& (sh -c '(${busy})& ${busy}')& wait`],
    ["of orphans", `(setsid sh -c '${busy}' &); exec sleep 100`],
    [
      "of many that end soon, and that nobody waits for",
      "trap '' CHLD; while :; do (i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done)& sleep 0.03; done",
    ],
  ] as const;
  for (const [name, line] of rows) {
    sandboxTest(`${name}: everything is killed when it is used up: cpu-time`, async () => {
      const cpuTime = 200 * Math.min(SLOW, 3);
      const { reason, signalCode, usage } = await run(line, { limits: { cpuTime, time: `${20 * SLOW}s` } });
      expect([reason, signalCode]).toEqual(["cpu-time", "SIGKILL"]);
      expect(usage.wallMs).toBeGreaterThanOrEqual(cpuTime / navigator.hardwareConcurrency);
    });
  }

  sandboxTest("of a box: all of its processes together", async () => {
    await using box = await Sandbox.create({ rootfs: root.path, limits: { cpuTime: 300 * Math.min(SLOW, 3) } });
    const [idle, working] = [box.spawn(["sleep", "100"]), box.spawn(["sh", "-c", busy])];
    expect(await working.result()).toMatchObject({ reason: "cpu-time" });
    expect(await idle.result()).toMatchObject({ reason: "cpu-time" });
  });

  sandboxTest("waiting takes none", async () => {
    expect(await run("sleep 0.4; exit 3", { limits: { cpuTime: "300ms" } })).toMatchObject({ reason: "exit" });
  });

  sandboxTest("user and system time are told apart, and are what is used together", async () => {
    const { usage } = await run("i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done");
    // User-Mode Linux takes a guest's user time for system time
    expect(inGuest ? usage.cpuMs : usage.cpuUserMs).toBeGreaterThan(0);
    expect(usage.cpuUserMs + usage.cpuSystemMs).toBeCloseTo(usage.cpuMs, 0);
  });
});

describe("other controllers", () => {
  const { v1, v2 } = findHierarchies();
  const has = (name: string, v2Name = name) =>
    noLimits ??
    (v1.has(name) || (v2 && existsSync(`${v2.mount}/cgroup.controllers`) && controllers().includes(v2Name))
      ? undefined
      : `there is no ${name} controller`);
  const controllers = () => readFileSync(`${v2?.mount}/cgroup.controllers`, "utf8").trim().split(" ");

  testUnless(has("cpuset"), "only the CPUs that are named", async () => {
    expect(await run("nproc", { limits: { cpusetCpus: "0" } })).toMatchObject({ stdout: "1\n", stderr: "" });
    expect(await run("nproc")).toMatchObject({ stdout: `${navigator.hardwareConcurrency}\n` });
  });

  testUnless(has("cpu"), "shares, and the quota of a period", async () => {
    const limits = { cpuShares: 512, cpuPeriodUs: 50_000, cpuQuotaUs: 25_000 };
    await using box = await Sandbox.create({ rootfs: root.path, limits });
    const values = [];
    for (const group of cgroups()) {
      for (const file of ["cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.weight", "cpu.max"])
        values.push((await readIfThere(`${group}/${file}`))?.trim());
    }
    const found = values.filter((value) => value !== undefined);
    expect(found).toEqual(v1.has("cpu") ? ["512", "50000", "25000"] : ["59", "25000 50000"]);
    void box;
  });

  const disk = blockDeviceOf(root.path);
  testUnless(
    has("blkio", "io") ?? (disk ? undefined : "the temporary directory is on no block device"),
    "bytes a second to the disk",
    async () => {
      const target = root.directory("data", 0o777);
      const write = (limits: RunOptions["limits"]) =>
        run("dd if=/dev/zero of=/data/file bs=64k count=16 oflag=direct 2>/dev/null", {
          limits: { time: `${20 * SLOW}s`, ...limits },
          mounts: [{ type: "bind", source: target, target: "/data" }],
        });
      const limited = await write({ io: { writeBps: "1mb" } });
      const free = await write({});
      expect([limited.reason, free.reason]).toEqual(["exit", "exit"]);
      expect(limited.usage.wallMs).toBeGreaterThan(700);
      expect(limited.usage.wallMs).toBeGreaterThan(2 * free.usage.wallMs);
      expect(free.usage.writeBytes).toBeGreaterThanOrEqual(2 ** 20);
    },
  );

  testUnless(
    noLimits ?? (v1.has("memory") ? undefined : "needs cgroup v1"),
    "without the OOM killer, who needs more memory waits for it",
    async () => {
      const limits = { memory: "16mb", oomKill: false, time: "700ms" };
      // a system call that needs memory fails, a program that does waits
      const line = "x=0123456789; while :; do x=$x$x; done";
      expect(await run(line, { limits })).toMatchObject({ reason: "timeout" });
      expect(await run(line, { limits: { ...limits, oomKill: true } })).toMatchObject({ reason: "oom" });
    },
  );

  limitTest("what a version lacks is an error that says so, or is left out and told", async () => {
    const limits = v1.has("memory") ? { unified: { "memory.high": "max" } } : { memorySwappiness: 5 };
    const error = await failureOf(() => run("true", { limits }));
    expect(error).toMatchObject({ code: "limit_unavailable", message: "limit memory: not possible here" });
    const { warnings, reason } = await run("exit 5", { limits: { ...limits, pids: 5, optional: true } });
    expect([warnings.length, reason]).toEqual([1, "exit"]);
    expect(warnings[0]).toStartWith("limit memory: not possible here: cgroup v");
  });

  limitTest("optional limits that are possible are kept", async () => {
    const { warnings, reason } = await run(`exec ${allocate("64M")}`, { limits: { memory: "16mb", optional: true } });
    expect([warnings, reason]).toEqual([[], "oom"]);
  });

  testUnless(notRoot, "a parent that is asked for limits the sandbox as well", async () => {
    const parent = `/tsbox-test-parent-${process.pid}`;
    const hierarchy = v1.get("pids")?.mount ?? v2!.mount;
    if (!v1.has("pids")) writeFileSync(`${hierarchy}/cgroup.subtree_control`, "+pids");
    mkdirSync(hierarchy + parent);
    try {
      writeFileSync(`${hierarchy}${parent}/pids.max`, "4");
      const fork = "for i in 1 2 3 4 5 6; do sleep 0.1 & done; wait; exit 0";
      const inside = await run(`${fork} 2>/dev/null`, { cgroupParent: parent });
      expect(inside.stderr).toContain("fork");
      expect((await run(fork)).stderr).toBe("");
      expect(await eventually(() => cgroups().length === 0)).toBe(true);
    } finally {
      rmdirSync(hierarchy + parent);
    }
    const error = await failureOf(() => run("true", { cgroupParent: `${parent}/no/such` }));
    expect([error.code, error.hint]).toEqual(["limit_unavailable", expect.stringContaining("mkdir")]);
  });

  testUnless(
    notRoot,
    "memory that others may use up: of a parent with a limit, or below one that this process is not in",
    async () => {
      const version = v1.has("memory") ? "v1" : "v2";
      const { mount } = (version === "v1" ? v1.get("memory") : v2)!;
      const parent = `/tsbox-test-crowded-${process.pid}`;
      const inner = `${parent}/inner`;
      if (version === "v2") writeFileSync(`${mount}/cgroup.subtree_control`, "+memory");
      mkdirSync(mount + inner, { recursive: true });
      if (version === "v2") writeFileSync(`${mount}${parent}/cgroup.subtree_control`, "+memory");
      const limit = (path: string, value: string) =>
        writeFileSync(`${mount}${path}/${version === "v1" ? "memory.limit_in_bytes" : "memory.max"}`, value);
      const isSo = async (path?: string) => {
        const group = makeCgroup({ memory: { limit: 64 * MIB } }, { path });
        const { crowded } = group.membership;
        await group.remove();
        return crowded;
      };
      const none = version === "v1" ? "-1" : "max";
      try {
        expect([await isSo(), await isSo(`${inner}/`)]).toEqual([false, false]);
        limit(parent, "512M");
        expect([await isSo(), await isSo(`${parent}/`), await isSo(`${inner}/`)]).toEqual([false, true, true]);
        const within = (own: string) => {
          const hierarchy = { mount, own: mount + own };
          return isCrowded(inner, { v1: new Map(version === "v1" ? [["memory", hierarchy]] : []), v2: hierarchy });
        };
        expect([within(""), within(parent), within(`${parent}/other`), within(`${parent}2`)]).toEqual([
          true,
          false,
          false,
          true,
        ]);
        // a printed plan is that of the sandbox, whatever it limits itself
        const planned = (below?: string) => cgroupPlan({ pids: { limit: 5 } }, below).membership.crowded;
        expect([planned(), planned(inner)]).toEqual([false, true]);
        limit(parent, none);
        limit(inner, "512M");
        expect([await isSo(`${parent}/`), await isSo(`${inner}/`)]).toEqual([false, true]);
      } finally {
        rmdirSync(mount + inner);
        rmdirSync(mount + parent);
      }
    },
  );

  testUnless(notRoot, "of devices only the usual ones, and those that are allowed", async () => {
    const write = ["sh", "-c", "for d in null zero full; do echo >/dev/$d; echo $?; done 2>/dev/null"];
    const options: RunOptions = { rootfs: root.path, security: { deviceRules: [] } };
    // writing to /dev/full fails by itself, but with another error
    expect((await Sandbox.run(write, options)).stdout).toBe("0\n0\n1\n");
    const denied = await runChanged(["sh", "-c", "echo >/dev/zero; head -c 1 /dev/null"], options, {
      spec({ linux: { resources } }) {
        resources!.devices = resources!.devices!.filter(({ minor }) => minor !== 5);
      },
    });
    expect(denied.stderr).toContain("can't create /dev/zero: Operation not permitted");
    expect(denied.stderr).not.toContain("/dev/null");
  });
});

describe("time", () => {
  sandboxTest("everything inside is killed when it is over: timeout", async () => {
    const { reason, signalCode, stdout, usage } = await run("echo before; sleep 100 & sleep 100; echo after", {
      limits: { time: 200 * SLOW },
    });
    expect([reason, signalCode, stdout]).toEqual(["timeout", "SIGKILL", "before\n"]);
    expect(usage.wallMs).toBeGreaterThanOrEqual(190 * SLOW);
    expect(usage.wallMs).toBeLessThan(2000 * SLOW);
  });

  sandboxTest("a process that ignores every signal is killed too", async () => {
    const { reason } = await run("trap '' TERM INT HUP QUIT; while :; do sleep 0.05; done", {
      limits: { time: 200 * SLOW },
    });
    expect(reason).toBe("timeout");
  });

  sandboxTest("a box and all of its processes end", async () => {
    await using box = await Sandbox.create({ rootfs: root.path, limits: { time: 300 * SLOW } });
    const processes = [box.spawn(["sleep", "100"]), box.spawn(["sleep", "100"])];
    for (const process of processes)
      expect(await process.result()).toMatchObject({ reason: "timeout", signalCode: "SIGKILL" });
    expect((await failureOf(() => box.spawn(["true"]))).code).toBe("sandbox_closed");
  });

  sandboxTest("a command that is faster knows nothing of it", async () => {
    expect(await run("true", { limits: { time: "1h" } })).toMatchObject({ reason: "exit", exitCode: 0 });
  });
});

describe("output", () => {
  sandboxTest("what was within the limit is kept, then the process is killed: output", async () => {
    const { reason, signalCode, stdout } = await run("yes", { limits: { output: 1001 } });
    expect([reason, signalCode, stdout.length]).toEqual(["output", "SIGKILL", 1001]);
    expect(stdout).toStartWith("y\ny\n");
  });

  sandboxTest("stdout and stderr count together", async () => {
    const { reason, stdout, stderr } = await run(
      "head -c 600 /dev/zero; sleep 0.2; head -c 600 /dev/zero >&2; sleep 100",
      { limits: { output: "1k" } },
    );
    expect([reason, stdout.length, stderr.length]).toEqual(["output", 600, 424]);
  });

  sandboxTest("exactly as much as is allowed is no reason", async () => {
    expect(await run("head -c 1024 /dev/zero", { limits: { output: "1k" } })).toMatchObject({
      reason: "exit",
      exitCode: 0,
    });
    expect(await run("true", { limits: { output: 0 } })).toMatchObject({ reason: "exit", exitCode: 0 });
  });

  sandboxTest("what has ended before anybody read too much of it is told so as well", async () => {
    for (let round = 0; round < 5; round++) {
      const { reason, stdout } = await run("echo 12345", { limits: { output: 3 } });
      expect([reason, stdout]).toEqual(["output", "123"]);
    }
    await using box = await Sandbox.create({ rootfs: root.path, limits: { output: 3 } });
    expect(await failureOf(() => box.$`echo 12345`.text())).toMatchObject({
      code: "command_failed",
      message: expect.stringContaining("ended by output"),
    });
  });

  sandboxTest("also for streams that the caller reads", async () => {
    const process = Sandbox.spawn(["yes"], { rootfs: root.path, limits: { output: 5000 } });
    expect((await new Response(process.stdout).bytes()).length).toBe(5000);
    expect(await process.result()).toMatchObject({ reason: "output" });
  });
});

describe("disk", () => {
  const places: [string, RunOptions][] = [
    ["a directory's layer", { rootfs: root.path }],
    ["the host's private directories", { rootfs: "host" }],
  ];
  const inPlace = (line: string, place: RunOptions, limits: RunOptions["limits"] = { disk: "1mb" }) =>
    Sandbox.run(["sh", "-c", line], { ...place, limits });

  for (const [name, place] of places) {
    sandboxTest(`${name}: no more than that can be written: disk`, async () => {
      const full = await inPlace("head -c 4m /dev/zero >/tmp/file; code=$?; stat -c %s /tmp/file; exit $code", place);
      expect([full.reason, full.stdout]).toEqual(["disk", `${2 ** 20}\n`]);
      expect(full.exitCode).not.toBe(0);
      // without a limit it is written
      const free = await inPlace("head -c 4m /dev/zero >/tmp/file && stat -c %s /tmp/file", place, {});
      expect(free).toMatchObject({ reason: "exit", exitCode: 0, stdout: `${2 ** 22}\n` });
    });

    sandboxTest(`${name}: as much as is allowed is no reason, nor is a command that does well`, async () => {
      expect(await inPlace("head -c 900k /dev/zero >/tmp/file; exit 3", place)).toMatchObject({ reason: "exit" });
      expect(await inPlace("head -c 4m /dev/zero >/tmp/file; exit 0", place)).toMatchObject({ reason: "exit" });
    });

    sandboxTest(`${name}: empty files count by their number`, async () => {
      const line = "cd /tmp; i=0; while [ $i -lt 3000 ]; do : >$i || exit 1; i=$((i+1)); done";
      expect(await inPlace(line, place)).toMatchObject({ reason: "disk" });
      expect(await inPlace(line, place, { disk: "8mb" })).toMatchObject({ reason: "exit", exitCode: 0 });
    });
  }

  sandboxTest("all of the host's private directories count together, and only they can be written", async () => {
    const line =
      "head -c 700k /dev/zero >/tmp/a && head -c 700k /dev/zero >/var/tmp/b; echo $?; echo >/etc/x; stat -c %a /root /tmp";
    const { stdout, stderr } = await inPlace(line, { rootfs: "host" });
    expect(stdout).toBe("1\n700\n1777\n");
    expect(stderr).toContain("/etc/x: Read-only file system");
  });

  sandboxTest("a process that joins a box is told the same", async () => {
    await using box = await Sandbox.create({ rootfs: root.path, limits: { disk: "1mb" } });
    const write = (size: string) =>
      box.spawn(["sh", "-c", `head -c ${size} /dev/zero >/tmp/file`], { stderr: "ignore" });
    expect(await write("2m").result()).toMatchObject({ reason: "disk" });
    expect(await write("10k").result()).toMatchObject({ reason: "exit", exitCode: 0 });
  });
});

describe("ulimits", () => {
  sandboxTest("a process that exceeds one is killed by its signal, which is told", async () => {
    const result = await run("exec head -c 9000 /dev/zero >/tmp/file", { ulimits: { fsize: 4096 } });
    expect(result).toMatchObject({ reason: "signal", signalCode: "SIGXFSZ", exitCode: null });
  });

  testUnless(
    noBusybox ?? (asRoot ? "root may raise its limits" : undefined),
    "one above the owner's own is an error",
    async () => {
      const error = await failureOf(() => run("true", { ulimits: { nofile: [64, 2 ** 30] } }));
      expect([error.code, error.step]).toEqual(["limit_unavailable", "set RLIMIT_NOFILE to 64:1073741824"]);
    },
  );
});

describe("control groups", () => {
  limitTest("of several workers of one program are different ones", async () => {
    const worker = root.script(
      `self.onmessage = async () => {
         const box = await Sandbox.create({ rootfs: ${JSON.stringify(root.path)}, limits: { pids: 7 } }).catch(String);
         self.onmessage = async () => (await box.stop?.(), postMessage("stopped"));
         postMessage(typeof box === "string" ? box : "stands");
       };`,
    );
    const main = root.script(
      `const workers = Array.from({ length: 3 }, () => new Worker(${JSON.stringify(worker)}));
       const own = await Sandbox.create({ rootfs: ${JSON.stringify(root.path)}, limits: { pids: 7 } });
       for (let turn = 0; turn < 2; turn++) {
         const answers = workers.map((each) => new Promise((resolve) => (each.onmessage = ({ data }) => resolve(data))));
         for (const each of workers) each.postMessage("");
         console.log((await Promise.all(answers)).join());
       }
       await own.stop();
       process.exit();`,
    );
    const { stdout, stderr } = Bun.spawnSync([process.execPath, main]);
    expect([stderr.toString(), stdout.toString()]).toEqual(["", "stands,stands,stands\nstopped,stopped,stopped\n"]);
  });

  limitTest("one is there while the sandbox is, with the limits in it, and then is gone", async () => {
    const box = await Sandbox.create({ rootfs: root.path, limits: { memory: "32mb", cpus: 0.5, pids: 8 } });
    const made = cgroups();
    expect(made.length).toBeGreaterThan(0);
    const values = await Promise.all(
      ["memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max", "cpu.cfs_quota_us"].flatMap((file) =>
        made.map(async (group) => `${file} ${(await readIfThere(`${group}/${file}`))?.trim()}`),
      ),
    );
    const v2 = inGuest;
    for (const value of v2 ? ["memory.max 33554432", "pids.max 9", "cpu.max 50000 100000"] : [`pids.max 9`])
      expect(values).toContain(value);
    expect(values.some((value) => /^memory.*33554432$/.test(value))).toBe(true);
    expect(values.some((value) => /^cpu.*50000/.test(value))).toBe(true);
    await box.stop();
    expect(cgroups()).toEqual([]);
  });

  limitTest("after runs that end in every way there is none left", async () => {
    const limits = { memory: "16mb", cpus: 1, pids: 8 };
    await Promise.all([
      run("true", { limits }),
      run(allocate("64M"), { limits }),
      run("sleep 100", { limits: { ...limits, time: 50 } }),
      run("yes", { limits: { ...limits, output: 10 } }),
      failureOf(() => Sandbox.run(["/no/such"], { rootfs: root.path, limits })),
      failureOf(() => run("true", { limits, cwd: "/etc/passwd" })),
      failureOf(() => run("true", { limits, stdin: 5 as never })),
    ]);
    expect(await eventually(() => cgroups().length === 0)).toBe(true);
  });

  limitTest("the command cannot change its own limits", async () => {
    const { stdout } = await run(
      "find / -name 'memory.max' -o -name 'memory.limit_in_bytes' -o -name tasks -maxdepth 6 2>/dev/null | grep -v ^/proc; ls -A /sys/fs/cgroup 2>/dev/null",
      { limits: { memory: "32mb" } },
    );
    expect(stdout).toBe("");
  });

  limitTest("the command is in it from its start, and so is what it starts", async () => {
    await using box = await Sandbox.create({ rootfs: root.path, limits: { pids: 20 } });
    const sleeping = box.spawn(["sh", "-c", "sleep 100 & echo up; wait"]);
    await sleeping.stdout!.getReader().read();
    const [group] = cgroups();
    const members = (await Bun.file(`${group}/cgroup.procs`).text()).trim().split("\n");
    expect(members.length).toBe(3); // init, the shell, and its child
    sleeping.kill("KILL");
    await sleeping.result();
  });

  limitTest("counters", async () => {
    const group = makeCgroup({ pids: { limit: 5 }, memory: { limit: 32 * MIB, swap: 32 * MIB } });
    expect(group.counters()).toMatchObject({ oomKills: 0, pidsDenied: 0 });
    expect(group.counters().peakMemoryBytes).toBeLessThan(MIB);
    await group.remove();
    expect(cgroups()).toEqual([]);
  });

  limitTest("what a box keeps open of it is read anew each time, and goes with it", async () => {
    const group = makeCgroup({ pids: { limit: 5 }, memory: { limit: 32 * MIB, swap: 32 * MIB } });
    const before = descriptors().size;
    group.keepOpen();
    for (let count = 0; count < 3; count++) {
      using opened = new Descriptors();
      expect(Object.values(group.open(opened)).every((fd) => fd > 2)).toBe(true);
      expect(group.counters()).toMatchObject({ oomKills: 0, pidsDenied: 0 });
    }
    expect(descriptors().size).toBeGreaterThan(before);
    await group.remove();
    expect(descriptors().size).toBe(before);
    await using box = await Sandbox.create({ rootfs: root.path, limits: { memory: "16mb", pids: 5 } });
    const reasons: string[] = [];
    for (const line of [
      "true",
      "dd if=/dev/zero of=/tmp/x bs=1M count=100",
      "false",
      "sleep 1 & sleep 1 & sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait",
      "false",
    ])
      reasons.push((await box.spawn(["sh", "-c", line], { stdout: "ignore", stderr: "ignore" }).result()).reason);
    expect(reasons).toEqual(["exit", "oom", "exit", "pids", "exit"]);
  });

  limitTest("a group that is there already is somebody else's, and stays", async () => {
    const first = makeCgroup({ pids: { limit: 5 } });
    const [path = ""] = cgroups();
    const { v1, v2 } = findHierarchies();
    const name = path.slice((v1.get("pids") ?? v2)!.mount.length);
    const error = await failureOf(() => makeCgroup({ pids: { limit: 9 } }, { path: name }));
    expect([error.code, error.message]).toEqual(["limit_unavailable", `make the control group "${path}": EEXIST`]);
    expect(cgroups()).toEqual([path]);
    expect((await failureOf(() => makeCgroup({}, { path: "relative" }))).code).toBe("invalid_option");
    await first.remove();
  });

  test("none is made where nothing is limited", async () => {
    const group = makeCgroup({});
    expect([group.membership, group.open(new Descriptors())]).toEqual([{ tasks: 0, into: false }, {}]);
    await group.remove();
    expect(cgroups()).toEqual([]);
  });

  testUnless(withLimits, "an ordinary user without a delegated cgroup gets an error with the remedy", async () => {
    for (const limits of [{ memory: "64mb" }, { cpus: 1 }, { pids: 10 }]) {
      const error = await failureOf(() => run("true", { limits }));
      expect(error.code).toBe("limit_unavailable");
      expect(error.message).toContain("not possible here");
      expect(error.hint).toMatch(/run as root|Delegate=yes|mount cgroup2/);
    }
    const { warnings, stdout } = await run("echo fine", { limits: { memory: "64mb", cpus: 1, optional: true } });
    expect([warnings.length, stdout]).toEqual([2, "fine\n"]);
    expect(await run("echo fine", { limits: { time: "10s", output: "1k" } })).toMatchObject({ stdout: "fine\n" });
  });
});

test.each([
  [{}, []],
  [{ pids: { limit: 5 } }, ["pids: pids.max=5 | pids.max=5"]],
  [
    { cpu: { quota: 50_000, period: 100_000 } },
    ["cpu: cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 | cpu.max=50000 100000"],
  ],
  [{ cpu: { quota: 1000 } }, ["cpu: cpu.cfs_period_us=100000 cpu.cfs_quota_us=1000 | cpu.max=1000 100000"]],
  [
    { memory: { limit: 100, swap: 100 } },
    [
      "memory: memory.limit_in_bytes=100 | memory.max=100",
      "memory: memory.memsw.limit_in_bytes=100? | memory.swap.max=0?",
    ],
  ],
  [{ memory: { limit: 100 } }, ["memory: memory.limit_in_bytes=100 | memory.max=100"]],
  [
    { memory: { limit: 100, swap: 150 } },
    [
      "memory: memory.limit_in_bytes=100 | memory.max=100",
      "memory: memory.memsw.limit_in_bytes=150 | memory.swap.max=50",
    ],
  ],
  [
    { memory: { limit: 100, swap: -1 } },
    [
      "memory: memory.limit_in_bytes=100 | memory.max=100",
      "memory: memory.memsw.limit_in_bytes=-1? | memory.swap.max=max?",
    ],
  ],
  [
    { memory: { reservation: 50, swappiness: 10, disableOOMKiller: true } },
    [
      "memory: memory.soft_limit_in_bytes=50 | memory.low=50",
      "memory: memory.swappiness=10 | no a group's own swappiness",
      "memory: memory.oom_control=1 | no groups without OOM killer",
    ],
  ],
  [
    { cpu: { shares: 1024, burst: 500, period: 50_000, idle: 1 as const } },
    [
      "cpu: cpu.shares=1024 cpu.cfs_period_us=50000 cpu.cfs_burst_us=500 cpu.idle=1 | cpu.weight=100 cpu.max=max 50000 cpu.max.burst=500 cpu.idle=1",
    ],
  ],
  [{ cpu: { quota: -1 } }, ["cpu: cpu.cfs_period_us=100000 cpu.cfs_quota_us=-1 | cpu.max=max 100000"]],
  [{ cpu: { cpus: "0-1", mems: "0" } }, ["cpuset: cpuset.cpus=0-1 cpuset.mems=0 | cpuset.cpus=0-1 cpuset.mems=0"]],
  [{ pids: { limit: -1 } }, ["pids: pids.max=max | pids.max=max"]],
  [
    { blockIO: { weight: 505, weightDevice: [{ major: 8, minor: 0, weight: 10 }] } },
    [
      "io: blkio.weight=505/blkio.bfq.weight=505 blkio.weight_device=8:0 10/blkio.bfq.weight_device=8:0 10 | " +
        "io.bfq.weight=default 505/io.weight=default 5000 io.bfq.weight=8:0 10/io.weight=8:0 1",
    ],
  ],
  [
    {
      blockIO: {
        throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 16, rate: 0 }],
      },
    },
    [
      "io: blkio.throttle.read_bps_device=8:0 1000 blkio.throttle.write_iops_device=8:16 0 | " +
        "io.max=8:0 rbps=1000 io.max=8:16 wiops=max",
    ],
  ],
  [
    { hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }] },
    [
      "hugetlb: hugetlb.2MB.limit_in_bytes=4194304 hugetlb.2MB.rsvd.limit_in_bytes=4194304? | " +
        "hugetlb.2MB.max=4194304 hugetlb.2MB.rsvd.max=4194304?",
    ],
  ],
  [
    { hugepageLimits: [{ pageSize: "1GB", limit: 2 ** 64 }], memory: { limit: 2 ** 63, reservation: -1 } },
    [
      "memory: memory.limit_in_bytes=-1 | memory.max=max",
      "memory: memory.soft_limit_in_bytes=-1 | memory.low=max",
      "hugetlb: hugetlb.1GB.limit_in_bytes=-1 hugetlb.1GB.rsvd.limit_in_bytes=-1? | " +
        "hugetlb.1GB.max=max hugetlb.1GB.rsvd.max=max?",
    ],
  ],
  [
    { cpu: { realtimeRuntime: 5000, realtimePeriod: 50_000 }, memory: { useHierarchy: true } },
    [
      "memory: memory.use_hierarchy=1? | ",
      "cpu: cpu.rt_period_us=50000 cpu.rt_runtime_us=5000 | no a limit of time in real time",
    ],
  ],
  [
    { blockIO: { leafWeight: 20, weightDevice: [{ major: 8, minor: 0, leafWeight: 30 }] } },
    ["io: blkio.leaf_weight=20 blkio.leaf_weight_device=8:0 30 | no weights against groups below"],
  ],
  [
    { rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10_000 }, mlx4_0: { hcaObjects: 1 } } },
    [
      "rdma: rdma.max=mlx5_1 hca_handle=3 hca_object=10000 rdma.max=mlx4_0 hca_object=1 | " +
        "rdma.max=mlx5_1 hca_handle=3 hca_object=10000 rdma.max=mlx4_0 hca_object=1",
    ],
  ],
  [
    { network: { classID: 1_048_577, priorities: [{ name: "eth0", priority: 500 }] } },
    [
      "net_cls: net_cls.classid=1048577 | no classes and priorities of network traffic",
      "net_prio: net_prio.ifpriomap=eth0 500 | no classes and priorities of network traffic",
    ],
  ],
  [
    {
      devices: [
        { allow: false },
        { allow: true, type: "c" as const, major: 1, minor: 3, access: "rw" },
        { allow: true, type: "b" as const, major: 8 },
      ],
    },
    ["devices: devices.deny=a devices.allow=c 1:3 rw devices.allow=b 8:* rwm | "],
  ],
  [{ unified: { "memory.high": "max" } }, ['memory: no "memory.high" | memory.high=max']],
])("resources %j as files of version 1 and 2", (resources: Resources, expected) => {
  const one = ({ file, value, optional, or }: Write) =>
    `${file}=${value}${optional ? "?" : ""}${or ? `/${or.file}=${or.value}` : ""}`;
  const files = (settings: Write[] | { lacks: string }) =>
    Array.isArray(settings) ? settings.map(one).join(" ") : `no ${settings.lacks}`;
  expect(settingsOf(resources).map(({ controller, v1, v2 }) => `${controller}: ${files(v1)} | ${files(v2)}`)).toEqual(
    expected,
  );
});

test("shares become weights, and the defaults of both are the same", () => {
  expect([1, 2, 1024, 262_144, 1e9].map(weightOfShares)).toEqual([1, 1, 100, 10_000, 10_000]);
  const weights = Array.from({ length: 17 }, (_, power) => weightOfShares(2 ** (power + 2)));
  expect(weights).toEqual(weights.toSorted((a, b) => a - b));
});

describe("where this process is among the control groups", () => {
  const V1 =
    "31 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 23 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
  const V2 = "40 23 0:40 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
  const CONTAINER = "40 23 0:40 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
  const ESCAPED = "31 23 0:28 / /my\\040groups/memory rw - cgroup cgroup rw,memory\n";

  test.each<[string, string, string, object]>([
    [
      "version 1",
      V1,
      "4:memory:/user/me\n3:cpu,cpuacct:/\n",
      {
        v1: [
          ["memory", "/sys/fs/cgroup/memory/user/me"],
          ["cpu", "/sys/fs/cgroup/cpu,cpuacct"],
          ["cpuacct", "/sys/fs/cgroup/cpu,cpuacct"],
        ],
      },
    ],
    [
      "version 2",
      V2,
      "0::/user.slice/me.scope\n",
      { v2: { mount: "/sys/fs/cgroup", own: "/sys/fs/cgroup/user.slice/me.scope" }, v1: [] },
    ],
    ["the root of version 2", V2, "0::/\n", { v2: { mount: "/sys/fs/cgroup", own: "/sys/fs/cgroup" }, v1: [] }],
    [
      "a container that sees a part",
      CONTAINER,
      "0::/docker/abc/job\n",
      { v2: { mount: "/sys/fs/cgroup", own: "/sys/fs/cgroup/job" }, v1: [] },
    ],
    ["a path that is written in octal", ESCAPED, "4:memory:/\n", { v1: [["memory", "/my groups/memory"]] }],
    ["none", "", "", { v1: [] }],
    [
      "a hierarchy that is not mounted",
      V2,
      "4:memory:/x\n0::/y\n",
      { v1: [], v2: { mount: "/sys/fs/cgroup", own: "/sys/fs/cgroup/y" } },
    ],
  ])("%s", (_, mountinfo, membership, expected) => {
    const { v1, ...rest } = findHierarchies(mountinfo, membership);
    expect({ v1: [...v1].map(([name, { own }]) => [name, own]), ...rest }).toEqual(expected as never);
  });
});

async function readIfThere(file: string): Promise<string | undefined> {
  return (await Bun.file(file).exists()) ? Bun.file(file).text() : undefined;
}
