/** Limits of a request as the specification's resources and rlimits. @module */
import { RLIMITS, type DiskLimit, type RootEntry } from "../plan/index.ts";
import type { Resources, Rlimit } from "../spec/index.ts";
import { checkKeys, checkObject, invalid, show } from "./check.ts";
import type { SandboxOptions } from "./options.ts";
import { parseSize } from "./parse.ts";

const LIMITS = ["memory", "cpus", "pids", "time", "output", "disk"];
/** The kernel itself needs about this much for a process and its mounts. */
const MIN_MEMORY_BYTES = 512 * 1024;
const CPU_PERIOD_US = 100_000;
const MIN_CPUS = 0.01;
const MAX_CPUS = 8192;
const MAX_PIDS = 2 ** 22;

export function resourcesOf({ limits }: SandboxOptions): Resources {
  checkKeys("limit", limits, LIMITS);
  const { memory, cpus, pids } = limits ?? {};
  const resources: Resources = {};
  if (memory !== undefined) {
    const limit = parseSize("use the memory limit", memory);
    if (limit < MIN_MEMORY_BYTES) throw invalid(`use the memory limit ${show(memory)}: too little`, "at least 512k");
    resources.memory = { limit, swap: limit };
  }
  if (cpus !== undefined) {
    if (typeof cpus !== "number" || !(cpus >= MIN_CPUS && cpus <= MAX_CPUS)) {
      throw invalid(
        `use the CPU limit ${show(cpus)}: not understood`,
        `a number of CPUs from ${MIN_CPUS}: 0.5 is half of one`,
      );
    }
    resources.cpu = { period: CPU_PERIOD_US, quota: Math.round(cpus * CPU_PERIOD_US) };
  }
  if (pids !== undefined) {
    if (!Number.isInteger(pids) || pids < 1 || pids > MAX_PIDS) {
      throw invalid(`use the process limit ${show(pids)}: not understood`, `a whole number from 1 to ${MAX_PIDS}`);
    }
    // init is in the group too, and is not one that was asked for
    resources.pids = { limit: pids + 1 };
  }
  return resources;
}

const PAGE_BYTES = 4096;
const MIN_DISK_BYTES = 64 * 1024;
const MIN_INODES = 1024;

/**
 * Files without content take memory too, so their number has a limit as well: two for each page.
 * @param own what is written to the layer before the command, and does not count
 */
export function diskLimitOf({ limits }: SandboxOptions, own: readonly RootEntry[] = []): DiskLimit | undefined {
  if (limits?.disk === undefined) return undefined;
  const bytes = parseSize("use the disk limit", limits.disk);
  if (bytes < MIN_DISK_BYTES) throw invalid(`use the disk limit ${show(limits.disk)}: too little`, "at least 64k");
  const pages = own.reduce((sum, { file }) => sum + Math.ceil((file?.length ?? 0) / PAGE_BYTES), 0);
  const sizeBytes = (Math.ceil(bytes / PAGE_BYTES) + pages) * PAGE_BYTES;
  return { sizeBytes, inodes: Math.max(MIN_INODES, (bytes / PAGE_BYTES) * 2) + own.length };
}

export function rlimitsOf({ ulimits }: SandboxOptions): Rlimit[] {
  if (ulimits !== undefined) checkObject("ulimits", ulimits, "{ nofile: 1024 }");
  return Object.entries(ulimits ?? {}).map(([name, value]) => {
    const type = `RLIMIT_${name.toUpperCase().replace(/^RLIMIT_/, "")}`;
    if (!RLIMITS.includes(type)) {
      throw invalid(
        `set the limit ${show(name)}: unknown`,
        RLIMITS.map((known) => known.slice(7).toLowerCase()).join(", "),
      );
    }
    const [soft, hard, ...more] = Array.isArray(value) ? value : [value, value];
    if (more.length > 0) throw invalid(`set the limit "${name}" to ${show(value)}: not understood`, "[soft, hard]");
    for (const bound of [soft, hard]) {
      if (bound !== Infinity && !(Number.isSafeInteger(bound) && bound >= 0)) {
        throw invalid(`set the limit "${name}" to ${show(bound)}: not understood`, "a whole number, or Infinity");
      }
    }
    if (soft > hard) throw invalid(`set the limit "${name}" to ${soft}:${hard}: the soft limit is above the hard one`);
    return { type, soft, hard };
  });
}
