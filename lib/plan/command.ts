/**
 * The last steps, in the command's own process: descriptors, limits, identity, working directory, seccomp, execve.
 * @module
 */
import { cstring, IMAGE, named, ref, stringArray, structure, words, TsboxError } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import type { Facts } from "./compile.ts";
import { attributeSteps } from "./attributes.ts";
import { IN_USE } from "./clone.ts";
import { flags, RLIMITS } from "./constants.ts";
import { stdioStep } from "./descriptors.ts";
import { executeStep } from "./execute.ts";
import { identitySteps } from "./identity.ts";
import { CONTROL_FD, HARD_SIGNAL } from "./init.ts";
import { LIFELINE_FD, untilNetworked } from "./reach.ts";
import { landlockSteps } from "./landlock.ts";
import { filterStep, listens, PASS_FD, type Receivers } from "./listener.ts";
import { isJoined, isWatched, isOwn } from "./intermediate.ts";
import { LIFELINE } from "./supervised.ts";
import { openInRoot, openOrMake, type Alone } from "./mounts.ts";

/**
 * @param alone waits for init, in a process that shares the owner's memory; none in an image
 * @param last what the process does when it is what it has to be
 * @param isNetworked it waits for its network, which it does not where it is restricted early
 */
export function commandSteps(
  spec: Spec,
  facts: Facts,
  session: boolean,
  alone?: Alone,
  last: Plan = [executeStep(spec)],
  isNetworked = false,
): Plan {
  const { process, linux } = spec;
  const { seccomp } = linux;
  const early = restrictsEarly(spec);
  const listening = listens(spec);
  if (listening && early) {
    throw new TsboxError("use the seccomp profile: SCMP_ACT_NOTIFY without no_new_privs", {
      code: "unsupported",
      hint: "leave noNewPrivileges true",
    });
  }
  const restrictions = [
    ...privilegeStep(spec),
    ...landlockSteps(spec, alone !== undefined),
    ...(seccomp ? [filterStep(seccomp, facts.arch, listening ? receivers(alone !== undefined) : undefined)] : []),
  ];
  const kept: [slot: string, fd: number][] = [];
  if (listening) kept.push(["pass-socket", PASS_FD]);
  if (isNetworked) kept.push([LIFELINE, LIFELINE_FD]);
  return [
    stdioStep(spec, {
      session,
      own: [...kept.map(([slot]) => slot), ...(alone ? ["command-image"] : [])],
    }),
    ...rlimitSteps(spec),
    ...attributeSteps(spec),
    openDirectory(process.cwd, alone ?? (() => [])),
    ...(early ? restrictions : []),
    ...identitySteps(spec),
    enterDirectory(process.cwd),
    ...(alone ? [aloneStep(spec, alone), ...leaveMemorySteps(keptInImage(kept))] : []),
    signalStep(),
    // as late as can be, while calls for it are not forbidden
    ...(isNetworked ? [untilNetworked(alone !== undefined)] : []),
    ...(early ? [] : restrictions),
    ...last,
  ];
}

/** Without no_new_privs, restrictions can be had only as long as there is CAP_SYS_ADMIN. */
export const restrictsEarly = ({ process, linux }: Spec): boolean =>
  (linux.seccomp ?? linux.landlock) !== undefined && !process.noNewPrivileges;

/** @param alone absent: it is not made */
export const openDirectory = (path: string, alone?: Alone): Step => ({
  action: `chdir to the working directory "${path}", and open it first`,
  ops: alone ? openOrMake(path, "directory", "cwd", alone) : [openInRoot(path, "cwd")],
  path,
  code: "invalid_option",
  hint: () => "the working directory has to be a directory inside the root filesystem, or one that can be made there",
});

const enterDirectory = (path: string): Step => ({
  action: `chdir to the working directory "${path}"`,
  ops: [
    { call: "fchdir", args: [ref("cwd")] },
    { call: "close", args: [ref("cwd")] },
  ],
  path,
  code: "invalid_option",
  hint: () => "the working directory has to be one that the user may enter",
});

/** As whoever has the rights of the runtime; a user that may not enter it may still work in it. */
export const enterIfAllowed = (path: string): Step => ({
  action: `chdir to the working directory "${path}", where that is allowed`,
  ops: [{ call: "fchdir", args: [ref("cwd")], out: "entered", onError: "ignore" }],
});

/** What only the user may enter is entered as the user. */
export function enterAtLast(path: string): Step {
  const step = enterDirectory(path);
  const [enter, ...rest] = step.ops as [Op, ...Op[]];
  const entered = "in the working directory";
  return {
    ...step,
    ops: [
      { call: "jumpIf", args: [ref("entered"), 0, named("==", 0)], label: entered },
      enter,
      { call: "label", args: [], label: entered },
      ...rest,
    ],
  };
}

export function rlimitSteps(spec: Spec): Plan {
  return (spec.process.rlimits ?? []).map(({ type, soft, hard }) => {
    const resource = RLIMITS.indexOf(type);
    if (resource < 0) {
      throw new TsboxError(`set the limit "${type}": unknown`, { code: "invalid_option", hint: RLIMITS.join(", ") });
    }
    const value = (n: number | bigint) => (n === Infinity ? -1 : n);
    const limit = structure(`{${soft}, ${hard}}`, "rlimit64", { rlim_cur: value(soft), rlim_max: value(hard) });
    return {
      action: `set ${type} to ${soft}:${hard}`,
      ops: [{ call: "prlimit64", args: [0, named(type, resource), limit, 0] }],
      code: "limit_unavailable",
      hint: () => "a hard limit can only be raised with CAP_SYS_RESOURCE on the host",
    } satisfies Step;
  });
}

/** What runs next is not trusted any more. */
export function aloneStep(spec: Spec, alone: Alone): Step {
  // the change of user cleared the flag of the address space, which is still the owner's too
  const dumpable: Op = { call: "prctl", args: [flags("PR_SET_DUMPABLE"), isWatched(spec) ? 0 : 1] };
  // the kernel may still be busy with its execve when it has left the owner's memory
  const hear = hearsInit(spec) ? HEAR : [];
  // an init that fails before takes its pid namespace along: nobody waits for it twice
  const ops = isOwn(spec, "pid") ? [dumpable, ...hear, ...alone("command")] : [dumpable, ...alone("command"), ...hear];
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

/** Descriptors next to `control`, and the numbers that the image knows them by; the image itself is behind them. */
export type KeptInImage = [from: string, to: number][];

const keptInImage = (kept: readonly [slot: string, fd: number][]): KeptInImage => [
  ["control", CONTROL_FD],
  ...kept.map(([, fd], index): KeptInImage[number] => [`control+${index + 1}`, fd]),
];

/**
 * A process's `/proc/self/exe` goes with its memory, which is the owner's till here. Whatever the kernel follows that
 * link for while it executes the command, such as the interpreter that a script names, would get the owner's program
 * (CVE-2019-5736).
 */
export function leaveMemorySteps(kept: KeptInImage): Plan {
  const [name, environment] = [stringArray(["tsbox-command"]), stringArray([])];
  const setFlags = named("F_SETFD", 2);
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

export function signalStep(): Step {
  const ops: Op[] = IGNORED_SIGNALS.map(([name, number]) => ({
    call: "rt_sigaction",
    args: [named(name, number), structure("{SIG_DFL}", "sigaction", {}), 0, 8],
  }));
  ops.push({ call: "rt_sigprocmask", args: [named("SIG_SETMASK", 2), words("no signals", 0), 0, 8] });
  return { action: "have no signal ignored or blocked", ops };
}

export function privilegeStep({ process }: Spec): Plan {
  if (!process.noNewPrivileges) return [];
  return [
    {
      action: "give up gaining privileges",
      ops: [{ call: "prctl", args: [flags("PR_SET_NO_NEW_PRIVS"), 1, 0, 0, 0] }],
    },
  ];
}

/** By their numbers in an image of its own; a process that joins has them next to each other. */
const receivers = (image: boolean): Receivers =>
  image ? { socket: PASS_FD, told: CONTROL_FD } : { socket: ref("control+1"), told: ref("control") };
