/**
 * Whether anything grows or slows down: `bun bench/soak.ts [--quick]`, as root or as an ordinary user. It takes a minute
 * or two, prints what it has seen, and ends with exit status 1 where a bar does not hold.
 *
 * - 10,000 sandboxes one after another;
 * - 1,000 boxes at once;
 * - one box in which thousands of processes are spawned, and files written, read and removed.
 * @module
 */
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { ownNetwork } from "./contenders.ts";
import { grown, look, lookTable, settle, type Look } from "./look.ts";
import { quantile } from "./measure.ts";
import { bars, type Bar } from "./report.ts";
import { Rootfs, TRUE } from "./rootfs.ts";

const quick = process.argv.includes("--quick");
const scale = quick ? 0.1 : 1;
const [RUNS, BOXES, SPAWNED] = [10_000, 1000, 2000].map((count) => count * scale) as [number, number, number];
/** In memory that the engine had before. */
const RSS_TOLERANCE_BYTES = 24 * 2 ** 20;
/** Of start times, from the first to the last. */
const MOST_SLOWER = 1.5;
/** Nothing here waits for ever. */
setTimeout(() => {
  console.log("soak: it takes more than 15 minutes");
  process.exit(1);
}, 900_000).unref();

using rootfs = new Rootfs();
const options: RunOptions = limitsApply() ? ownNetwork(rootfs.path) : { ...ownNetwork(rootfs.path), limits: {} };
const all: Bar[] = [...(await oneAfterAnother()), ...(await atOnce()), ...(await inOneBox())];
console.log(`### Bars\n\n${bars(all)}`);
process.exitCode = all.every(({ holds }) => holds) ? 0 : 1;
console.log(process.exitCode === 0 ? "soak: nothing grows, nothing slows down" : "soak: a bar does not hold");

/** An ordinary user without a delegated cgroup has none. */
function limitsApply(): boolean {
  return process.geteuid?.() === 0;
}

async function oneAfterAnother(): Promise<Bar[]> {
  const run = async () => {
    const { exitCode, stderr } = await Sandbox.run([TRUE], options);
    if (exitCode !== 0) throw new Error(`soak: exit status ${exitCode}: ${stderr}`);
  };
  for (let warmUp = 0; warmUp < RUNS / 10; warmUp++) await run();
  await settle();
  const before = look();
  const times: Start[] = [];
  for (let count = 0; count < RUNS; count++) times.push(await timed(run));
  await settle();
  const what = `${RUNS} sandboxes one after another`;
  return verdict(what, { before, after: look() }, slower(times, Math.min(500, RUNS / 4)));
}

async function atOnce(): Promise<Bar[]> {
  for (let warmUp = 0; warmUp < 50; warmUp++) await (await Sandbox.create(options)).stop();
  await settle();
  const before = look();
  const boxes: Sandbox[] = [];
  const times: Start[] = [];
  for (let count = 0; count < BOXES; count++)
    times.push(await timed(async () => void boxes.push(await Sandbox.create(options))));
  const meanwhile = look();
  const codes = await Promise.all(boxes.map((box) => box.spawn([TRUE], { stdout: "ignore" }).exited));
  if (codes.some((code) => code !== 0)) throw new Error("soak: a command of a box failed");
  await Promise.all(boxes.splice(0).map((box) => box.stop()));
  await settle();
  return verdict(`${BOXES} boxes at once`, { before, meanwhile, after: look() }, slower(times, BOXES / 20));
}

async function inOneBox(): Promise<Bar[]> {
  await using box = await Sandbox.create({ ...options, mounts: [{ type: "tmpfs", target: "/tmp", size: "64mb" }] });
  const turn = async () => {
    const start = await timed(async () => {
      const code = await box.spawn([TRUE], { stdout: "ignore" }).exited;
      if (code !== 0) throw new Error(`soak: exit status ${code}`);
    });
    await box.fs.write("/tmp/a/b", "x".repeat(100_000));
    await box.fs.file("/tmp/a/b").text();
    await new Response(box.fs.tar("/tmp/a")).bytes();
    await box.fs.rm("/tmp/a", { recursive: true });
    return start;
  };
  for (let warmUp = 0; warmUp < SPAWNED / 10; warmUp++) await turn();
  // the agent for files ends when nothing is to be done
  await settle();
  const before = look();
  const times: Start[] = [];
  for (let count = 0; count < SPAWNED; count++) times.push(await turn());
  await settle();
  const what = `${SPAWNED} processes of a box, and files`;
  return verdict(what, { before, after: look() }, slower(times, Math.min(500, SPAWNED / 4)));
}

/** A start, and that of a process which is not confined right after it: the machine may be busy with something else. */
interface Start {
  ms: number;
  bareMs: number;
}

async function timed(start: () => Promise<void>): Promise<Start> {
  const began = performance.now();
  await start();
  const ms = performance.now() - began;
  const bareBegan = performance.now();
  await Bun.spawn([rootfs.path + TRUE], { stdout: "ignore" }).exited;
  return { ms, bareMs: performance.now() - bareBegan };
}

/** How much longer the last starts took than the first ones, in units of what a bare process took then. */
function slower(starts: Start[], count: number): number {
  const undisturbed = (values: number[]) =>
    quantile(
      values.toSorted((a, b) => a - b),
      0.25,
    );
  const inUnits = (some: Start[]) =>
    undisturbed(some.map(({ ms }) => ms)) / undisturbed(some.map(({ bareMs }) => bareMs));
  return inUnits(starts.slice(-count)) / inUnits(starts.slice(0, count));
}

function verdict(what: string, looks: { before: Look; meanwhile?: Look; after: Look }, ratio: number): Bar[] {
  console.log(`### ${what}\n\n${lookTable(looks as Record<string, Look>)}\n`);
  const more = grown(looks.before, looks.after, RSS_TOLERANCE_BYTES);
  return [
    {
      measure: `left of ${what}: memory, descriptors, children, cgroups, mounts, namespaces`,
      bar: "nothing",
      measured: more.length === 0 ? "nothing" : more.join(", "),
      holds: more.length === 0,
    },
    {
      measure: `${what}: start time of the last ones vs the first ones`,
      bar: `≤ ${MOST_SLOWER}×`,
      measured: `${ratio.toFixed(2)}×`,
      holds: ratio <= MOST_SLOWER,
    },
  ];
}
