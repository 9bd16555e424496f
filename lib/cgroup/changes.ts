/**
 * What resources of a bundle, or of an update, say: where Go has no word for "absent" it says 0; and what is said of one
 * of two values that are written together, is about the other as well. Pure but for what it is given to read.
 * @module
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { Resources } from "../spec/index.ts";
import type { Controller } from "./settings.ts";

type Memory = NonNullable<Resources["memory"]>;
type Cpu = NonNullable<Resources["cpu"]>;

/** Where 0 is a value. */
const ZERO_SAYS = ["burst", "idle", "swappiness"];

/** @throws TsboxError `invalid_option` */
export function saying({ memory, cpu, blockIO, network, pids, ...others }: Resources): Resources {
  return {
    ...others,
    ...(memory && { memory: sayingMemory(memory) }),
    ...(cpu && { cpu: said(cpu) }),
    ...(blockIO && { blockIO: { ...said(blockIO), weightDevice: (blockIO.weightDevice ?? []).map(said) } }),
    ...(network && { network: said(network) }),
    // systemd takes no 0; and the first process is in it already
    ...(pids && { pids: { limit: pids.limit === 0 ? 1 : pids.limit } }),
  };
}

/** Without what is 0 or empty. The numbers of a device are not about limits. */
function said<T extends object>(resources: T): T {
  const kept = ["major", "minor", ...ZERO_SAYS];
  const entries = Object.entries(resources).filter(
    ([name, value]) => kept.includes(name) || (value !== 0 && value !== ""),
  );
  return Object.fromEntries(entries) as T;
}

function sayingMemory({ swappiness, ...given }: Memory): Memory {
  const memory: Memory = said(given);
  const { limit, swap } = memory;
  // no limit of memory is none of both
  if (limit !== undefined && limit < 0) memory.swap ??= -1;
  // alone, it takes swap away
  if (given.swap === 0 && limit === undefined) memory.swap = 0;
  if (limit !== undefined && limit > 0 && swap !== undefined && swap > 0 && swap < limit) throw lessThanMemory();
  // an unsigned -1 is none
  if (swappiness !== undefined && swappiness >= 0 && swappiness < 2 ** 63) {
    if (swappiness > 100) {
      throw new TsboxError(`use the memory swappiness ${swappiness}: invalid memory swappiness value`, {
        code: "invalid_option",
        hint: "from 0 to 100",
      });
    }
    memory.swappiness = swappiness;
  }
  return memory;
}

const lessThanMemory = () =>
  new TsboxError("limit memory and swap together to less than memory: memory+swap limit should be >= memory limit", {
    code: "invalid_option",
  });

/** The text of a file of the group. */
type Read = (controller: Controller, file: string) => string | undefined;

/**
 * An update with what stays as it is, but has to be written, or counted with, again.
 *
 * @throws TsboxError `limit_unavailable` where more is in use than is to be allowed, and a check was asked for;
 *   `invalid_option`
 */
export function complete(
  { memory, cpu, ...others }: Resources,
  { memory: memoryVersion, cpu: cpuVersion }: Record<"memory" | "cpu", "v1" | "v2">,
  read: Read,
): Resources {
  return {
    ...others,
    ...(memory && { memory: completeMemory(memory, memoryVersion, read) }),
    ...(cpu && { cpu: completeCpu(cpu, cpuVersion, read) }),
  };
}

function completeMemory(memory: Memory, version: "v1" | "v2", read: Read): Memory {
  const number = (file: string) => numberOf(read("memory", file));
  if (memory.checkBeforeUpdate)
    checkUsage(memory, number(version === "v2" ? "memory.current" : "memory.usage_in_bytes"));
  if (version === "v1") return memory;
  const { limit, swap } = memory;
  if (swap !== undefined && swap > 0 && limit === undefined) return { ...memory, limit: number("memory.max") ?? -1 };
  if (limit === undefined || limit < 0 || swap !== undefined) return memory;
  // both together stay what they were, as in version 1
  const [before, swapBefore] = [number("memory.max") ?? -1, number("memory.swap.max") ?? -1];
  if (before < 0 || swapBefore <= 0) return memory;
  if (before + swapBefore < limit) throw lessThanMemory();
  return { ...memory, swap: before + swapBefore };
}

function checkUsage({ limit = 0, swap = 0 }: Memory, usage = 0): void {
  for (const [what, value] of [
    ["memory+swap", swap],
    ["memory", limit],
  ] as const) {
    if (value <= 0 || value > usage) continue;
    throw new TsboxError(`rejecting ${what} limit ${value} <= usage ${usage}`, { code: "limit_unavailable" });
  }
}

/** A quota and its period are written together. */
function completeCpu(cpu: Cpu, version: "v1" | "v2", read: Read): Cpu {
  const { quota, period } = cpu;
  if ((quota === undefined) === (period === undefined)) return cpu;
  const [quotaBefore, periodBefore] =
    version === "v2"
      ? (read("cpu", "cpu.max") ?? "").trim().split(" ")
      : [read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")];
  const result: Cpu = { ...cpu };
  const [oldQuota, oldPeriod] = [numberOf(quotaBefore), numberOf(periodBefore)];
  if (quota === undefined && oldQuota !== undefined) result.quota = oldQuota;
  if (period === undefined && oldPeriod !== undefined) result.period = oldPeriod;
  return result;
}

/** `max` is -1. */
function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  return text.trim() === "max" ? -1 : Number(text);
}
