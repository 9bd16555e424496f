/** Limits of a request as the specification's resources and rlimits. @module */
import { RLIMITS } from "../plan/index.ts";
import type { Resources, Rlimit } from "../spec/index.ts";
import { checkKeys, checkObject, invalid, show } from "./check.ts";
import type { SandboxOptions } from "./options.ts";
import { parseSize } from "./parse.ts";

const LIMITS = ["memory", "cpus", "pids", "time", "output"];
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
