/**
 * How fast sandboxes start, and what they leave: `bun bench/start.ts [--quick] [TABLE...]`, as root. README.md says what
 * the tables mean.
 * @module
 */
import { cpus, release } from "node:os";
import { commands } from "./commands.ts";
import { lifecycle } from "./lifecycle.ts";
import { leftovers } from "./leftovers.ts";
import { againstPodman, inRunningSandbox } from "./joining.ts";
import { againstBare, againstBwrap } from "./library.ts";
import { bars, type Bar } from "./report.ts";
import { Rootfs } from "./rootfs.ts";
import { seccomp } from "./seccomp.ts";
import { throughput } from "./throughput.ts";

const words = process.argv.slice(2);
const quick = words.includes("--quick");
const rounds = (count: number, warmUp = 20) => ({
  warmUp: quick ? 5 : warmUp,
  count: quick ? Math.ceil(count / 8) : count,
});
/** A server has started many before: by then what it runs is compiled. */
const WARM = 300;

const TABLES: Record<string, (rootfs: string) => Promise<Bar[]>> = {
  bare: (rootfs) => againstBare(rootfs, rounds(400, WARM)),
  bwrap: (rootfs) => againstBwrap(rootfs, rounds(200, WARM)),
  throughput: (rootfs) => throughput(rootfs, quick ? 2 : 9),
  commands: () => commands(rounds(60)),
  oci: () => lifecycle(rounds(40)),
  left: (rootfs) => leftovers(rootfs, quick ? 200 : 1000),
  seccomp: (rootfs) => seccomp(rootfs, rounds(60)),
  spawn: (rootfs) => inRunningSandbox(rootfs, rounds(200, WARM)),
  exec: () => againstPodman(rounds(40)),
};

const wanted = words.filter((word) => !word.startsWith("--"));
const unknown = wanted.find((name) => !(name in TABLES));
if (unknown !== undefined) throw new Error(`no table "${unknown}": ${Object.keys(TABLES).join(", ")}`);
if (process.geteuid?.() !== 0) throw new Error("the bars are for root: run this as root");

using rootfs = new Rootfs();
console.log(`${new Date().toISOString().slice(0, 10)}: ${machine()}${quick ? "; a quick look, not a result" : ""}\n`);
const all: Bar[] = [];
for (const [name, measure] of Object.entries(TABLES)) {
  if (wanted.length === 0 || wanted.includes(name)) all.push(...(await measure(rootfs.path)));
}
console.log(`### Bars\n\n${bars(all)}`);

function machine(): string {
  return `${cpus()[0]?.model ?? process.arch}, ${cpus().length} CPUs, Linux ${release().split("-")[0]}, Bun ${Bun.version}`;
}
