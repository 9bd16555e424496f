/**
 * Where the time of a sandbox goes: `bun bench/phases.ts [--overlay] [--network] [--limits] [--calls] [RUNS]`, as root.
 *
 * First the owner's thread, by doing what `Sandbox.run` does with the engine's own functions; then what the processes of
 * the sandbox do meanwhile, by clocks in their plan.
 * @module
 */
import { makeCgroup } from "../lib/cgroup/index.ts";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { bury, factsFor } from "../lib/launch/index.ts";
import { compile } from "../lib/plan/index.ts";
// not faces: what the engine does in one go is done here bit by bit
import { layOut, layoutOf, type Layout } from "../lib/sandbox/layout.ts";
import { launch } from "../lib/sandbox/launch.ts";
import { closePipes, openPipes } from "../lib/sandbox/pipes.ts";
import { requestedFor } from "../lib/sandbox/repeated.ts";
import { buffer, close, named } from "../syscalls/index.ts";
import { Clocks, nowUs, timeAt } from "./clocks.ts";
import { LIMITS } from "./contenders.ts";
import { median } from "./measure.ts";
import { number, table } from "./report.ts";
import { Rootfs, TRUE } from "./rootfs.ts";

/** Microseconds by what they were spent on, in the order in which it was first done. */
class Lap {
  readonly spent = new Map<string, number[]>();
  #last = 0;

  start(): void {
    this.#last = nowUs();
  }

  /** Counts the time since the last one. */
  take(what: string): void {
    const now = nowUs();
    this.add(what, now - this.#last);
    this.#last = nowUs();
  }

  add(what: string, us: number): void {
    const all = this.spent.get(what) ?? [];
    if (all.length === 0) this.spent.set(what, all);
    all.push(us);
  }
}

const words = process.argv.slice(2);
const flag = (name: string) => words.includes(`--${name}`);
const runs = Number(words.find((word) => /^\d+$/.test(word)) ?? 100);
const WARM_UP = 20;

/** Tells over stdout when it began to run. */
const time = buffer("struct timespec", 16);
using rootfs = new Rootfs([
  { call: "clock_gettime", args: [named("CLOCK_MONOTONIC", 1), time] },
  { call: "write", args: [1, time, 16] },
]);
const options: RunOptions = {
  rootfs: rootfs.path,
  ...(flag("network") ? {} : { network: "host" }),
  ...(flag("overlay") ? {} : { security: { readOnly: true } }),
  ...(flag("limits") ? { limits: LIMITS } : {}),
};

await ownersTime();
await sandboxesTime();

/** The owner's thread. The first run is told apart: it is what a command line pays. */
async function ownersTime(): Promise<void> {
  const [lap, whole]: [Lap, number[]] = [new Lap(), []];
  for (let run = 0; run < runs + WARM_UP; run++) {
    await runInParts(lap);
    const start = nowUs();
    await Sandbox.run([TRUE], options);
    whole.push(nowUs() - start);
  }
  const rows = [...lap.spent].map(([what, all]): [string, number, number] => [what, all[0] ?? NaN, steady(all)]);
  const sum = (column: 1 | 2) => rows.reduce((total, row) => total + row[column], 0);
  console.log(`### The owner's thread, µs\n`);
  const lines = [...rows, ["together", sum(1), sum(2)] as const].map(([what, ...us]) => [what, ...us.map(number)]);
  console.log(
    table(
      ["", "first run", "median"],
      [...lines, ["`Sandbox.run` itself, by turns with it", "", number(steady(whole))]],
    ) + "\n",
  );
}

function steady(values: number[], from = WARM_UP): number {
  return median(values.slice(from).toSorted((a, b) => a - b));
}

/** What `Sandbox.run` does, in its order. */
async function runInParts(
  lap: Lap,
  wound?: () => Layout,
): Promise<{ sinceUs: number; ranUs: number; toldUs: number; buriedUs: number }> {
  lap.start();
  const { spec, beside } = requestedFor([TRUE], options);
  lap.take("options → spec");
  const cgroup = makeCgroup(spec.linux.resources ?? {});
  lap.take("make the cgroup");
  const pipes = openPipes({ stderr: "pipe" });
  lap.take("make the pipes");
  const facts = factsFor(spec, cgroup.membership);
  lap.take("facts about the machine");
  let laidOut = layOut(spec, beside, facts);
  lap.take("spec → plan → program (kept from the last time)");
  if (wound) laidOut = wound();
  lap.start();
  const sinceUs = nowUs();
  const launched = launch(spec, beside, pipes.stdio, cgroup, laidOut);
  lap.take("launch: socket, program → bytes, clone");
  for (const fd of pipes.theirs.splice(0)) close(fd);
  lap.take("close the ends of the pipes that are not ours");
  const { exit } = await launched.control.told;
  const toldUs = nowUs();
  lap.take("wait until init tells the end of the command");
  await bury(launched);
  const buriedUs = nowUs();
  lap.take("wait for the end of the namespaces, reap");
  cgroup.counters();
  lap.take("read the cgroup's counters");
  await cgroup.remove();
  lap.take("remove the cgroup");
  const output = await pipes.stdout?.readToEnd((chunk) => chunk, true);
  await pipes.stderr?.readToEnd((chunk) => chunk, true);
  lap.take("read the output");
  closePipes(pipes);
  if (exit?.exitCode !== 0 || output?.length !== 16) throw new Error("phases: the command did not run");
  return {
    sinceUs,
    ranUs: timeAt(new DataView(output.buffer, output.byteOffset), 0) - sinceUs,
    toldUs: toldUs - sinceUs,
    buriedUs: buriedUs - sinceUs,
  };
}

/** The plan's own steps, on the axis that begins when the owner launches. */
async function sandboxesTime(): Promise<void> {
  const clocks = new Clocks();
  const lap = new Lap();
  const at = new Map<string, number[]>();
  let layout: Layout | undefined;
  const wound = (): Layout => {
    clocks.reset();
    return (layout ??= windUp(clocks));
  };
  for (let run = 0; run < runs + WARM_UP; run++) {
    const { sinceUs, ranUs, toldUs, buriedUs } = await runInParts(lap, wound);
    if (run < WARM_UP) continue;
    const ends = new Map<string, number>();
    const note = (key: string, process: string, what: string, atUs: number) => {
      const [all, took] = [at.get(`${key} ${process} ${what}`) ?? [], atUs - (ends.get(process) ?? 0)];
      at.set(`${key} ${process} ${what}`, all);
      all.push(atUs);
      lap.add(`${key} ${process} ${what}`, took);
      ends.set(process, atUs);
    };
    clocks
      .read(sinceUs)
      .forEach(({ process, what, atUs }, index) => note(`${index}`, process, what || "(begins)", atUs));
    ends.set("command", ends.get("second") ?? 0);
    note("a", "command", `execute "${TRUE}"`, ranUs);
    ends.set("owner", ranUs);
    note("b", "owner", "(hears of the end of the command)", toldUs);
    note("c", "owner", "(nothing is left)", buriedUs);
  }
  const rows = [...at].map(([key, all]) => {
    const [, process = "", ...what] = key.split(" ");
    return [
      process,
      what.join(" ").replaceAll("|", "\\|"),
      number(steady(all, 0)),
      number(steady(lap.spent.get(key) ?? [], 0)),
    ];
  });
  console.log(`### The sandbox's processes, µs after the launch\n`);
  console.log(table(["process", "step", "done at", "took"], rows));
}

function windUp(clocks: Clocks): Layout {
  const { spec, beside } = requestedFor([TRUE], options);
  const cgroup = makeCgroup(spec.linux.resources ?? {});
  const compiled = compile(spec, beside, factsFor(spec, cgroup.membership));
  void cgroup.remove();
  const plan = clocks.wind(compiled.plan, flag("calls") ? "call" : "step");
  return layoutOf({ ...compiled, plan }, true);
}
