/**
 * The last steps, in the command's own process: descriptors, limits, identity, working directory, seccomp, execve.
 * @module
 */
import { cstring, IMAGE, named, ref, stringArray, struct, structure, words, TsboxError } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Ref, Step } from "../../syscalls/index.ts";
import { compileSeccomp, seccompFlags, withCookie } from "../seccomp/index.ts";
import type { CapabilitySets, Spec } from "../spec/index.ts";
import type { Facts } from "./compile.ts";
import { attributeSteps } from "./attributes.ts";
import { F_DUPFD_CLOEXEC, IN_USE } from "./clone.ts";
import { CAPABILITIES, flags, RLIMITS } from "./constants.ts";
import { CONTROL_FD, HARD_SIGNAL } from "./init.ts";
import { landlockSteps } from "./landlock.ts";
import { filterData, handOver, listens, PASS_FD } from "./listener.ts";
import { isJoined, isWatched } from "./intermediate.ts";
import { openOrMake, type Alone } from "./mounts.ts";
import { controlTerminal } from "./terminal.ts";

/**
 * @param alone waits for init, in a process that shares the owner's memory; none in an image
 * @param last what the process does when it is what it has to be
 */
export function commandSteps(
  spec: Spec,
  facts: Facts,
  session: boolean,
  alone?: Alone,
  last: Plan = [executeStep(spec)],
): Plan {
  const { process } = spec;
  // without no_new_privs, restrictions can be had only as long as there is CAP_SYS_ADMIN
  const early = (spec.linux.seccomp ?? spec.linux.landlock) !== undefined && !process.noNewPrivileges;
  const listening = listens(spec);
  if (listening && (early || process.terminal)) {
    throw new TsboxError(
      `use the seccomp profile: SCMP_ACT_NOTIFY ${early ? "without no_new_privs" : "with a terminal"}`,
      {
        code: "unsupported",
        hint: early ? "leave noNewPrivileges true" : "use pipes",
      },
    );
  }
  const restrictions = [
    ...privilegeStep(spec),
    ...landlockSteps(spec, alone !== undefined),
    ...filterStep(spec, facts, alone !== undefined),
  ];
  return [
    stdioStep(spec, session, alone !== undefined),
    ...rlimitSteps(spec),
    ...attributeSteps(spec),
    {
      action: `open the working directory "${process.cwd}"`,
      ops: openOrMake(process.cwd, "directory", "cwd", alone ?? (() => [])),
      path: process.cwd,
      code: "invalid_option",
      hint: () =>
        "the working directory has to be a directory inside the root filesystem, or one that can be made there",
    },
    ...(early ? restrictions : []),
    ...identitySteps(spec),
    {
      action: `change to the working directory "${process.cwd}"`,
      ops: [
        { call: "fchdir", args: [ref("cwd")] },
        { call: "close", args: [ref("cwd")] },
      ],
      path: process.cwd,
      code: "invalid_option",
      hint: () => "the working directory has to be one that the user may enter",
    },
    ...(alone ? [aloneStep(spec, alone), ...leaveMemorySteps(listening)] : []),
    signalStep(),
    ...(early ? [] : restrictions),
    ...last,
  ];
}

/**
 * Also closes everything else but the socket that a failure is told over, and the image: no name may lead to the host
 * any more.
 */
function stdioStep(spec: Spec, session: boolean, image: boolean): Step {
  const names = ["stdin", "stdout", "stderr"];
  const open = flags("O_RDWR", "O_CLOEXEC");
  const ops: Op[] = session ? [{ call: "setsid", args: [] }] : [];
  ops.push({
    call: "openat",
    args: [flags("AT_FDCWD"), cstring("/dev/null"), open, 0],
    out: "null",
    onError: "ignore",
  });
  for (const name of names) {
    // -1: nothing was bound, and /dev/null takes its place
    ops.push(
      { call: "jumpIf", args: [ref(name), 0, named("<", 2)], label: `no ${name}` },
      // out of the way of 0, 1 and 2
      { call: "fcntl", args: [ref(name), F_DUPFD_CLOEXEC, 10], out: name },
      { call: "jump", args: [], label: `got ${name}` },
      { call: "label", args: [], label: `no ${name}` },
      { call: "fcntl", args: [ref("null"), F_DUPFD_CLOEXEC, 10], out: name },
      { call: "label", args: [], label: `got ${name}` },
    );
  }
  names.forEach((name, fd) => ops.push({ call: "dup3", args: [ref(name), fd, 0] }));
  if (spec.process.terminal) ops.push(controlTerminal);
  const kept = [...(listens(spec) ? ["pass-socket"] : []), ...(image ? ["command-image"] : [])];
  // out of the way of each other
  if (kept.length > 1)
    for (const name of kept)
      ops.push({ call: "fcntl", args: [ref(name), F_DUPFD_CLOEXEC, ref("control+3")], out: name });
  kept.forEach((name, index) =>
    // EINVAL: it is there already
    ops.push({
      call: "dup3",
      args: [ref(name), ref(`control+${index + 1}`), flags("O_CLOEXEC")],
      onError: { ignore: "EINVAL" },
    }),
  );
  ops.push(
    // EINVAL: there is nothing below it
    { call: "close_range", args: [3, ref("control-1"), 0], onError: { ignore: "EINVAL" } },
    { call: "close_range", args: [ref(`control+${kept.length + 1}`), named("~0U", 0xffffffff), 0] },
  );
  return { action: "connect stdin, stdout and stderr, and close everything else", ops };
}

function rlimitSteps(spec: Spec): Plan {
  return (spec.process.rlimits ?? []).map(({ type, soft, hard }) => {
    const resource = RLIMITS.indexOf(type);
    if (resource < 0) {
      throw new TsboxError(`set the limit "${type}": unknown`, { code: "invalid_option", hint: RLIMITS.join(", ") });
    }
    const value = (n: number) => (Number.isFinite(n) ? n : -1);
    const limit = structure(`{${soft}, ${hard}}`, "rlimit64", { rlim_cur: value(soft), rlim_max: value(hard) });
    return {
      action: `set ${type} to ${soft}:${hard}`,
      ops: [{ call: "prlimit64", args: [0, named(type, resource), limit, 0] }],
      code: "limit_unavailable",
      hint: () => "a hard limit can only be raised with CAP_SYS_RESOURCE on the host",
    } satisfies Step;
  });
}

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

function identitySteps(spec: Spec): Plan {
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
      code: "invalid_option",
      hint: (errno) =>
        errno === "EINVAL" || errno === "EPERM" ? "the user or a group is not in the id map of the sandbox" : undefined,
    },
    { action: "set capabilities", ops: capsetOps(capabilities ?? {}) },
  ];
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
    ...(sets.ambient ?? []).map((name): Op => ({
      call: "prctl",
      args: [flags("PR_CAP_AMBIENT"), named("PR_CAP_AMBIENT_RAISE", 2), named(name, CAPABILITIES.indexOf(name)), 0, 0],
    })),
  ];
}

/** What runs next is not trusted any more. */
export function aloneStep(spec: Spec, alone: Alone): Step {
  // the change of user cleared the flag of the address space, which is still the owner's too
  const dumpable: Op = { call: "prctl", args: [flags("PR_SET_DUMPABLE"), isWatched(spec) ? 0 : 1] };
  // the kernel may still be busy with its execve when it has left the owner's memory
  const ops = [dumpable, ...alone("command"), ...(hearsInit(spec) ? HEAR : [])];
  return { action: "wait until init is by itself and a hard target, and the host's root is gone", ops };
}

const EINTR = 4;
const HEAR: Op[] = [
  { call: "label", args: [], label: "listen" },
  {
    call: "rt_sigtimedwait",
    args: [
      words(`{${HARD_SIGNAL.text}}`, 2 ** (Number(HARD_SIGNAL.value) - 1)),
      0,
      structure("10 s", "timespec", { tv_sec: 10 }),
      8,
    ],
    out: "heard",
    onError: { jump: "not heard" },
  },
  { call: "jump", args: [], label: "heard" },
  { call: "label", args: [], label: "not heard" },
  // a pause of the whole sandbox interrupts it
  { call: "jumpIf", args: [ref("heard"), -EINTR, named("==", 0)], label: "listen" },
  { call: "fail", args: [ref("heard")] },
  { call: "label", args: [], label: "heard" },
];

/** An init that is no root inside, and so has no capabilities, may send signals only to its own user. */
function hearsInit(spec: Spec): boolean {
  const first = spec.linux.uidMappings?.[0]?.containerID ?? 0;
  return !isJoined(spec, "user") && [0, spec.process.user.uid].includes(first);
}

/**
 * A process's `/proc/self/exe` goes with its memory, which is the owner's till here. Whatever the kernel follows that
 * link for while it executes the command, such as the interpreter that a script names, would get the owner's program
 * (CVE-2019-5736).
 */
function leaveMemorySteps(listening: boolean): Plan {
  const [name, environment] = [stringArray(["tsbox-command"]), stringArray([])];
  const setFlags = named("F_SETFD", 2);
  const kept: [from: string, to: number][] = [["control", CONTROL_FD]];
  if (listening) kept.push(["control+1", PASS_FD]);
  const image = ref(`control+${kept.length}`);
  return [
    {
      action: "leave the owner's memory by an image",
      ops: [
        ...kept.flatMap(([from, to]): Op[] => [
          { call: "dup3", args: [ref(from), to, 0], onError: { ignore: "EINVAL" } },
          { call: "fcntl", args: [to, setFlags, 0] },
        ]),
        { call: "execveat", args: [image, cstring(""), name, environment, flags("AT_EMPTY_PATH")] },
      ],
    },
    {
      action: "keep the socket to the owner from the command",
      ops: [
        { call: "label", args: [], label: IMAGE },
        ...kept.map(([, to]): Op => ({ call: "fcntl", args: [to, setFlags, named("FD_CLOEXEC", 1)] })),
      ],
    },
  ];
}

/**
 * Waits until init does not hold the owner's memory any more, and has dropped the host's root, before which it may have
 * failed.
 * @param inUse where the kernel tells that init has left the owner's memory @param dropped where init told
 */
export function waitForInit(inUse: Data, dropped: Data | undefined): Alone {
  const init = { at: inUse, offset: IN_USE.first };
  return (where) => {
    const [again, left, gone] = [`not alone: ${where}`, `alone: ${where}`, `dropped: ${where}`];
    const ops: Op[] = [
      { call: "label", args: [], label: again },
      { call: "load", args: [init, 4], out: "init-in-use" },
      { call: "jumpIf", args: [ref("init-in-use"), 0, named("==", 0)], label: left },
      { call: "futex", args: [init, flags("FUTEX_WAIT"), ref("init-in-use"), 0], onError: "ignore" },
      { call: "jump", args: [], label: again },
      { call: "label", args: [], label: left },
    ];
    if (!dropped) return ops;
    return [
      ...ops,
      { call: "load", args: [dropped, 4], out: "dropped" },
      { call: "jumpIf", args: [ref("dropped"), 1, named("==", 0)], label: gone },
      { call: "exit_group", args: [1] },
      { call: "label", args: [], label: gone },
    ];
  };
}

/** What shells, servers and JavaScript runtimes may ignore; CLONE_CLEAR_SIGHAND and execve(2) leave that as it is. */
const IGNORED_SIGNALS = [
  ["SIGHUP", 1],
  ["SIGINT", 2],
  ["SIGQUIT", 3],
  ["SIGPIPE", 13],
  ["SIGTERM", 15],
  ["SIGXFSZ", 25],
] as const;

function signalStep(): Step {
  const ops: Op[] = IGNORED_SIGNALS.map(([name, number]) => ({
    call: "rt_sigaction",
    args: [named(name, number), structure("{SIG_DFL}", "sigaction", {}), 0, 8],
  }));
  ops.push({ call: "rt_sigprocmask", args: [named("SIG_SETMASK", 2), words("no signals", 0), 0, 8] });
  return { action: "have no signal ignored or blocked", ops };
}

function privilegeStep({ process }: Spec): Plan {
  if (!process.noNewPrivileges) return [];
  return [
    {
      action: "give up gaining privileges",
      ops: [{ call: "prctl", args: [flags("PR_SET_NO_NEW_PRIVS"), 1, 0, 0, 0] }],
    },
  ];
}

function filterStep(spec: Spec, { arch }: Facts, image: boolean): Plan {
  const { seccomp } = spec.linux;
  if (!seccomp) return [];
  const load = (filter: Uint8Array): Op => ({
    call: "seccomp",
    args: [flags("SECCOMP_SET_MODE_FILTER"), seccompFlags(seccomp), filterData(filter)],
  });
  const filter = compileSeccomp(seccomp, arch);
  if (!listens(spec)) return [{ action: "load the seccomp filter", ops: [load(filter)] }];
  const [socket, control] = image ? [PASS_FD, CONTROL_FD] : [ref("control+1"), ref("control")];
  const ops = [{ ...load(withCookie(filter)), out: "listener" }, ...handOver(socket, control)];
  return [{ action: "load the seccomp filter, and hand its listener over", ops }];
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const [EACCES, ENOENT, ENOTDIR] = [13, 2, 20];

function argvData({ process: { args } }: Spec): Data {
  return { ...stringArray(args), text: JSON.stringify(args) };
}

/**
 * Tries each directory of PATH, as execvp(3) does; a name with a slash is taken as it is.
 * @param argv the arguments, where they are bound rather than those of the specification
 */
export function executeStep(spec: Spec, argv: Data | Ref = argvData(spec)): Step {
  const { args, env } = spec.process;
  const command = args[0] ?? "";
  const envp = stringArray(env);
  envp.text = `[${env.length} variables]`;
  // no magic link of /proc: its exe is still the owner's program (CVE-2019-5736)
  const how = structure("{O_PATH|O_CLOEXEC, RESOLVE_NO_MAGICLINKS}", "open_how", { flags: 0o12000000, resolve: 0x02 });
  const look = (file: string): Op => ({
    call: "openat2",
    args: [flags("AT_FDCWD"), cstring(file), how, 24],
    out: "file",
  });
  const execute = (file: string): Op => ({ call: "execve", args: [cstring(file), argv, envp], out: "file" });
  const step: Step = { action: `execute "${command}"`, ops: [], code: "command_not_executable", path: command };
  if (command.includes("/")) {
    step.ops.push(look(command), { call: "close", args: [ref("file")] }, execute(command));
    return step;
  }
  const path = env.find((v) => v.startsWith("PATH="))?.slice(5) ?? DEFAULT_PATH;
  path.split(":").forEach((directory, index) => {
    const file = `${directory || "."}/${command}`;
    const onError = { jump: `failed ${index}` };
    step.ops.push({ ...look(file), onError }, { call: "close", args: [ref("file")] }, { ...execute(file), onError });
    step.ops.push({ call: "label", args: [], label: `failed ${index}` });
    for (const errno of [ENOENT, ENOTDIR, EACCES]) {
      step.ops.push({ call: "jumpIf", args: [ref("file"), -errno, named("==", 0)], label: `next ${index}` });
    }
    // once more, to fail with its own errno
    step.ops.push(look(file), execute(file), { call: "label", args: [], label: `next ${index}` });
  });
  step.ops.push({ call: "fail", args: [named("ENOENT", ENOENT)] });
  return step;
}
