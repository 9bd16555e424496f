/**
 * The last steps, in the command's own process: identity, limits, descriptors, seccomp, execve.
 * @module
 */
import { buffer, cstring, named, ref, stringArray, words, TsboxError } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { CapabilitySets, Spec } from "../spec/index.ts";
import type { Facts } from "./compile.ts";
import { CAPABILITIES, flags, RLIMITS } from "./constants.ts";
import { filterData } from "./init.ts";

export function commandSteps(spec: Spec, facts: Facts, inUse: Data): Plan {
  const { process, linux } = spec;
  const steps: Plan = [
    {
      action: "wait until init no longer shares the owner's memory",
      ops: [
        { call: "label", args: [], label: "command" },
        { call: "load", args: [inUse, 4], out: "init-in-use" },
        { call: "jumpIf", args: [ref("init-in-use"), 0, 0], label: "alone" },
        { call: "futex", args: [inUse, flags("FUTEX_WAIT"), ref("init-in-use"), 0], onError: "ignore" },
        { call: "jump", args: [], label: "command" },
        { call: "label", args: [], label: "alone" },
        { call: "setsid", args: [], onError: "ignore" },
      ],
    },
    stdioStep(),
    ...rlimitSteps(spec),
    ...identitySteps(spec),
    {
      action: `change to the working directory "${process.cwd}"`,
      ops: [
        { call: "mkdirat", args: [flags("AT_FDCWD"), cstring(process.cwd), 0o755], onError: "ignore" },
        { call: "chdir", args: [cstring(process.cwd)] },
      ],
      path: process.cwd,
      hint: () => "the working directory has to be a directory that the user may enter",
    },
  ];
  const last: Op[] = [
    // no signal is blocked or ignored that the command did not ask for
    { call: "rt_sigprocmask", args: [named("SIG_SETMASK", 2), words("no signals", 0), 0, 8] },
    { call: "close_range", args: [3, named("~0U", 0xffffffff), flags("CLOSE_RANGE_CLOEXEC")] },
  ];
  if (process.noNewPrivileges) last.push({ call: "prctl", args: [flags("PR_SET_NO_NEW_PRIVS"), 1, 0, 0, 0] });
  if (linux.seccomp) {
    last.push({ call: "seccomp", args: [flags("SECCOMP_SET_MODE_FILTER"), 0, filterData(linux.seccomp, facts.arch)] });
  }
  steps.push({ action: "close every other descriptor, and load the seccomp filter", ops: last });
  steps.push(executeStep(spec));
  return steps;
}

function stdioStep(): Step {
  const names = ["stdin", "stdout", "stderr"];
  const ops: Op[] = [
    { call: "openat", args: [flags("AT_FDCWD"), cstring("/dev/null"), flags("O_RDWR", "O_CLOEXEC"), 0], out: "null" },
  ];
  for (const name of names) {
    // -1: nothing was bound
    ops.push({ call: "jumpIf", args: [ref(name), 0, 2], label: `no ${name}` });
    ops.push({ call: "jump", args: [], label: `move ${name}` });
    ops.push({ call: "label", args: [], label: `no ${name}` });
    ops.push({ call: "dup", args: [ref("null")], out: name });
    ops.push({ call: "label", args: [], label: `move ${name}` });
    // out of the way of 0, 1 and 2
    ops.push({ call: "fcntl", args: [ref(name), named("F_DUPFD_CLOEXEC", 1030), 10], out: name });
  }
  names.forEach((name, fd) => ops.push({ call: "dup3", args: [ref(name), fd, 0] }));
  return { action: "connect stdin, stdout and stderr", ops };
}

function rlimitSteps(spec: Spec): Plan {
  return (spec.process.rlimits ?? []).map(({ type, soft, hard }) => {
    const resource = RLIMITS.indexOf(type);
    if (resource < 0)
      throw new TsboxError(`set the limit "${type}": unknown`, { code: "invalid_option", hint: RLIMITS.join(", ") });
    const value = (n: number) => (Number.isFinite(n) ? BigInt(n) : -1n);
    return {
      action: `set ${type} to ${soft}:${hard}`,
      ops: [
        {
          call: "prlimit64",
          args: [0, named(type, resource), words(`{${soft}, ${hard}}`, value(soft), value(hard)), 0],
        },
      ],
      hint: () => "a hard limit can only be raised with CAP_SYS_RESOURCE on the host",
    } satisfies Step;
  });
}

/** Bit masks of the sets of capset(2), as two 32-bit halves each. */
function capabilityMask(names: string[] = []): bigint {
  return names.reduce((mask, name) => {
    const bit = CAPABILITIES.indexOf(name);
    if (bit < 0)
      throw new TsboxError(`use the capability "${name}": unknown`, {
        code: "invalid_option",
        hint: CAPABILITIES.join(", "),
      });
    return mask | (1n << BigInt(bit));
  }, 0n);
}

function identitySteps(spec: Spec): Plan {
  const { user, capabilities } = spec.process;
  const groups = user.additionalGids ?? [];
  const list = { data: new Uint8Array(new Uint32Array(groups).buffer), text: `[${groups.join(", ")}]` };
  const bounding = capabilityMask(capabilities?.bounding);
  const drop: Op[] = CAPABILITIES.flatMap((name, bit) =>
    bounding & (1n << BigInt(bit))
      ? []
      : // EINVAL: a capability newer than the kernel
        [
          {
            call: "prctl" as const,
            args: [flags("PR_CAPBSET_DROP"), named(name, bit)],
            onError: { ignore: "EINVAL" as const },
          },
        ],
  );
  const steps: Plan = [
    { action: "drop capabilities from the bounding set", ops: drop },
    {
      action: `become user ${user.uid}:${user.gid}`,
      ops: [
        { call: "prctl", args: [flags("PR_SET_KEEPCAPS"), 1] },
        // EPERM: setgroups(2) is denied in a single-id map
        {
          call: "setgroups",
          args: [groups.length, list],
          ...(groups.length === 0 ? { onError: { ignore: "EPERM" } } : {}),
        },
        { call: "setresgid", args: [user.gid, user.gid, user.gid] },
        { call: "setresuid", args: [user.uid, user.uid, user.uid] },
        { call: "prctl", args: [flags("PR_SET_KEEPCAPS"), 0] },
        { call: "umask", args: [user.umask ?? 0o022] },
      ],
      hint: (errno) =>
        errno === "EINVAL" || errno === "EPERM" ? "the user or group is not in the sandbox's id map" : undefined,
    },
    { action: "set capabilities", ops: capsetOps(capabilities ?? {}) },
    // the address space is still the parent's
    {
      action: "leave the owner's memory readable to itself",
      ops: [{ call: "prctl", args: [flags("PR_SET_DUMPABLE"), 1] }],
    },
  ];
  return steps;
}

function capsetOps(sets: CapabilitySets): Op[] {
  const [effective, permitted, inheritable] = [sets.effective, sets.permitted, sets.inheritable].map(
    capabilityMask,
  ) as [bigint, bigint, bigint];
  const header = buffer("{_LINUX_CAPABILITY_VERSION_3}", 8);
  new DataView(header.data.buffer).setUint32(0, 0x20080522, true);
  const data = buffer(`{effective=[${sets.effective ?? []}], permitted=[${sets.permitted ?? []}]}`, 24);
  const view = new DataView(data.data.buffer);
  [effective, permitted, inheritable].forEach((mask, i) => {
    view.setUint32(i * 4, Number(mask & 0xffffffffn), true);
    view.setUint32(12 + i * 4, Number(mask >> 32n), true);
  });
  return [
    { call: "prctl", args: [flags("PR_CAP_AMBIENT"), flags("PR_CAP_AMBIENT_CLEAR_ALL"), 0, 0, 0] },
    { call: "capset", args: [header, data] },
    ...(sets.ambient ?? []).map((name): Op => ({
      call: "prctl",
      args: [flags("PR_CAP_AMBIENT"), named("PR_CAP_AMBIENT_RAISE", 2), named(name, CAPABILITIES.indexOf(name)), 0, 0],
    })),
  ];
}

/** Tries each directory of PATH, as execvp(3) does. */
function executeStep(spec: Spec): Step {
  const { args, env } = spec.process;
  const command = args[0] ?? "";
  const path =
    env.find((v) => v.startsWith("PATH="))?.slice(5) ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const candidates = command.includes("/") ? [command] : path.split(":").map((dir) => `${dir || "."}/${command}`);
  const [argv, envp] = [stringArray(args), stringArray(env)];
  argv.text = JSON.stringify(args);
  envp.text = `[${env.length} variables]`;
  const ops: Op[] = candidates.flatMap((file, index): Op[] => [
    { call: "execve", args: [cstring(file), argv, envp], out: "error", onError: { jump: `failed ${index}` } },
    { call: "label", args: [], label: `failed ${index}` },
    // the first error that is not "not found" is the one to tell
    ...[-2, -20].map((errno): Op => ({ call: "jumpIf", args: [ref("error"), errno, 0], label: `next ${index}` })),
    ...[13, 8, 7, 40, 26, 12, 22].flatMap((errno): Op[] => [
      { call: "jumpIf", args: [ref("error"), -errno, 1], label: `not ${errno} ${index}` },
      { call: "fail", args: [errno] },
      { call: "label", args: [], label: `not ${errno} ${index}` },
    ]),
    { call: "fail", args: [1] },
    { call: "label", args: [], label: `next ${index}` },
  ]);
  ops.push({ call: "fail", args: [2] });
  return { action: `execute "${command}"`, ops, path: command };
}
