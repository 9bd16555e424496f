/**
 * Whole command lines: `tsbox run` against `runc run` and `crun run` of the same specification.
 *
 * This file is also a program of its own, which measures inside a mount namespace that start.ts's process is not in:
 * crun refuses machines with cgroup v1 and v2 beside each other, so the v2 tree is covered there, for all contenders.
 * @module
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox } from "../lib/index.ts";
import { apart, installed, LIMITS, spawned } from "./contenders.ts";
import { interleave, type Contender, type Rounds } from "./measure.ts";
import { compare, timings, type Bar } from "./report.ts";
import { Rootfs, TRUE } from "./rootfs.ts";

const TSBOX = join(import.meta.dir, "../dist/tsbox");
/**
 * A command line follows an idle moment. Then the kernel makes those wait that move a process into a cgroup v1 by
 * `cgroup.procs`, as runc and crun do.
 */
const IDLE_MS = 100;
const AGAINST: Record<string, number> = { runc: 0.5, crun: 0.8 };

export async function commands(rounds: Rounds): Promise<Bar[]> {
  const results = await apart(import.meta.path, { ...rounds, idleMs: IDLE_MS });
  console.log(`### tsbox run against runc run and crun run\n\n${timings(results)}\n`);
  const ours = results.find(({ name }) => name === "tsbox run");
  return Object.entries(AGAINST).flatMap(([name, most]) => {
    const other = results.find((result) => result.name === `${name} run`);
    return ours && other ? [compare(`tsbox run vs ${name} run of the same specification`, ours, other, { most })] : [];
  });
}

function contenders(rootfs: string): Contender[] {
  const list: Contender[] = [];
  for (const name of Object.keys(AGAINST)) {
    const path = installed(name);
    if (path) list.push(ociRuntime(name, path, rootfs));
  }
  if (existsSync(TSBOX)) list.push(tsboxRun(rootfs));
  else console.log("dist/tsbox: not there, left out: npm run compile");
  return list;
}

function tsboxRun(rootfs: string): Contender {
  const limits = ["-m", LIMITS.memory, "--cpus", String(LIMITS.cpus), "--pids-limit", String(LIMITS.pids)];
  return spawned("tsbox run", [TSBOX, "run", "--rootfs", rootfs, "--read-only", ...limits, TRUE]);
}

/** Its bundle and its state lie in the root filesystem's directory, and go with it. */
function ociRuntime(name: string, path: string, rootfs: string): Contender {
  const directory = join(rootfs, name);
  const spec = Sandbox.spec([TRUE], { rootfs, security: { readOnly: true }, limits: LIMITS });
  const id = `tsbox-bench-${name}-${process.pid}`;
  // older crun takes 1.0 only, which has all that this one uses; each would choose another place for the cgroup
  const config = { ...spec, ociVersion: "1.0.2", linux: { ...spec.linux, cgroupsPath: `/${id}` } };
  mkdirSync(directory);
  writeFileSync(join(directory, "config.json"), JSON.stringify(config, plainNumbers));
  return spawned(`${name} run`, [path, "--root", join(directory, "state"), "run", "--bundle", directory, id]);
}

const plainNumbers = (_: string, value: unknown) => (typeof value === "bigint" ? Number(value) : value);

if (import.meta.main) {
  using rootfs = new Rootfs();
  const [warmUp = 0, count = 0, idleMs = 0] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await interleave(contenders(rootfs.path), { warmUp, count, idleMs })));
}
