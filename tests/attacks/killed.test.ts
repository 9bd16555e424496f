/**
 * SIGKILL at every step of a plan, for whoever takes part in it: nothing stays. A plan is data, so a stop is put before
 * each of its steps, one after the other, and somebody is killed there.
 * @module
 */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { join } from "node:path";
import { Sandbox, type RunOptions } from "../../lib/index.ts";
import { inGuest, noBusybox, noLimits, SLOW, testUnless } from "../support/machine.ts";
import * as found from "../support/processes.ts";
import { makeRootfs } from "../support/rootfs.ts";
import { nextOneSweeps } from "../support/sweep.ts";

const root = makeRootfs();
beforeAll(() => found.adoptOrphans());
afterAll(() => root.remove());

/** How long a step stops, and when, after it has begun to, somebody is killed. */
const [STOP_MS, KILL_AFTER_MS] = [250 * SLOW, 40 * SLOW];
const TIMEOUT_MS = 120_000 * Math.min(SLOW, 3);

/** A program that makes such sandboxes. */
class Victim implements AsyncDisposable {
  readonly #process;
  readonly #lines;

  constructor(pid: string, stopMs: number) {
    const limits = noLimits === undefined ? ["limits"] : [];
    const script = join(import.meta.dir, "../fixtures/stops.ts");
    this.#process = Bun.spawn([process.execPath, script, root.path, pid, String(stopMs), ...limits], {
      stdin: "pipe",
      stderr: "inherit",
    });
    this.#lines = linesOf(this.#process.stdout);
  }

  get pid(): number {
    return this.#process.pid;
  }

  async next(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the victim has ended");
    return JSON.parse(value);
  }

  /** @returns once what was asked for is under way */
  async begin(what: string, ...steps: number[]): Promise<void> {
    this.#process.stdin.write(`${JSON.stringify([what, ...steps])}\n`);
    this.#process.stdin.flush();
    expect(await this.next()).toBe("begun");
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  async end(): Promise<void> {
    this.#process.stdin.end();
    expect(await this.#process.exited).toBe(0);
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + new TextDecoder().decode(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

interface Steps {
  fresh: number;
  owner: number;
  joins: number;
}

const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);

/** Every process below this one has ended. */
const nobodyIsLeft = async () => {
  const gone = await found.eventually(() => (found.reapOrphans(), found.descendants().length === 0), 10_000 * SLOW);
  expect([gone, found.descendants()]).toEqual([true, []]);
};

/** Of what others may change at the same time, only what is the sandboxes' own. */
const surroundings = () => ({
  mounts: found.mounts().filter((mount) => mount.includes(root.path)),
  interfaces: found.interfaces(),
});

describe.each(["private", "host"])("SIGKILL at every step (%s pid namespace)", (pidNamespace) => {
  testUnless(
    noBusybox,
    "of the owner: nothing stays but control groups, which the next call removes",
    async () => {
      const before = surroundings();
      const first = new Victim(pidNamespace, STOP_MS);
      const steps = (await first.next()) as Steps;
      expect([steps.owner > 3, steps.fresh > 30, steps.joins > 10]).toEqual([true, true, true]);
      await first.end();
      const owners: number[] = [];
      // its own thread stops
      for (const step of range(0, steps.owner)) {
        await using victim = new Victim(pidNamespace, STOP_MS);
        owners.push(victim.pid);
        await victim.next();
        await victim.begin("fresh", step);
        await Bun.sleep(KILL_AFTER_MS);
        await victim.kill();
      }
      // the sandboxes' processes stop, all of them at the same time
      for (const [what, from] of [
        ["fresh", steps.owner],
        ["joins", 0],
      ] as const) {
        await using victim = new Victim(pidNamespace, STOP_MS * (inGuest ? 6 : 20));
        owners.push(victim.pid);
        await victim.next();
        await victim.begin(what, ...range(from, steps[what]));
        await Bun.sleep(KILL_AFTER_MS);
        // where it is init that stops, the command goes on
        const ran = found.descendants().filter(({ name }) => name === "sleep").length;
        expect(ran).toBeLessThan((steps[what] - from) / 3);
        expect(found.descendants().length).toBeGreaterThan(steps[what] - from);
        await victim.kill();
      }
      await nobodyIsLeft();
      nextOneSweeps(root, owners);
      expect(surroundings()).toEqual(before);
    },
    TIMEOUT_MS,
  );

  const TARGETS: [string, number][] = [
    ["its first process", 1],
    ["its last process", 2],
  ];
  for (const [who, depth] of TARGETS) {
    testUnless(
      noBusybox ?? (inGuest ? "takes too long there" : undefined),
      `of ${who}: the owner is told, and nothing stays`,
      async () => {
        const before = surroundings();
        await using victim = new Victim(pidNamespace, STOP_MS);
        // what has joined and lost its parent is ours to reap, or else it keeps the sandbox's init from ending
        using reaper = new DisposableStack();
        const timer = setInterval(() => found.reapOrphans(victim.pid), 20);
        reaper.defer(() => clearInterval(timer));
        const steps = (await victim.next()) as Steps;
        const seen: { what: string; step: number; told: string[]; descriptors: number }[] = [];
        for (const what of ["fresh", "joins"] as const) {
          for (const step of range(0, steps[what])) {
            await victim.begin(what, step);
            await Bun.sleep(KILL_AFTER_MS);
            await killBelow(victim.pid, depth);
            const ended = (await victim.next()) as { told: string[]; descriptors: number };
            seen.push({ what, step, ...ended });
          }
        }
        for (const { told } of seen)
          expect(told).toEqual([expect.stringMatching(/^(killed|signal|system|permission_denied|limit_unavailable)$/)]);
        expect(found.descendants(victim.pid)).toEqual([]);
        // what is kept for the next time is there after the first of each kind
        const counts = seen.map(({ descriptors }) => descriptors);
        expect(counts.at(-1)).toBeLessThanOrEqual((counts[steps.fresh + 1] ?? 0) + 1);
        expect(found.cgroups(victim.pid)).toEqual([]);
        await victim.end();
        await nobodyIsLeft();
        expect(surroundings()).toEqual(before);
      },
      TIMEOUT_MS,
    );
  }
});

testUnless(noBusybox, "in a shared pid namespace, a command that kills its init is killed all the same", async () => {
  const options: RunOptions = { rootfs: root.path, namespaces: { pid: "host" } };
  const line = "(sleep 1000 &); kill -9 $PPID; exec sleep 1000";
  // the control: it can, as it is the same user
  expect((await Sandbox.run(["sh", "-c", line], { ...options, stdout: "ignore", stderr: "ignore" })).signalCode).toBe(
    "SIGKILL",
  );
  await nobodyIsLeft();
  await using box = await Sandbox.create(options);
  await box.spawn(["sh", "-c", line], { stdout: "ignore", stderr: "ignore" }).exited;
  const names = () => found.descendants().flatMap(({ name, state }) => (state === "Z" ? [] : [name]));
  // a signal to many takes a moment to reach all
  await found.eventually(() => names().length === 1);
  expect(names()).toEqual(["tsbox-init"]);
});

/** The last that was made, of those that are so many generations below; its parent, where there is none yet. */
async function killBelow(pid: number, depth: number): Promise<void> {
  const target = () => {
    const all = found.processes().filter(({ state }) => state !== "Z");
    const child = all.findLast(({ parent }) => parent === pid);
    return (depth === 2 && all.findLast(({ parent }) => parent === child?.pid)) || child;
  };
  // while the owner's thread stops before it clones, there is nobody
  expect(await found.eventually(() => target() !== undefined)).toBe(true);
  process.kill(target()?.pid as number, "SIGKILL");
}
