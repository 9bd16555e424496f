/** Resource limits that are higher than the caller's. @module */
import { raiseHardLimit } from "../../syscalls/index.ts";
import { RLIMITS, type StartableSpec } from "../plan/index.ts";

/**
 * Raises this process's own hard limits to what is asked for, for the new process to inherit: within a user namespace it
 * cannot have more than it comes with. Where that is refused, the plan says so.
 */
export function raiseLimits({ rlimits = [] }: StartableSpec["process"]): void {
  for (const { type, hard } of rlimits) raiseHardLimit(RLIMITS.indexOf(type), BigInt.asUintN(64, BigInt(hard)));
}
