/**
 * Who the command is: user, groups, capabilities.
 * @module
 * @see capabilities(7), credentials(7)
 */
import { named, struct, structure, TsboxError } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { CapabilitySets, Spec } from "../spec/index.ts";
import { CAPABILITIES, flags } from "./constants.ts";

/** Bit mask of a set of capset(2). */
function capabilityMask(names: readonly string[] = []): bigint {
  return names.reduce((mask, name) => {
    const bit = CAPABILITIES.indexOf(name);
    if (bit < 0) {
      throw new TsboxError(`use the capability "${name}": unknown`, {
        code: "invalid_option",
        hint: CAPABILITIES.join(", "),
      });
    }
    return mask | (1n << BigInt(bit));
  }, 0n);
}

/**
 * @param kept a capability that the process has until {@link takeCapabilities}, as it has something to do yet that takes
 * it
 */
export function identitySteps(spec: Spec, kept?: string): Plan {
  const { user, capabilities } = spec.process;
  const groups = user.additionalGids ?? [];
  const list = { data: new Uint8Array(new Uint32Array(groups).buffer), text: `[${groups.join(", ")}]` };
  const bounding = capabilityMask(capabilities?.bounding);
  const drop = CAPABILITIES.flatMap((name, bit): Op[] =>
    bounding & (1n << BigInt(bit))
      ? []
      : // EINVAL: a capability newer than the kernel
        [{ call: "prctl", args: [flags("PR_CAPBSET_DROP"), named(name, bit)], onError: { ignore: "EINVAL" } }],
  );
  return [
    { action: "drop capabilities from the bounding set", ops: drop },
    {
      action: `become user ${user.uid}:${user.gid}`,
      ops: [
        { call: "prctl", args: [flags("PR_SET_KEEPCAPS"), 1] },
        // EPERM: setgroups(2) is denied in a single-id map, and none was asked for but its own
        {
          call: "setgroups",
          args: [groups.length, list],
          ...(groups.every((group) => group === user.gid) ? { onError: { ignore: "EPERM" } } : {}),
        },
        { call: "setresgid", args: [user.gid, user.gid, user.gid] },
        { call: "setresuid", args: [user.uid, user.uid, user.uid] },
        { call: "prctl", args: [flags("PR_SET_KEEPCAPS"), 0] },
        { call: "umask", args: [user.umask ?? 0o022] },
      ],
      code: "invalid_option",
      hint: (errno) =>
        errno === "EINVAL" || errno === "EPERM" ? "the user or a group is not in the id map of the sandbox" : undefined,
    },
    kept === undefined ? takeCapabilities(spec) : keepCapability(capabilities ?? {}, kept),
  ];
}

export const takeCapabilities = ({ process: { capabilities = {} } }: Spec): Step => ({
  action: "set capabilities",
  ops: [...capsetOps(capabilities), ...ambientOps(capabilities)],
});

/** Not in the bounding set: nothing that is executed meanwhile has it. */
function keepCapability(sets: CapabilitySets, kept: string): Step {
  const withKept = (names: readonly string[] = []) => [...new Set([...names, kept])];
  const own = { ...sets, effective: withKept(sets.effective), permitted: withKept(sets.permitted) };
  return { action: `set capabilities, and keep ${kept} for now`, ops: capsetOps(own) };
}

function capsetOps(sets: CapabilitySets): Op[] {
  const [effective, permitted, inheritable] = [sets.effective, sets.permitted, sets.inheritable].map(
    capabilityMask,
  ) as [bigint, bigint, bigint];
  const _LINUX_CAPABILITY_VERSION_3 = 0x20080522;
  const version = { version: _LINUX_CAPABILITY_VERSION_3 };
  const header = structure("{_LINUX_CAPABILITY_VERSION_3}", "__user_cap_header_struct", version);
  // two of them: the lower 32 capabilities, and the upper ones
  const halves = [0n, 32n].map((shift) => {
    const half = (mask: bigint) => Number((mask >> shift) & 0xffffffffn);
    const values = { effective: half(effective), permitted: half(permitted), inheritable: half(inheritable) };
    return [...struct("__user_cap_data_struct", values)];
  });
  const text = `{effective=[${sets.effective ?? []}], permitted=[${sets.permitted ?? []}]}`;
  const data: Data = { data: Uint8Array.from(halves.flat()), text };
  return [
    { call: "prctl", args: [flags("PR_CAP_AMBIENT"), flags("PR_CAP_AMBIENT_CLEAR_ALL"), 0, 0, 0] },
    { call: "capset", args: [header, data] },
  ];
}

const ambientOps = ({ ambient = [] }: CapabilitySets): Op[] =>
  ambient.map((name) => ({
    call: "prctl",
    args: [flags("PR_CAP_AMBIENT"), named("PR_CAP_AMBIENT_RAISE", 2), named(name, CAPABILITIES.indexOf(name)), 0, 0],
  }));
