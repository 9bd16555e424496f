/**
 * Compiles an OCI runtime specification into the plan that makes the sandbox. Pure: what has to be known about the
 * machine comes in as facts, so a plan can be printed and tested without root.
 *
 * A plan is walked by two processes. The first is cloned into the new namespaces, clones the second and becomes init.
 * The second builds what the namespaces hold, and becomes the command.
 * @module
 */
import { buffer, cstring, named, ref, stringArray, TsboxError, words } from "../../syscalls/index.ts";
import type { Arch, Data, Named, Op, Plan, Step } from "../../syscalls/index.ts";
import type { NamespaceType, Spec } from "../spec/index.ts";
import { commandSteps } from "./command.ts";
import { flags } from "./constants.ts";
import { filesystemSteps, hostSteps } from "./filesystem.ts";
import { READY_FRAME_BYTES, READY_TAG } from "./frame.ts";
import { CONTROL_FD, initSteps, PIDFD, type InitKind } from "./init.ts";

/** What the specification cannot say. */
export interface Beside {
  root: Root;
  /** No command: init waits for processes that join. */
  idle: boolean;
}

/**
 * `directory`: the root path itself. `overlay`: the root path under a writable layer in memory. `tmpfs`: an empty
 * root that the mounts fill, with these directories, links and files.
 */
export type Root = { kind: "directory" | "overlay" } | { kind: "tmpfs"; entries: RootEntry[] };

export interface RootEntry {
  path: string;
  directory?: number;
  symlink?: string;
  file?: Uint8Array;
}

/** What the machine is like. */
export interface Facts {
  arch: Arch;
  /** The owner opens the sources of mounts itself, before the clone: as {@link mountSlot} and `rootfs`. */
  privileged: boolean;
  /** The kind of each bind mount's source. */
  sources: ReadonlyMap<string, "file" | "directory">;
  /** The kind of those masked and read-only paths that this kernel has. */
  kernelPaths: ReadonlyMap<string, "file" | "directory">;
  /**
   * How the cgroup is joined: so many v1 `tasks` files are bound as `cgroup0`, `cgroup1`, …, and the clone goes into a
   * v2 directory, bound as `cgroup`.
   */
  cgroup: { tasks: number; into: boolean };
}

export interface SandboxPlan {
  plan: Plan;
  /** `struct clone_args` of the first process; its word at {@link CLONE_ARGS_CGROUP} takes the cgroup's descriptor. */
  cloneArgs: Data;
  /** Where the clone puts a pidfd of the first process. */
  pidfd: Data;
  /** Words that the kernel clears when the two processes no longer use the memory of the plan. */
  inUse: Data;
  /** The kind of init whose image is bound as `init`. */
  init: Exclude<InitKind, "outside">;
}

export const CLONE_ARGS_CGROUP = 80;
const CLONE_ARGS_BYTES = 88;
const STACK_BYTES = 8192;
const SIGCHLD = 17;
const NEW: Record<NamespaceType, Parameters<typeof flags>[0] | undefined> = {
  pid: "CLONE_NEWPID",
  network: "CLONE_NEWNET",
  mount: "CLONE_NEWNS",
  ipc: "CLONE_NEWIPC",
  uts: "CLONE_NEWUTS",
  user: "CLONE_NEWUSER",
  cgroup: "CLONE_NEWCGROUP",
  time: undefined,
};
/**
 * Made by the new process itself: a cgroup namespace is rooted where the process then is, and a network namespace takes
 * the kernel a millisecond, for which the owner would stand still (measured).
 */
const LATER: NamespaceType[] = ["cgroup", "network"];

/** @throws TsboxError `invalid_option`, `unsupported` */
export function compile(spec: Spec, beside: Beside, facts: Facts): SandboxPlan {
  checkSupported(spec);
  const has = (type: NamespaceType) => spec.linux.namespaces.some((n) => n.type === type);
  const inUse = words("in use", 1, 0);
  const pidfd = buffer("pidfd", 8);
  const cloneFlags = flags(
    "CLONE_VM",
    "CLONE_CHILD_CLEARTID",
    "CLONE_CLEAR_SIGHAND",
    "CLONE_PIDFD",
    ...(facts.cgroup.into ? (["CLONE_INTO_CGROUP"] as const) : []),
    ...spec.linux.namespaces.flatMap((n) => (LATER.includes(n.type) ? [] : (NEW[n.type] ?? []))),
  );
  const cloneArgs = cloneArguments(cloneFlags);
  cloneArgs.pointers?.push({ offset: 8, to: pidfd }, { offset: 16, to: inUse });
  const plan: Plan = [
    {
      action: "clone the sandbox's first process into its namespaces",
      // the owner makes this call itself; the new process goes on behind the label
      ops: [
        { call: "spawn", args: [cloneArgs, CLONE_ARGS_BYTES], label: "first" },
        { call: "label", args: [], label: "first" },
      ],
    },
    ...enterSteps(spec, facts, has),
    cloneSecond(flags("CLONE_VM", "CLONE_CHILD_CLEARTID", "CLONE_PIDFD"), inUse),
    becomeInit(),
    // init is being loaded while the second process goes on
    { action: "begin the second process", ops: [{ call: "label", args: [], label: "second" }] },
    ...(has("mount") ? filesystemSteps(spec, beside.root, facts) : []),
  ];
  if (spec.hostname !== undefined && has("uts")) plan.push(hostnameStep(spec.hostname));
  if (has("network")) plan.push(loopbackUp());
  plan.push(...(beside.idle ? [readyStep()] : commandSteps(spec, facts, has("pid"), inUse)));
  return { plan, cloneArgs, pidfd, inUse, init: beside.idle ? "idle" : has("pid") ? "command" : "group" };
}

/**
 * The program of a process that joins a running sandbox, for the image placement: it must not bring the owner's memory
 * along. Bound are `sandbox` (a pidfd of init), the cgroup and stdio.
 * @throws TsboxError `invalid_option`
 */
export function compileJoin(spec: Spec, facts: Facts): Plan {
  const joined = spec.linux.namespaces.flatMap((n) => NEW[n.type] ?? []);
  const { into } = facts.cgroup;
  // not CLONE_VM: what happens to the command before its execve must not reach the process that waits for it
  const cloneFlags = flags("CLONE_PIDFD", ...(into ? (["CLONE_INTO_CGROUP"] as const) : []));
  const own = spec.linux.namespaces.some((n) => n.type === "pid");
  return [
    {
      action: "join the sandbox",
      ops: [
        { call: "prctl", args: [flags("PR_SET_DUMPABLE"), 0] },
        { call: "setsid", args: [] },
        { call: "setns", args: [ref("sandbox"), flags(...joined)] },
      ],
      hint: (errno) => (errno === "ESRCH" ? "the sandbox has ended" : undefined),
    },
    cloneSecond(cloneFlags, undefined, into),
    initDescriptors(named("0", 0)),
    ...initSteps(own ? "outside" : "group"),
    {
      action: "join the cgroup",
      ops: [{ call: "label", args: [], label: "second" }, ...joinCgroup(facts)],
      code: "limit_unavailable",
    },
    {
      action: "keep the socket to the owner from the command",
      // the image was executed with it
      ops: [{ call: "fcntl", args: [ref("control"), named("F_SETFD", 2), named("FD_CLOEXEC", 1)] }],
    },
    // whoever is inside already must not look into it
    ...(spec.linux.namespaces.some((n) => n.type === "user") ? [becomeKnown(spec, 0)] : []),
    ...commandSteps(spec, facts, own),
  ];
}

/** @see clone(2), struct clone_args */
function cloneArguments(cloneFlags: Named): Data {
  const text = `{flags=${cloneFlags.text}, exit_signal=SIGCHLD}`;
  const vm = cloneFlags.text.includes("CLONE_VM");
  const args = words(text, cloneFlags.value, 0, 0, 0, SIGCHLD, 0, vm ? STACK_BYTES : 0, 0, 0, 0, 0);
  args.pointers = vm ? [{ offset: 40, to: buffer("stack", STACK_BYTES, 16) }] : [];
  return args;
}

/** The second process goes on at the label `second`; init gets a pidfd of it. */
function cloneSecond(cloneFlags: Named, inUse?: Data, intoCgroup = false): Step {
  const args = cloneArguments(cloneFlags);
  const pidfd = buffer("pidfd", 8);
  args.pointers?.push({ offset: 8, to: pidfd });
  const ops: Op[] = [];
  if (inUse) {
    const word = { at: inUse, offset: 8 };
    ops.push({ call: "store", args: [word, 1, 8] }, { call: "store", args: [{ at: args, offset: 16 }, word, 8] });
  }
  if (intoCgroup) ops.push({ call: "store", args: [{ at: args, offset: CLONE_ARGS_CGROUP }, ref("cgroup"), 8] });
  ops.push(
    { call: "spawn", args: [args, CLONE_ARGS_BYTES], label: "second" },
    { call: "load", args: [pidfd, 4], out: "pidfd" },
  );
  return {
    action: "clone the second process",
    ops,
    hint: (errno) => (errno === "EAGAIN" ? "the limit on processes is reached" : undefined),
  };
}

const joinCgroup = ({ cgroup }: Facts): Op[] =>
  Array.from({ length: cgroup.tasks }, (_, i) => ({ call: "write", args: [ref(`cgroup${i}`), cstring("0"), 1] }));

function enterSteps(spec: Spec, facts: Facts, has: (type: NamespaceType) => boolean): Plan {
  const steps: Plan = [];
  const join = joinCgroup(facts);
  if (join.length > 0) steps.push({ action: "join the cgroup", ops: join, code: "limit_unavailable" });
  const later = LATER.filter(has);
  if (later.length > 0) {
    const made = flags(...later.flatMap((type) => NEW[type] ?? []));
    steps.push({ action: `make the ${later.join(" and ")} namespace`, ops: [{ call: "unshare", args: [made] }] });
  }
  if (has("mount")) steps.push(...hostSteps(spec, facts));
  steps.push({
    action: "wait until the owner has written the id maps",
    ops: [
      // or an end of file would never be seen
      { call: "close", args: [ref("owner")] },
      { call: "read", args: [ref("control"), buffer("byte", 8), 1], out: "go" },
      { call: "jumpIf", args: [ref("go"), 1, named("==", 0)], label: "go" },
      { call: "exit_group", args: [1] },
      { call: "label", args: [], label: "go" },
      { call: "setsid", args: [] },
    ],
  });
  if (has("user")) {
    // the change of user clears the flag of the address space, which is still the owner's too
    steps.push(becomeKnown(spec, 1));
  }
  return steps;
}

/** Files cannot be made by an id that the user namespace does not know. */
function becomeKnown({ linux }: Spec, dumpable: 0 | 1): Step {
  const uid = linux.uidMappings?.[0]?.containerID ?? 0;
  const gid = linux.gidMappings?.[0]?.containerID ?? 0;
  return {
    action: `become ${uid}:${gid} of the user namespace`,
    ops: [
      { call: "setresgid", args: [gid, gid, gid] },
      { call: "setresuid", args: [uid, uid, uid] },
      { call: "prctl", args: [flags("PR_SET_DUMPABLE"), dumpable] },
    ],
  };
}

function hostnameStep(hostname: string): Step {
  const name = cstring(hostname);
  return {
    action: `set the hostname "${hostname}"`,
    ops: [{ call: "sethostname", args: [name, name.data.length - 1] }],
    code: "invalid_option",
  };
}

/** @see netdevice(7) */
function loopbackUp(): Step {
  const request = buffer('{ifr_name="lo", ifr_flags=IFF_UP}', 40);
  request.data.set([0x6c, 0x6f]);
  request.data[16] = 1;
  return {
    action: "bring the loopback interface up",
    ops: [
      { call: "socket", args: [flags("AF_INET"), flags("SOCK_DGRAM", "SOCK_CLOEXEC"), 0], out: "socket" },
      { call: "ioctl", args: [ref("socket"), flags("SIOCSIFFLAGS"), request] },
      { call: "close", args: [ref("socket")] },
    ],
  };
}

/** Moves what init keeps out of each other's way, to the numbers that it knows. */
function initDescriptors(others: Named): Step {
  return {
    action: "keep a socket to the owner and a pidfd of the second process",
    ops: [
      { call: "fcntl", args: [ref("pidfd"), named("F_DUPFD_CLOEXEC", 1030), 10], out: "pidfd" },
      { call: "dup3", args: [ref("control"), CONTROL_FD, 0], onError: { ignore: "EINVAL" } },
      { call: "fcntl", args: [CONTROL_FD, named("F_SETFD", 2), 0] },
      { call: "dup3", args: [ref("pidfd"), PIDFD, 0] },
      { call: "close_range", args: [0, 2, 0] },
      { call: "close_range", args: [PIDFD + 1, named("~0U", 0xffffffff), others] },
    ],
  };
}

function becomeInit(): Step {
  const [name, environment] = [stringArray(["tsbox-init"]), stringArray([])];
  const { ops } = initDescriptors(flags("CLOSE_RANGE_CLOEXEC"));
  ops.push({ call: "execveat", args: [ref("init"), cstring(""), name, environment, flags("AT_EMPTY_PATH")] });
  return { action: "become init", ops };
}

/** Without a command, the second process has nothing more to do. */
function readyStep(): Step {
  const frame = words("ready frame", READY_TAG, 0);
  return {
    action: "tell the owner that everything stands",
    ops: [
      { call: "write", args: [ref("control"), frame, READY_FRAME_BYTES] },
      { call: "exit_group", args: [0] },
    ],
  };
}

/** Refuses what this compiler does not know rather than ignoring it. */
function checkSupported(spec: Spec): void {
  for (const namespace of spec.linux.namespaces) {
    if (namespace.path !== undefined || namespace.type === "time") {
      throw new TsboxError(
        `use the ${namespace.type} namespace: joining one and time namespaces are not supported yet`,
        {
          code: "unsupported",
        },
      );
    }
  }
}
