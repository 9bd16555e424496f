/**
 * The life of an OCI container, `create`, `start` and `delete` of the same bundle, by tsbox, runc and crun; and how much
 * memory the process has that waits in between.
 *
 * As commands.ts, a program of its own that measures inside a mount namespace in which crun works.
 * @module
 */
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox } from "../lib/index.ts";
import { apart, installed, LIMITS } from "./contenders.ts";
import { shuffled, type Rounds, type Samples } from "./measure.ts";
import { compare, table, timings, type Bar } from "./report.ts";
import { Rootfs, TRUE } from "./rootfs.ts";

const TSBOX = join(import.meta.dir, "../dist/tsbox");
const IDLE_MS = 100;
const AGAINST: Record<string, number> = { runc: 0.6, crun: 1.3 };
const PHASES = ["create", "start", "delete"] as const;
const [LIFE, WAITING] = ["whole", "kB waiting"];
const MOST_KB = 200;

export async function lifecycle(rounds: Rounds): Promise<Bar[]> {
  const results = await apart(import.meta.path, { ...rounds, idleMs: IDLE_MS });
  const of = (name: string, what: string) => results.find((each) => each.name === `${name} ${what}`);
  const names = ["tsbox", ...Object.keys(AGAINST)].filter((name) => of(name, LIFE));
  const lives = names.flatMap((name) => of(name, LIFE) ?? []);
  console.log(`### create, start and delete of an OCI container\n\n${timings(lives)}\n`);
  const medianOf = (samples: Samples | undefined) => samples?.values[samples.values.length >> 1] ?? NaN;
  const rows = names.map((name) => [name, ...[...PHASES, WAITING].map((what) => medianOf(of(name, what)).toFixed(1))]);
  console.log(`${table(["median", ...PHASES.map((phase) => `${phase} ms`), WAITING], rows)}\n`);
  const [ours, waiting] = [of("tsbox", LIFE), medianOf(of("tsbox", WAITING))];
  const bars = Object.entries(AGAINST).flatMap(([name, most]) => {
    const other = of(name, LIFE);
    return ours && other ? [compare(`create + start + delete vs ${name}`, ours, other, { most })] : [];
  });
  const measured = `${waiting.toFixed(0)} kB`;
  const memory = {
    measure: "memory of a container that waits",
    bar: `≤ ${MOST_KB} kB`,
    measured,
    holds: waiting <= MOST_KB,
  };
  return Number.isNaN(waiting) ? bars : [...bars, memory];
}

interface Runtime {
  name: string;
  call(...words: string[]): void;
}

/** The bundle is the same; state directories lie beside it, and go with it. */
function runtimes(directory: string): Runtime[] {
  mkdirSync(join(directory, "bin"));
  const link = join(directory, "bin/tsbox-oci");
  symlinkSync(TSBOX, link);
  const paths: [name: string, path: string | undefined][] = [
    ["tsbox", existsSync(TSBOX) ? link : undefined],
    ...Object.keys(AGAINST).map((name): [string, string | undefined] => [name, installed(name)]),
  ];
  return paths.flatMap(([name, path]) => {
    if (path === undefined) return [];
    const config = join(directory, "config.json");
    const call = (...words: string[]) => {
      // the container keeps stdout and stderr: pipes would have no end
      const { exitCode } = Bun.spawnSync([path, "--root", join(directory, name), ...words], {
        // not /dev/null, which older crun gives to the container's root
        stdio: [Bun.file(config), Bun.file(join(directory, "stdout")), Bun.file(join(directory, "stderr"))],
      });
      if (exitCode !== 0) throw new Error(`${name} ${words[0]}: ${readFileSync(join(directory, "stderr"), "utf8")}`);
    };
    return [{ name, call }];
  });
}

function live({ name, call }: Runtime, directory: string, round: number, take: (what: string, value: number) => void) {
  const id = `tsbox-bench-${process.pid}-${name}-${round}`;
  const config = join(directory, "config.json");
  const bundle = JSON.parse(readFileSync(config, "utf8")) as { linux: { cgroupsPath?: string } };
  bundle.linux.cgroupsPath = `/${id}`;
  writeFileSync(config, JSON.stringify(bundle));
  const pidFile = join(directory, "pid");
  const words = { create: ["--bundle", directory, "--pid-file", pidFile, id], start: [id], delete: ["--force", id] };
  let whole = 0;
  for (const phase of PHASES) {
    const start = performance.now();
    call(phase, ...words[phase]);
    const ms = performance.now() - start;
    take(phase, ms);
    whole += ms;
    if (phase === "create") take(WAITING, memoryOf(Number(readFileSync(pidFile, "utf8"))));
  }
  take(LIFE, whole);
}

/** The proportional set size in kB. @see proc_pid_smaps(5) */
const memoryOf = (pid: number): number =>
  Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);

async function measure(directory: string, rounds: Rounds): Promise<Samples[]> {
  const all = runtimes(directory);
  const samples = new Map<string, number[]>();
  for (let round = -rounds.warmUp; round < rounds.count; round++) {
    for (const index of shuffled(all.length)) {
      await Bun.sleep(rounds.idleMs ?? 0);
      const runtime = all[index] as Runtime;
      live(runtime, directory, round, (what, value) => {
        const name = `${runtime.name} ${what}`;
        if (round >= 0) samples.set(name, [...(samples.get(name) ?? []), value]);
      });
    }
  }
  return [...samples].map(([name, values]) => ({ name, values: values.toSorted((a, b) => a - b) }));
}

if (import.meta.main) {
  using rootfs = new Rootfs();
  const [warmUp = 0, count = 0, idleMs = 0] = process.argv.slice(2).map(Number);
  const directory = join(rootfs.path, "bundle");
  mkdirSync(directory);
  const spec = Sandbox.spec([TRUE], { rootfs: rootfs.path, security: { readOnly: true }, limits: LIMITS });
  const plain = (_: string, value: unknown) => (typeof value === "bigint" ? Number(value) : value);
  // older crun takes 1.0 only
  writeFileSync(join(directory, "config.json"), JSON.stringify({ ...spec, ociVersion: "1.0.2" }, plain));
  console.log(JSON.stringify(await measure(directory, { warmUp, count, idleMs })));
}
