/**
 * Containers that last, against podman and Docker: `bun bench/containers.ts [--quick] [--at DIR] [TABLE...]`, some of
 * `run exec many ps logs`.
 *
 * The image is busybox; no container has a network. podman has its stores, and dockerd, which is started for this, its
 * data in one directory, of a tmpfs unless `--at` says another. What is not installed is left out. Needs root and
 * dist/tsbox. It goes on in a mount namespace of its own: `apart.ts`.
 * @module
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { BOX, makeArchive } from "../tests/e2e/images.ts";
import { Folder } from "../tests/support/rootfs.ts";
import { apartIn, goApart } from "./apart.ts";
import { spawned } from "./contenders.ts";
import { call, docker, podman, tsbox, type Tool } from "./engines.ts";
import { interleave, shuffled, type Contender, type Samples } from "./measure.ts";
import { bars, compare, timings, type Bar } from "./report.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { quick: { type: "boolean", default: false }, at: { type: "string" } },
  allowPositionals: true,
});
const GROUP = `tsbox-bench-${process.pid}`;
const [MANY, LISTED, LOG_BYTES] = values.quick ? [10, 30, 20_000_000] : [100, 500, 1_000_000_000];
const IDLE_MS = 100;

const contender = (tool: Tool, what: string, words: string[], more: Partial<Contender> = {}): Contender => ({
  ...spawned(`${tool.name} ${what}`, [...tool.command, ...words], { env: tool.env }),
  ...more,
});

const SLEEP = ["sleep", "1000"];
let made = 0;

/** One more container, running. @returns its name */
function start(tool: Tool, command = SLEEP): string {
  const name = `bench-${made++}`;
  call(tool, "run", "-d", "--name", name, ...tool.flags, BOX, ...command);
  return name;
}

function removeAll(tool: Tool): void {
  const ids = call(tool, "ps", "-aq").split("\n").filter(Boolean);
  // not all at once: a command line has its end
  for (; ids.length > 0;) call(tool, "rm", "-f", ...(tool.name === "podman" ? ["-t", "0"] : []), ...ids.splice(0, 50));
}

async function run(tools: Tool[]): Promise<Bar[]> {
  const contenders = tools.map((tool): Contender => {
    const name = "bench-run";
    const words = ["run", "-d", "--name", name, ...tool.flags, BOX, ...SLEEP];
    return contender(tool, "run -d", words, { after: () => removeAll(tool) });
  });
  const rounds = values.quick ? { warmUp: 1, count: 5 } : { warmUp: 3, count: 30 };
  const samples = await interleave(contenders, { ...rounds, idleMs: IDLE_MS });
  console.log(`### run -d of sleep\n\n${timings(samples)}\n`);
  return against("run -d", samples, 0.15);
}

async function exec(tools: Tool[]): Promise<Bar[]> {
  const contenders = tools.map((tool) => contender(tool, "exec", ["exec", start(tool), "true"]));
  const rounds = values.quick ? { warmUp: 1, count: 5 } : { warmUp: 3, count: 50 };
  const samples = await interleave(contenders, { ...rounds, idleMs: IDLE_MS });
  for (const tool of tools) removeAll(tool);
  console.log(`### exec of true in a container that runs\n\n${timings(samples)}\n`);
  return against("exec of true", samples, 0.2);
}

/** Starts many, one after the other, and weighs what supervises them. */
async function many(tools: Tool[]): Promise<Bar[]> {
  const [times, weights] = [tools.map(emptySamples), tools.map(emptySamples)];
  for (let round = 0; round < (values.quick ? 1 : 3); round++) {
    for (const index of shuffled(tools.length)) {
      const tool = tools[index] as Tool;
      const began = performance.now();
      const names = Array.from({ length: MANY }, () => start(tool));
      times[index]?.values.push(performance.now() - began);
      weights[index]?.values.push(supervisingKiB(tool, names) / names.length);
      removeAll(tool);
    }
  }
  for (const { values: each } of [...times, ...weights]) each.sort((a, b) => a - b);
  console.log(`### ${MANY} containers of sleep, one after the other\n\n${timings(times)}\n`);
  console.log(`### What supervises each of them, without daemons (proportional)\n\n${timings(weights, "KiB")}\n`);
  const [our, ...others] = weights as [Samples, ...Samples[]];
  const weight = others
    .filter(({ name }) => name === "podman")
    .map((other) => compare("memory of what supervises a container vs conmon", our, other, { most: 0.3 }));
  return [...against(`${MANY} containers of sleep`, times, 0.15), ...weight];
}

const emptySamples = ({ name }: Tool): Samples => ({ name, values: [] });

/** Proportional set size of all processes between the commands of containers and the machine's first, each once. */
function supervisingKiB(tool: Tool, names: string[]): number {
  const pids = call(tool, "inspect", "--format", "{{.State.Pid}}", ...names)
    .split("\n")
    .map(Number);
  const found = new Set<number>();
  for (const first of pids) {
    for (let pid = tool.pidSupervises ? first : parentOf(first); isSupervisor(pid); pid = parentOf(pid)) found.add(pid);
  }
  if (found.size < names.length)
    throw new Error(`${tool.name}: ${found.size} supervisors of ${names.length} containers`);
  return [...found].reduce((sum, pid) => sum + pssKiB(pid), 0);
}

const parentOf = (pid: number): number =>
  Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
const isSupervisor = (pid: number): boolean =>
  pid > 1 && pid !== process.pid && !/^(dockerd|containerd)\n$/.test(readFileSync(`/proc/${pid}/comm`, "utf8"));
const pssKiB = (pid: number): number =>
  Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);

async function ps(tools: Tool[]): Promise<Bar[]> {
  for (const tool of tools)
    for (let each = 0; each < LISTED; each++) call(tool, "create", ...tool.flags, BOX, ...SLEEP);
  const contenders = tools.map((tool) => contender(tool, "ps -a", ["ps", "-a"]));
  const samples = await interleave(contenders, values.quick ? { warmUp: 1, count: 5 } : { warmUp: 2, count: 20 });
  for (const tool of tools) removeAll(tool);
  console.log(`### ps -a with ${LISTED} containers\n\n${timings(samples)}\n`);
  return against(`ps -a with ${LISTED} containers`, samples, 0.2);
}

/** From its start until the container has ended, its log read to the end. */
async function logs(tools: Tool[]): Promise<Bar[]> {
  const line = "0123456789".repeat(8);
  const script = `yes ${line} | head -c ${LOG_BYTES}`;
  const contenders = tools.map((tool): Contender => ({
    name: tool.name,
    async run() {
      call(tool, "wait", start(tool, ["sh", "-c", script]));
    },
    after: () => removeAll(tool),
  }));
  const samples = await interleave(contenders, { warmUp: 0, count: values.quick ? 2 : 3 });
  console.log(`### A container that writes ${LOG_BYTES / 1e6} MB\n\n${timings(samples)}\n`);
  return against(`log of ${LOG_BYTES / 1e6} MB`, samples, 1);
}

/** Against each of the others. */
const against = (what: string, [our, ...others]: Samples[], most: number): Bar[] =>
  others.map((other) => compare(`${what} vs ${other.name}`, our as Samples, other, { most }));

const TABLES = { run, exec, many, ps, logs };

async function measure(at: string): Promise<Bar[]> {
  using folder = new Folder();
  const archive = makeArchive(folder);
  const tools = [tsbox(at), podman(at, GROUP), await docker(at)].filter((tool) => tool !== undefined);
  const all: Bar[] = [];
  try {
    for (const tool of tools) call(tool, "load", "-i", archive);
    for (const [name, table] of Object.entries(TABLES))
      if (positionals.length === 0 || positionals.includes(name)) all.push(...(await table(tools)));
  } finally {
    for (const tool of tools) {
      removeAll(tool);
      await tool.end();
    }
  }
  return all;
}

const directory = apartIn() ?? process.exit(await goApart("tsbox-containers-", values.at));
console.log(bars(await measure(directory)));
