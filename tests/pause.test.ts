/** Boxes that are paused, resumed, measured and given other limits. @module */
import { afterAll, describe, expect } from "bun:test";
import { findHierarchies } from "../lib/cgroup/index.ts";
import { Sandbox, type SandboxOptions, type SandboxProcess } from "../lib/index.ts";
import { membersOf } from "../lib/sandbox/members.ts";
import { readKernelFile } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, noLimits, notRoot, SLOW, testUnless, withLimits } from "./support/machine.ts";
import { cgroups, eventually, processes } from "./support/processes.ts";
import { makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
afterAll(() => root.remove());

const MIB = 2 ** 20;
const boxOf = (options: SandboxOptions = {}) => Sandbox.create({ rootfs: root.path, ...options });
const sh = (box: Sandbox, line: string) => box.spawn(["sh", "-c", line], { stderr: "ignore" });
const limitTest = (name: string, body: () => unknown) => testUnless(noLimits, name, body);
const sandboxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
/** Where something can be frozen: a cgroup that may be written to. */
const freezerTest = (name: string, body: () => unknown) => testUnless(noLimits, name, body);

const codeOf = ({ code }: { code?: string }) => code ?? "none";

const BOMB = "f() { while :; do f & echo x; sleep 0.001; done; }; f";
const TICKING = "while :; do echo tick; sleep 0.01; done";

/** Counts what a process writes, as it writes it. */
function counter(process: SandboxProcess): () => number {
  let seen = 0;
  void (async () => {
    for await (const chunk of process.stdout!) seen += chunk.length;
  })().catch(() => {});
  return () => seen;
}

/** Whether it grows within a while. */
async function grows(count: () => number): Promise<boolean> {
  const before = count();
  await Bun.sleep(150 * SLOW);
  return count() > before;
}

describe("pause", () => {
  for (const [name, options] of [
    ["a box without limits", {}],
    ["a box with limits", { limits: { memory: "64mb", pids: 32 } }],
  ] as const) {
    freezerTest(`${name}: nothing runs until it is resumed`, async () => {
      await using box = await boxOf(options);
      const count = counter(sh(box, TICKING));
      expect(await eventually(() => count() > 0)).toBe(true);
      for (let turn = 0; turn < 2; turn++) {
        await box.pause();
        expect(box.paused).toBe(true);
        // what was in the pipe comes out yet
        await Bun.sleep(20 * SLOW);
        expect(await grows(count)).toBe(false);
        await box.resume();
        expect(box.paused).toBe(false);
        expect(await grows(count)).toBe(true);
      }
    });
  }

  freezerTest("children and grandchildren, orphans, and what is being started", async () => {
    await using box = await boxOf();
    const counts = ["(" + TICKING + ")& wait", "(setsid sh -c '" + TICKING + "' &); sleep 100", TICKING].map((line) =>
      counter(sh(box, line)),
    );
    expect(await eventually(() => counts.every((count) => count() > 0))).toBe(true);
    const started = counter(sh(box, TICKING));
    await box.pause();
    await Bun.sleep(20 * SLOW);
    const before = [...counts, started].map((count) => count());
    await Bun.sleep(150 * SLOW);
    expect([...counts, started].map((count) => count())).toEqual(before);
    await box.resume();
    expect(await eventually(() => started() > (before.at(-1) ?? 0))).toBe(true);
  });

  freezerTest("it can be stopped, and leaves nothing", async () => {
    const box = await boxOf();
    const process = sh(box, TICKING);
    await box.pause();
    await box.stop();
    expect(await process.result()).toMatchObject({ reason: "killed", signalCode: "SIGKILL" });
    expect(await eventually(() => cgroups().length === 0)).toBe(true);
  });

  freezerTest("a limit of time ends it, too", async () => {
    await using box = await boxOf({ limits: { time: 300 * SLOW } });
    const process = sh(box, TICKING);
    await box.pause();
    expect(await process.result()).toMatchObject({ reason: "timeout" });
  });

  freezerTest("nothing can be started in it, and a process that was killed ends when it goes on", async () => {
    await using box = await boxOf();
    const process = sh(box, "sleep 100");
    await box.pause();
    expect((await failureOf(() => sh(box, "true"))).code).toBe("sandbox_paused");
    expect((await failureOf(() => box.fs.readdir("/"))).code).toBe("sandbox_paused");
    process.kill("SIGKILL");
    await box.resume();
    expect(await process.result()).toMatchObject({ signalCode: "SIGKILL" });
    expect(await sh(box, "exit 4").exited).toBe(4);
  });

  freezerTest("a fork bomb is frozen as well", async () => {
    await using box = await boxOf({ limits: { pids: 60 } });
    const bomb = sh(box, BOMB);
    const count = counter(bomb);
    expect(await eventually(() => count() > 100)).toBe(true);
    await box.pause();
    // what is in the pipe still comes
    await grows(count);
    expect(await grows(count)).toBe(false);
    await box.resume();
    bomb.kill("SIGKILL");
  });

  const PAUSED = `const box = await Sandbox.create({ rootfs: ${JSON.stringify(root.path)} });
    box.spawn(["sleep", "1234567"]);
    await box.pause();
    console.log(box.pid);
    setInterval(() => {}, 1000);`;
  const NEXT = `await Sandbox.run(["true"], { rootfs: ${JSON.stringify(root.path)}, limits: { pids: 9 } });`;

  /** @param around a command line that runs another one @returns the pids of the owner, which was killed, and of init */
  async function killedWhilePaused(...around: string[]): Promise<[owner: number, init: number]> {
    const owner = Bun.spawn([...around, process.execPath, root.script(PAUSED)], { stdout: "pipe" });
    const { value } = await owner.stdout.getReader().read();
    const init = Number(new TextDecoder().decode(value));
    expect(init).toBeGreaterThan(1);
    owner.kill("SIGKILL");
    await owner.exited;
    return [owner.pid, init];
  }
  const { v1, v2 } = findHierarchies();
  const hasEnded = (init: number) => !processes().some(({ pid, state }) => pid === init && state !== "Z");

  testUnless(
    noLimits ?? (v2 ? undefined : "with cgroup v1, what is frozen cannot be killed"),
    "a paused box goes with an owner that is killed, and its groups with the next one that limits something",
    async () => {
      const [owner, init] = await killedWhilePaused();
      expect(await eventually(() => hasEnded(init))).toBe(true);
      expect(cgroups(owner)).not.toEqual([]);
      expect(Bun.spawnSync([process.execPath, root.script(NEXT)]).exitCode).toBe(0);
      expect(await eventually(() => cgroups(owner).length === 0)).toBe(true);
    },
  );

  testUnless(
    notRoot ?? (v1.has("freezer") ? undefined : "cgroup v1 has no freezer here"),
    "with version 1 alone, what a killed owner has paused ends with the next one that limits something",
    async () => {
      const line = v2 ? `umount "${v2.mount}" && exec "$@"` : 'exec "$@"';
      const around = ["unshare", "--mount", "sh", "-c", line, "sh"];
      const [owner, init] = await killedWhilePaused(...around);
      // the control: nobody can end it otherwise
      expect(cgroups(owner).filter((path) => path.startsWith(`${v1.get("freezer")?.mount}/`))).toHaveLength(1);
      expect(hasEnded(init)).toBe(false);
      expect(Bun.spawnSync([...around, process.execPath, root.script(NEXT)]).exitCode).toBe(0);
      expect(await eventually(() => hasEnded(init) && cgroups(owner).length === 0)).toBe(true);
    },
  );

  sandboxTest("without one there is nothing to be resumed, and afterwards nothing to be done", async () => {
    const box = await boxOf();
    await box.resume();
    await box.stop();
    for (const attempt of [() => box.pause(), () => box.resume(), () => box.update({}), () => box.usage()])
      expect((await failureOf(attempt)).code).toBe("sandbox_closed");
  });

  limitTest("a box that is stopped meanwhile is neither paused nor changed, and leaves no group", async () => {
    // at each of these moments
    for (let turns = 0; turns < 12; turns++) {
      const box = await boxOf();
      const busy = sh(box, "while :; do :; done");
      const attempts = [box.pause(), box.update({ pids: 9 }), box.volume("/tmp"), box.fs.readdir("/")];
      const told = attempts.map((attempt) => Promise.resolve(attempt).then(() => "done", codeOf));
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      await box.stop();
      for (const code of await Promise.all(told)) expect(code).toBeOneOf(["done", "sandbox_closed", "sandbox_paused"]);
      expect(await busy.result()).toMatchObject({ reason: "killed" });
    }
    expect(await eventually(() => cgroups().length === 0)).toBe(true);
  });

  testUnless(withLimits, "where no cgroup can be had it is an error with the remedy", async () => {
    await using box = await boxOf();
    const error = await failureOf(() => box.pause());
    expect(error.code).toBe("limit_unavailable");
    expect(error.hint).toMatch(/run as root|Delegate=yes|mount cgroup2/);
    expect(box.paused).toBe(false);
  });
});

function memoryGroupOf(pid: number): string | undefined {
  const groups = readKernelFile(`/proc/${pid}/cgroup`) ?? "";
  return (/^\d+:memory:(.*)$/m.exec(groups) ?? /^0::(.*)$/m.exec(groups))?.[1];
}

describe("update", () => {
  limitTest("a limit of memory, in a box that had none", async () => {
    await using box = await boxOf();
    const allocate = "exec dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null";
    expect(await sh(box, allocate).result()).toMatchObject({ reason: "exit" });
    await box.update({ memory: "24mb" });
    expect(await sh(box, allocate).result()).toMatchObject({ reason: "oom" });
    await box.update({ memory: "256mb" });
    expect(await sh(box, allocate).result()).toMatchObject({ reason: "exit", exitCode: 0 });
  });

  limitTest("processes that run already are limited, too", async () => {
    await using box = await boxOf();
    const line = "read line; for i in 1 2 3 4 5 6; do sleep 1 & done; exit 1";
    const forking = box.spawn(["sh", "-c", line], { stdin: "pipe", stderr: "ignore" });
    await box.update({ pids: 4 });
    await forking.stdin?.write("go\n");
    expect(await forking.result()).toMatchObject({ reason: "pids" });
  });

  limitTest("all of a fork bomb is limited", async () => {
    for (let round = 0; round < 5; round++) {
      await using box = await boxOf({ limits: { pids: 60 } });
      const count = counter(sh(box, BOMB));
      expect(await eventually(() => count() > 100)).toBe(true);
      await box.update({ memory: "256mb" });
      const groups = membersOf([box.pid]).map(({ pid }) => memoryGroupOf(pid));
      expect(groups).not.toContain(memoryGroupOf(process.pid));
    }
  });

  limitTest("a paused box, and one that was paused", async () => {
    await using box = await boxOf();
    const count = counter(sh(box, TICKING));
    expect(await eventually(() => count() > 0)).toBe(true);
    await box.pause();
    await box.update({ memory: "64mb", pids: 10 });
    await box.resume();
    expect(await grows(count)).toBe(true);
    expect(box.usage().pids).toBeLessThanOrEqual(4);
    expect(box.usage().peakMemoryBytes).toBeLessThan(64 * MIB);
  });

  sandboxTest("what control groups do not keep cannot be changed", async () => {
    await using box = await boxOf();
    for (const limits of [{ time: 5 }, { output: 5 }, { disk: "1m" }, { nonsense: 1 }, { memory: "x" }]) {
      expect((await failureOf(() => box.update(limits as never))).code).toBe("invalid_option");
    }
  });
});

describe("usage", () => {
  for (const [name, options, where] of [
    ["of a box without limits", {}, noBusybox],
    ["of a box with limits", { limits: { memory: "128mb", pids: 50, cpus: 2 } }, noLimits],
  ] as const) {
    testUnless(where, `${name}: CPU time, also of what has ended; processes; memory`, async () => {
      await using box = await boxOf(options);
      const before = box.usage();
      await sh(box, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").result();
      const busy = box.usage();
      expect(busy.cpuMs - before.cpuMs).toBeGreaterThan(20);
      expect(Math.abs(busy.cpuUserMs + busy.cpuSystemMs - busy.cpuMs)).toBeLessThan(21);
      const [sleeping, large] = [
        sh(box, "sleep 100"),
        sh(box, "sleep 100 & exec dd bs=32M if=/dev/zero count=1 of=/dev/null; wait"),
      ];
      void large;
      expect(await eventually(() => box.usage().pids >= before.pids + 2)).toBe(true);
      sleeping.kill("KILL");
      expect(box.usage().wallMs).toBeGreaterThan(0);
      expect(box.usage().memoryBytes).toBeGreaterThan(0);
    });
  }

  sandboxTest("again and again, until the box ends", async () => {
    await using box = await boxOf();
    const seen: number[] = [];
    for await (const { wallMs } of box.stats({ interval: 20 })) {
      seen.push(wallMs);
      if (seen.length === 3) await box.stop();
    }
    expect(seen.length).toBe(3);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });

  sandboxTest("until its signal fires, or nobody looks any more", async () => {
    await using box = await boxOf();
    const abort = new AbortController();
    const look = async () => {
      for await (const { pids } of box.stats({ interval: "1h", signal: abort.signal })) {
        expect(pids).toBe(1);
        setTimeout(() => abort.abort(new Error("enough")), 10);
      }
    };
    expect(await look().catch((error: Error) => error.message)).toBe("enough");
    for await (const { pids } of box.stats()) {
      expect(pids).toBe(1);
      break;
    }
    expect((await failureOf(() => box.stats({ interval: "soon" }))).code).toBe("invalid_option");
  });

  limitTest("of a box whose I/O is limited: bytes", async () => {
    await using box = await boxOf({ limits: { memory: "64mb", io: { readBps: "1gb", device: "1:0" } } }).catch(() =>
      boxOf({ limits: { memory: "64mb", io: { readBps: "1gb", device: "254:0" } } }),
    );
    expect(box.usage()).toMatchObject({ readBytes: expect.any(Number), writeBytes: expect.any(Number) });
  });
});
