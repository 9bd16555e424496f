/**
 * Of which NUMA nodes a process gets its memory: inherited through execve(2), and by what it starts.
 * @module
 * @see set_mempolicy(2)
 */
import { named, type Plan, type Step } from "../../syscalls/index.ts";
import type { ContainerSpec, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode } from "../spec/index.ts";
import { listMask } from "./attributes.ts";

/** By their numbers in linux/mempolicy.h. */
export const MEMORY_MODES: Record<MemoryPolicyMode, number> = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
};

export const MEMORY_FLAGS: Record<MemoryPolicyFlag, number> = {
  MPOL_F_NUMA_BALANCING: 1 << 13,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_STATIC_NODES: 1 << 15,
};

/** @throws TsboxError `invalid_option` */
export const memoryPolicySteps = ({ linux: { memoryPolicy } }: ContainerSpec): Plan =>
  memoryPolicy ? [memoryPolicyStep(memoryPolicy)] : [];

function memoryPolicyStep({ mode, nodes = "", flags = [] }: MemoryPolicy): Step {
  const value = flags.reduce((sum, flag) => sum | MEMORY_FLAGS[flag], MEMORY_MODES[mode]);
  const mask = nodes === "" ? undefined : listMask("invalid memory policy nodes", "nodes", nodes);
  // the kernel takes one bit less than it is told
  const where = mask ? [mask, mask.data.length * 8 + 1] : [0, 0];
  return {
    action: `take memory by ${[mode, ...flags].join("|")}${mask ? ` of the nodes ${nodes}` : ""}`,
    ops: [{ call: "set_mempolicy", args: [named([mode, ...flags].join("|"), value), ...where] }],
    code: "limit_unavailable",
    hint: (errno) => {
      if (errno === "ENOSYS") return "this kernel knows no NUMA nodes";
      return errno === "EINVAL"
        ? "the machine has none of these nodes, or the kernel refuses this mode, or these flags for it"
        : undefined;
    },
  };
}
