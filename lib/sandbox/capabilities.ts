/** Capabilities of a request. @see capabilities(7) @module */
import { readKernelFile, show } from "../../syscalls/index.ts";
import { CAPABILITIES } from "../plan/index.ts";
import type { CapabilitySets } from "../spec/index.ts";
import { checkArray, checkKeys, checkText, invalid } from "../options/index.ts";
import type { SecurityOptions } from "./options.ts";

/** What programs in a container usually need, and no more: Docker's set without MKNOD, NET_RAW and AUDIT_WRITE. */
export const DEFAULT_CAPABILITIES: readonly string[] = Object.freeze(
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
    .split(" ")
    .map((name) => `CAP_${name}`),
);

/** What a process of that user has. @throws TsboxError `invalid_option` */
export function capabilitySets(security: SecurityOptions | undefined, uid: number): CapabilitySets {
  const wanted = security?.capabilities;
  if (wanted !== undefined && !Array.isArray(wanted) && typeof wanted === "object") return exactly(wanted);
  const bounding = wanted === undefined ? DEFAULT_CAPABILITIES : namesOf("capabilities", wanted);
  // as execve(2) has it: root has them, others only what was raised for them
  const effective = uid === 0 ? bounding : [];
  return { bounding, effective, permitted: effective };
}

/**
 * All that can be had: whoever enters a user namespace has every one there; in the host's, those of the caller.
 * @param ofHost there is no user namespace but the host's
 */
export function allCapabilities(ofHost: boolean): string[] {
  if (!ofHost) return [...CAPABILITIES];
  const [, mask = "0"] = /^CapPrm:\s*([0-9a-f]+)$/m.exec(readKernelFile("/proc/self/status") ?? "") ?? [];
  return CAPABILITIES.filter((_, bit) => (BigInt(`0x${mask}`) >> BigInt(bit)) & 1n);
}

const CAPABILITY_SETS = ["bounding", "effective", "permitted", "inheritable", "ambient"] as const;

/** @see capabilities(7) */
function exactly(wanted: CapabilitySets): CapabilitySets {
  checkKeys("capability set", wanted, CAPABILITY_SETS);
  const sets: CapabilitySets = {};
  for (const set of CAPABILITY_SETS)
    if (wanted[set] !== undefined) sets[set] = namesOf(`${set} capabilities`, wanted[set]);
  const within = (set: keyof CapabilitySets, other: keyof CapabilitySets) => {
    const beyond = sets[set]?.find((name) => !sets[other]?.includes(name));
    if (beyond !== undefined) throw invalid(`use the ${set} capability "${beyond}": it is not among the ${other} ones`);
  };
  within("effective", "permitted");
  within("ambient", "permitted");
  within("ambient", "inheritable");
  within("inheritable", "bounding");
  return sets;
}

function namesOf(what: string, names: unknown): string[] {
  return checkArray(what, names).map((name) => capabilityName(name as string));
}

/** `CAP_CHOWN` for `chown`, `CHOWN` and `CAP_CHOWN`. */
export function capabilityName(name: string): string {
  const full = `CAP_${checkText("capability", name).toUpperCase().replace(/^CAP_/, "")}`;
  if (!CAPABILITIES.includes(full)) throw invalid(`use the capability ${show(name)}: unknown`, CAPABILITIES.join(", "));
  return full;
}
