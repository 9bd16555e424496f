/** What sandboxes leave behind: nothing, however they or their owners end. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { failureOf } from "./support/failure.ts";
import { inGuest, noBusybox, noLimits, testUnless } from "./support/machine.ts";
import * as found from "./support/processes.ts";
import { makeRootfs } from "./support/rootfs.ts";
import { nextOneSweeps } from "./support/sweep.ts";

const root = makeRootfs();
beforeAll(() => found.adoptOrphans());
afterAll(() => root.remove());

const limits = noLimits === undefined ? { limits: { memory: "64mb", cpus: 1, pids: 16 } } : {};
const inRoot = (options: RunOptions = {}): RunOptions => ({ rootfs: root.path, ...options });
const sandboxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);

/** One for each of the last 16 different requests; the host's view is another one when the host's root has changed. */
const KEPT = /memfd:tsbox-command/;

/** Everything that could be left of a sandbox. */
function everything() {
  Bun.gc(true);
  found.reapOrphans();
  return {
    processes: found.descendants().map(({ name, state }) => `${name} ${state}`),
    descriptors: [...found.descriptors().values()]
      .filter((target) => !KEPT.test(target))
      .map((target) => target.replace(/\d+/g, "N"))
      .toSorted(),
    cgroups: found.cgroups(),
    mounts: found.mounts().filter(isOurs),
    interfaces: found.interfaces(),
  };
}

/** Of the places where sandboxes mount; elsewhere others may be at work. */
const isOurs = (mount: string): boolean => {
  const point = mount.split(" ")[1] ?? "";
  return point === "/" || ["/proc", "/dev", "/sys", root.path].some((place) => point.startsWith(place));
};

/** Does it once, so that what is kept for the next time is there; then many times, after which nothing has changed. */
async function leavesNothing(times: number, body: (round: number) => Promise<unknown>): Promise<void> {
  await body(0);
  await found.eventually(() => {
    found.reapOrphans();
    return found.descendants().length === 0 && found.cgroups().length === 0;
  });
  const before = everything();
  expect([before.processes, before.cgroups]).toEqual([[], []]);
  for (let round = 1; round <= times; round++) await body(round);
  // descriptors of streams that nobody has read go with the next garbage collection
  await found.eventually(() => Object.values(added(before, everything())).flat().length === 0, 3000);
  expect([...found.descriptors().values()].filter((target) => KEPT.test(target)).length).toBeLessThanOrEqual(16);
  expect(added(before, everything())).toEqual({
    processes: [],
    descriptors: [],
    cgroups: [],
    mounts: [],
    interfaces: [],
  });
}

type Everything = ReturnType<typeof everything>;

/** What there is more of. */
function added(before: Everything, after: Everything): Everything {
  const more = (kind: keyof Everything) => {
    const known = [...before[kind]];
    return after[kind].filter((each) => {
      const at = known.indexOf(each);
      if (at >= 0) known.splice(at, 1);
      return at < 0;
    });
  };
  const kinds = Object.keys(before) as (keyof Everything)[];
  return Object.fromEntries(kinds.map((kind) => [kind, more(kind)])) as Everything;
}

describe("nothing is left after", () => {
  sandboxTest("50 runs, also at once", () =>
    leavesNothing(10, () => Promise.all([1, 2, 3, 4, 5].map(() => Sandbox.run(["true"], inRoot(limits))))),
  );

  sandboxTest("runs of the host's view", () => leavesNothing(5, () => Sandbox.run(["true"], limits)));

  sandboxTest("runs whose output is not read, whose input is not taken", () =>
    leavesNothing(20, async () => {
      const process = Sandbox.spawn(
        ["sh", "-c", "echo unread; echo x >&2"],
        inRoot({ ...limits, stderr: "pipe", stdin: "x".repeat(100_000) }),
      );
      await process.exited;
      await process[Symbol.asyncDispose]();
    }),
  );

  sandboxTest("runs that are killed, time out or write too much", () =>
    leavesNothing(5, async () => {
      const process = Sandbox.spawn(["sleep", "100"], inRoot(limits));
      process.kill("KILL");
      await process.exited;
      await process[Symbol.asyncDispose]();
      await Sandbox.run(["sh", "-c", "sleep 100 & sleep 100"], inRoot({ limits: { ...limits.limits, time: 20 } }));
      await Sandbox.run(["yes"], inRoot({ limits: { ...limits.limits, output: 1000 } }));
      await Sandbox.run(["sleep", "100"], inRoot({ signal: AbortSignal.timeout(10) })).catch(() => {});
    }),
  );

  sandboxTest("boxes with processes, stopped and not", () =>
    leavesNothing(10, async (round) => {
      await using box = await Sandbox.create(inRoot(limits));
      const process = box.spawn(["echo", "x"]);
      await new Response(process.stdout).text();
      await process.exited;
      box.spawn(["sleep", "100"], { stdout: "ignore" });
      if (round % 2 === 0) await box.stop();
    }),
  );

  sandboxTest("processes in the host's pid namespace", () =>
    leavesNothing(5, async () => {
      const options = inRoot({ ...limits, namespaces: { pid: "host" } });
      await Sandbox.run(["sh", "-c", "sleep 1000 & (sleep 1000 &) ; exit 0"], { ...options, stdout: "ignore" });
      await using box = await Sandbox.create(options);
      box.spawn(["sh", "-c", "sleep 1000 & sleep 1000"], { stdout: "ignore" });
      await box.spawn(["true"]).exited;
    }),
  );

  const FAILURES: [string, RunOptions, string[]?][] = [
    ["an option", { limits: { memory: "much" } }],
    ["stdin", { stdin: 5 as never }],
    ["the root filesystem", { rootfs: "/no/such" }],
    ["a source", { mounts: [{ type: "bind", source: "/no/such", target: "/x" }] }],
    ["a mount point", { mounts: [{ type: "tmpfs", target: "/etc/passwd/x" }] }],
    ["a mount option", { mounts: [{ type: "tmpfs", target: "/x", size: "8e" as never }] }],
    ["the working directory", { cwd: "/etc/passwd" }],
    ["the user", { user: "70000:70000", namespaces: {} }],
    ["the command", {}, ["/no/such"]],
    ["the command's format", {}, ["/etc/passwd"]],
    ["an argument", {}, ["true", "x".repeat(2 ** 21)]],
  ];
  for (const [what, options, command = ["true"]] of FAILURES) {
    // as an ordinary user, any one id can be had
    const reason =
      noBusybox ??
      (what === "the user" && process.geteuid?.() !== 0 ? "an ordinary user may be anybody inside" : undefined);
    testUnless(reason, `failures at ${what}`, () =>
      leavesNothing(3, async () => {
        await failureOf(() => Sandbox.run(command, inRoot({ ...limits, ...options })));
        const alsoOfBox = options.limits ?? options.rootfs ?? options.mounts;
        if (alsoOfBox) await failureOf(() => Sandbox.create(inRoot({ ...limits, ...options })));
      }),
    );
  }
});

describe("when the owner is killed", () => {
  const moments = inGuest ? [0, 3, 10, 30] : Array.from({ length: 12 }, (_, index) => Math.round(index ** 2 / 4.03));
  for (const pid of ["private", "host"]) {
    testUnless(
      noBusybox,
      `at any moment (${pid} pid namespace), nothing of its sandboxes stays but control groups, which the next call removes`,
      async () => {
        const owners: number[] = [];
        for (const moment of moments) {
          const limited = noLimits === undefined ? ["limits"] : [];
          const victim = Bun.spawn(
            [process.execPath, join(import.meta.dir, "fixtures/victim.ts"), root.path, pid, ...limited],
            { stderr: "inherit" },
          );
          owners.push(victim.pid);
          const reader = victim.stdout.getReader();
          expect(new TextDecoder().decode((await reader.read()).value)).toBe("ready\n");
          await Bun.sleep(moment);
          victim.kill("SIGKILL");
          await victim.exited;
          const gone = await found.eventually(() => {
            found.reapOrphans();
            return found.descendants().length === 0;
          });
          expect([moment, gone, found.descendants()]).toEqual([moment, true, []]);
        }
        nextOneSweeps(root, owners);
      },
    );
  }

  sandboxTest("by a signal that it does not handle, the same", async () => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGSEGV"] as const) {
      const victim = Bun.spawn([process.execPath, join(import.meta.dir, "fixtures/victim.ts"), root.path], {
        stderr: "ignore",
      });
      await victim.stdout.getReader().read();
      victim.kill(signal);
      await victim.exited;
      const gone = await found.eventually(() => (found.reapOrphans(), found.descendants().length === 0));
      expect([signal, gone]).toEqual([signal, true]);
    }
  });

  sandboxTest("a sandbox that a worker made ends with the process, not with the worker's thread", async () => {
    const worker = root.script(
      `const box = await Sandbox.create({ rootfs: ${JSON.stringify(root.path)} });
       const p = box.spawn(["sh", "-c", "echo lives; exec sleep 1000"]);
       const { value } = await p.stdout.getReader().read();
       postMessage(new TextDecoder().decode(value) + box.pid);`,
    );
    const main = root.script(
      `const worker = new Worker(${JSON.stringify(worker)});
       const text = await new Promise((resolve) => (worker.onmessage = (event) => resolve(event.data)));
       console.log(text, typeof Sandbox);
       await worker.terminate();`,
    );
    const { stdout, stderr } = Bun.spawnSync([process.execPath, main]);
    expect([stderr.toString(), stdout.toString()]).toEqual(["", expect.stringMatching(/^lives\n\d+ function\n$/)]);
    expect(await found.eventually(() => (found.reapOrphans(), found.descendants().length === 0))).toBe(true);
  });

  sandboxTest("a worker that has stopped its sandboxes leaves no descriptors when it is terminated", async () => {
    const worker = root.script(
      `const options = { rootfs: ${JSON.stringify(root.path)} };
       await Sandbox.run(["true"], options);
       const box = await Sandbox.create(options);
       await box.spawn(["true"]).exited;
       await box.stop();
       postMessage("done");`,
    );
    const main = root.script(
      `import { readdirSync, readlinkSync } from "node:fs";
       const images = () => readdirSync("/proc/self/fd").filter((fd) => {
         try { return readlinkSync("/proc/self/fd/" + fd).includes("tsbox"); } catch { return false; }
       }).length;
       for (let turn = 0; turn < 3; turn++) {
         const worker = new Worker(${JSON.stringify(worker)});
         await new Promise((resolve) => (worker.onmessage = resolve));
         await worker.terminate();
       }
       console.log(images(), typeof Sandbox);`,
    );
    const { stdout, stderr } = Bun.spawnSync([process.execPath, main]);
    expect([stderr.toString(), stdout.toString()]).toEqual(["", "0 function\n"]);
  });
});

sandboxTest(
  "where the owner has no descriptor left, its sandboxes end as ever, and what cannot be done says so",
  () => {
    const script = root.script(
      `import { closeSync, openSync } from "node:fs";
     const options = { rootfs: ${JSON.stringify(root.path)} };
     const filled = [];
     const fill = () => {
       try {
         for (;;) filled.push(openSync("/dev/null", "r"));
       } catch {}
     };
     const code = (doing) => doing.then(() => "done", (error) => [error.code, error.hint].join(" "));
     const isThere = (pid) => { try { return process.kill(pid, 0); } catch { return false; } };
     const box = await Sandbox.create(options);
     const inside = box.spawn(["sleep", "1000"], { stdout: "ignore" });
     await box.$\`true\`.quiet();
     const alone = Sandbox.spawn(["sleep", "1000"], { ...options, limits: { time: "300ms" } });
     const unread = Sandbox.run(["sh", "-c", "cat"], { ...options, stdin: new ReadableStream() });
     const pids = [box.pid, inside.pid, alone.pid];
     fill();
     const told = {
       run: await code(Sandbox.run(["true"], options)),
       usage: await code((async () => box.usage())()),
       update: await code(box.update({ pids: 5 })),
       unread: (await code(unread)).trim(),
       timeout: (await alone.result()).reason,
       stop: await code(box.stop()),
       inside: (await inside.result()).reason,
       there: pids.map(isThere),
     };
     for (const fd of filled) closeSync(fd);
     console.log(JSON.stringify(told));`,
    );
    const { stdout, stderr } = Bun.spawnSync(["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", process.execPath, script]);
    const tooMany = "system this program has as many files open as it may: ulimit -n";
    expect([stderr.toString(), JSON.parse(stdout.toString())]).toEqual([
      "",
      {
        run: tooMany,
        usage: tooMany,
        update: expect.stringMatching(/^(system|limit_unavailable) /),
        unread: "system",
        timeout: "timeout",
        stop: "done",
        inside: "killed",
        there: [false, false, false],
      },
    ]);
  },
);

test("these tests see what is left: a control", async () => {
  const sleeping = Bun.spawn(["sleep", "100"]);
  // not at once: between fork and execve it has its parent's name
  expect(await found.eventually(() => found.descendants().some(({ name }) => name === "sleep"))).toBe(true);
  sleeping.kill();
  await sleeping.exited;
  expect(found.descendants().filter(({ pid }) => pid === sleeping.pid)).toEqual([]);
});

testUnless(noLimits, "a process that exits in the middle of it takes its control groups along", async () => {
  const script = root.script(
    `const box = await Sandbox.create({ rootfs: ${JSON.stringify(root.path)}, limits: { memory: "32mb" } });
     box.spawn(["sleep", "1000"]);
     await Sandbox.run(["true"], { rootfs: ${JSON.stringify(root.path)}, limits: { pids: 5 } });
     process.exit(3);`,
  );
  const child = Bun.spawnSync([process.execPath, script]);
  expect(child.exitCode).toBe(3);
  expect(found.cgroups(child.pid)).toEqual([]);
  expect(await found.eventually(() => (found.reapOrphans(), found.descendants().length === 0))).toBe(true);
});
