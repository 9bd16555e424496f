/** Sandboxes that are really made, to see what is possible here; each is gone within a few milliseconds. @module */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { ARCH, elfImage, Program, readKernelFile, TsboxError } from "../../syscalls/index.ts";
import { Sandbox, type Limits, type RunOptions } from "../sandbox/index.ts";

/** Why a trial failed; undefined where it did not. */
export type Outcome = Pick<TsboxError, "code" | "message" | "hint"> | undefined;

const TRIALS = [
  "directory",
  "layer",
  "host",
  "terminal",
  "idRange",
  "network",
  "memory",
  "cpus",
  "pids",
  "cpuset",
] as const;
export type Trials = Record<(typeof TRIALS)[number], Outcome>;

const MEMORY: Limits = { memory: "64mb" };
const CPUS: Limits = { cpus: 1 };
const PIDS: Limits = { pids: 8 };

/** @throws TsboxError where there is no place for a root filesystem to try them with */
export async function tryAll(): Promise<Trials> {
  const rootfs = makeRootfs();
  try {
    const security = { readOnly: true };
    const bound: RunOptions = { mounts: [{ type: "bind", source: rootfs, target: "/tmp/doctor", readOnly: true }] };
    return {
      directory: await outcome("/true", { rootfs, security }),
      layer: await outcome("/true", { rootfs }),
      host: await outcome("/tmp/doctor/true", bound),
      terminal: await outcome("/true", { rootfs, security, terminal: true }),
      idRange: await outcome("/true", { rootfs, security, namespaces: { user: "auto" } }),
      network: await outcome("/true", { rootfs, security, network: {} }),
      memory: await outcome("/true", { rootfs, security, limits: MEMORY }),
      cpus: await outcome("/true", { rootfs, security, limits: CPUS }),
      pids: await outcome("/true", { rootfs, security, limits: PIDS }),
      cpuset: await outcome("/true", { rootfs, security, limits: { cpusetCpus: firstCpu() } }),
    };
  } finally {
    rmSync(rootfs, { recursive: true, force: true });
  }
}

/** Whether each of these can be mounted in a sandbox: for root, that takes id-mapped mounts of its file system. */
export async function tryMounts(directories: readonly string[]): Promise<Record<string, Outcome>> {
  const outcomes: Record<string, Outcome> = {};
  for (const source of directories) {
    const mounts: RunOptions["mounts"] = [{ type: "bind", source, target: "/tmp/doctor", readOnly: true }];
    outcomes[source] = await outcome("true", { mounts });
  }
  return outcomes;
}

/** One that this process may run on. */
function firstCpu(): string {
  const [, cpu = "0"] = /^Cpus_allowed_list:\s*(\d+)/m.exec(readKernelFile("/proc/self/status") ?? "") ?? [];
  return cpu;
}

/** In the first directory for temporary files whose mount is not noexec, as /tmp is on some hosts. */
function makeRootfs(): string {
  for (const parent of [tmpdir(), "/var/tmp", homedir(), "/dev/shm"]) {
    let path: string;
    try {
      path = mkdtempSync(join(parent, "tsbox-doctor-"));
    } catch {
      continue; // it is not there, or cannot be written
    }
    fillRootfs(path);
    if (spawnSync(join(path, "true")).status === 0) return path;
    rmSync(path, { recursive: true, force: true });
  }
  throw new TsboxError("try out sandboxes: no directory where a program can be written and executed", {
    code: "system",
    hint: "name one in the variable TMPDIR",
  });
}

/** A program that needs no loader, and the mount points that a root without a layer has to have. */
function fillRootfs(path: string): void {
  chmodSync(path, 0o755); // root's sandboxes are other users
  for (const name of ["proc", "sys", "dev"]) mkdirSync(join(path, name));
  const exit = new Program([{ action: "exit", ops: [{ call: "exit_group", args: [0] }] }], ARCH);
  writeFileSync(join(path, "true"), elfImage(exit));
  chmodSync(join(path, "true"), 0o755);
}

async function outcome(command: string, options: RunOptions): Promise<Outcome> {
  try {
    const { exitCode, reason } = await Sandbox.run([command], options);
    if (exitCode === 0) return undefined;
    return { code: "system", message: `run a command that does nothing: it ended by ${reason}` };
  } catch (error) {
    if (!(error instanceof TsboxError)) throw error;
    const { code, message, hint } = error;
    return { code, message, ...(hint === undefined ? {} : { hint }) };
  }
}
