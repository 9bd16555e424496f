/**
 * A process between the owner and the first one, for what must not be done in the owner's memory: it is a copy of the
 * owner that joins namespaces in which somebody may be waiting, takes an OOM score, or has little memory, clones the first
 * process as the owner's child, and ends. Only plans that ask for any of it have it: to copy a large process takes a while.
 *
 * The kernel keeps the OOM score of all processes that share memory the same, lets nobody with shared memory join a time
 * namespace, and has children of whoever joins a pid namespace be in it, not that process itself.
 * @module
 * @see setns(2), proc_pid_oom_score_adj(5)
 */
import { buffer, cstring, named, ref, TsboxError } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import type { NamespaceType, Spec } from "../spec/index.ts";
import type { Facts } from "./compile.ts";
import { cloneStep, NEW, pipeOps, type Clone } from "./clone.ts";
import { flags } from "./constants.ts";

type Joined = { type: NamespaceType; path: string };

const joinedOf = ({ linux }: Spec): Joined[] =>
  linux.namespaces.flatMap(({ type, path }) => (path === undefined ? [] : [{ type, path }]));

/** The sandbox's processes are not to use the owner's memory. */
export const isApart = (spec: Spec, { cgroup }: Facts): boolean =>
  spec.process.oomScoreAdj !== undefined || joinedOf(spec).length > 0 || cgroup.crowded === true || isTight(spec);

/** Several times what a plan of the most steps has the kernel charge until the command's process has memory of its own. */
const TIGHT_BYTES = 4 * 1024 * 1024;

/**
 * With so little memory, as in a crowded group, it may be out while the sandbox is made: then the kernel kills all
 * processes that share memory with the one that it chooses, whatever their groups.
 */
function isTight({ linux: { resources } }: Spec): boolean {
  const limits = [resources?.memory?.limit, resources?.unified?.["memory.max"]];
  // -1 is no limit, and so is "max"
  return limits.some((limit) => limit !== undefined && Number(limit) >= 0 && Number(limit) < TIGHT_BYTES);
}

/** Somebody may be in its namespaces already, and must not look into its processes. */
export const isWatched = (spec: Spec): boolean => joinedOf(spec).length > 0;

/** Whether a namespace is the sandbox's own, and made with it. */
export const isOwn = ({ linux }: Spec, type: NamespaceType): boolean =>
  linux.namespaces.some((namespace) => namespace.type === type && namespace.path === undefined);

/** Whether it is that of others, joined by its path. */
export const isJoined = (spec: Spec, type: NamespaceType): boolean =>
  joinedOf(spec).some((joined) => joined.type === type);

/** @throws TsboxError `invalid_option` */
export function checkNamespaces(spec: Spec): void {
  const { namespaces, uidMappings, gidMappings } = spec.linux;
  const refused = (type: string, why: string) =>
    new TsboxError(`use the ${type} namespace: ${why}`, { code: "invalid_option" });
  for (const [index, { type, path }] of namespaces.entries()) {
    if (namespaces.findIndex((other) => other.type === type) !== index) throw refused(type, "it is named twice");
    if (path !== undefined && !path.startsWith("/")) throw refused(type, `"${path}" is not an absolute path`);
  }
  const user = namespaces.find(({ type }) => type === "user");
  if ((uidMappings || gidMappings) && (!user || user.path !== undefined))
    throw refused("user", "id maps are those of a new one");
  // its /proc is what others say that it is
  const written = spec.linux.sysctl ?? spec.linux.timeOffsets;
  if (written && isJoined(spec, "mount")) throw refused("mount", "sysctls and time offsets need a /proc of its own");
  if (spec.domainname !== undefined && !isOwn(spec, "uts")) throw refused("uts", "a domain name is that of a new one");
}

export const namespaceSlot = (type: NamespaceType): string => `${type} namespace`;

/**
 * The owner's steps, in place of the clone of the first process.
 * @param mountIds where they are those of the user namespace that is joined
 */
export function cloneIntermediate(spec: Spec, intoCgroup: boolean, mountIds: Plan): { steps: Plan; opened: string[] } {
  const joined = joinedOf(spec);
  const count = buffer("pid of the first process", 8);
  const O_RDONLY = named("O_RDONLY|O_NONBLOCK|O_CLOEXEC", 0o2004000);
  const open = joined.map(({ type, path }): Step => ({
    action: `open the ${type} namespace "${path}"`,
    ops: [{ call: "openat", args: [flags("AT_FDCWD"), cstring(path), O_RDONLY, 0], out: namespaceSlot(type) }],
    code: "invalid_option",
    path,
    hint: () => "a file such as /proc/PID/ns/net, of a process of the caller's",
  }));
  const clone = flags("CLONE_CLEAR_SIGHAND", ...(intoCgroup ? (["CLONE_INTO_CGROUP"] as const) : []));
  const steps: Plan = [
    ...open,
    ...mountIds,
    { action: "make a pipe, to be told the first process", ops: pipeOps("told") },
    cloneStep("clone a process between, which does not use the owner's memory", {
      label: "between",
      flags: clone,
      intoCgroup,
    }),
    {
      action: "wait for the process between to clone the first",
      ops: [
        // or its end would never be seen
        { call: "close", args: [ref("told-write")] },
        { call: "load", args: [buffer("none", 8), 4], out: "told-write" },
        { call: "read", args: [ref("told-read"), count, 4], out: "told" },
        { call: "wait4", args: [ref("between"), 0, 0, 0], onError: "ignore" },
        { call: "load", args: [count, 4], out: "first" },
        { call: "jumpIf", args: [ref("told"), 4, named("==", 0)], label: "told" },
        { call: "fail", args: [named("ESRCH", 3)] },
        { call: "label", args: [], label: "told" },
      ],
    },
  ];
  return { steps, opened: ["told-read", ...joined.map(({ type }) => namespaceSlot(type))] };
}

/** @param clone of the first process @param opened what has to be opened in joined namespaces, with the owner's rights */
export function intermediateSteps(spec: Spec, clone: Clone, opened: Plan): Plan {
  const { oomScoreAdj } = spec.process;
  const pid = buffer("pid", 8);
  const hide: Op[] = isWatched(spec) ? [{ call: "prctl", args: [flags("PR_SET_DUMPABLE"), 0] }] : [];
  return [
    { action: "begin the process between", ops: [{ call: "label", args: [], label: "between" }] },
    ...(oomScoreAdj === undefined ? [] : [oomStep(oomScoreAdj)]),
    ...(hide.length > 0 ? [{ action: "be looked into by nobody", ops: hide }] : []),
    ...joinSteps(joinedOf(spec), opened),
    // the owner waits for the first process, and so has to be its parent
    cloneStep("clone the sandbox's first process into its namespaces", { ...clone, sibling: true }),
    {
      action: "tell the owner the first process, and end",
      ops: [
        { call: "store", args: [pid, ref("first"), 4] },
        { call: "write", args: [ref("told-write"), pid, 4] },
        { call: "exit_group", args: [0] },
      ],
    },
  ];
}

/** Never in memory that is shared with the owner. */
export function oomStep(score: number): Step {
  const text = cstring(String(score));
  return {
    action: `set the OOM score to ${score}`,
    ops: [
      {
        call: "openat",
        args: [flags("AT_FDCWD"), cstring("/proc/self/oom_score_adj"), named("O_WRONLY|O_CLOEXEC", 0o2000001), 0],
        out: "oom",
      },
      { call: "write", args: [ref("oom"), text, text.data.length - 1] },
      { call: "close", args: [ref("oom")] },
    ],
    code: "permission_denied",
    hint: (errno) =>
      errno === "EACCES" ? "below the caller's own it can be set only with CAP_SYS_RESOURCE on the host" : undefined,
  };
}

/**
 * Those of other owners with the owner's rights, before its user namespace is left; those of the user namespace that is
 * joined with the rights that it gives.
 */
function joinSteps(joined: Joined[], opened: Plan): Plan {
  const user = joined.find(({ type }) => type === "user");
  const others = joined.filter(({ type }) => type !== "user");
  if (!user) return [...others.map((each) => joinStep(each)), ...opened];
  const early = others.map(({ type }): Op => ({ ...setns(type), out: `joined ${type}`, onError: "ignore" }));
  const late = others.map((each): Step => {
    const { ops, ...step } = joinStep(each);
    const done = `in the ${each.type} namespace`;
    const skip: Op = { call: "jumpIf", args: [ref(`joined ${each.type}`), 0, named("==", 0)], label: done };
    return { ...step, ops: [skip, ...ops, { call: "label", args: [], label: done }] };
  });
  const tried: Plan = early.length > 0 ? [{ action: "join what the owner's rights allow", ops: early }] : [];
  return [...tried, joinStep(user), ...late];
}

// the type is compared by the kernel: EINVAL where the file is something else
const setns = (type: NamespaceType): Op => ({
  call: "setns",
  args: [ref(namespaceSlot(type)), flags(NEW[type])],
});

const joinStep = ({ type, path }: Joined): Step => ({
  action: `join the ${type} namespace "${path}"`,
  ops: [setns(type)],
  code: "permission_denied",
  path,
  hint: (errno) => {
    if (errno === "EINVAL") return `it is no ${type} namespace, or the caller's own`;
    return errno === "EPERM"
      ? "an ordinary user can join namespaces only together with the user namespace that they belong to"
      : undefined;
  },
});
