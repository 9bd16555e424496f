/**
 * The processes of a sandbox, cloned one by another.
 * @module
 * @see clone(2), struct clone_args
 */
import { buffer, named, offsetOf, ref, structure, STRUCTS } from "../../syscalls/index.ts";
import type { Data, Named, Op, Step } from "../../syscalls/index.ts";
import type { NamespaceType } from "../spec/index.ts";
import { flags } from "./constants.ts";

export const CLONE_ARGS_BYTES = STRUCTS.clone_args.size;
const STACK_BYTES = 8192;
const SIGCHLD = 17;

export const NEW: Record<NamespaceType, Parameters<typeof flags>[0]> = {
  pid: "CLONE_NEWPID",
  network: "CLONE_NEWNET",
  mount: "CLONE_NEWNS",
  ipc: "CLONE_NEWIPC",
  uts: "CLONE_NEWUTS",
  user: "CLONE_NEWUSER",
  cgroup: "CLONE_NEWCGROUP",
  time: "CLONE_NEWTIME",
};

export const NAMESPACES = Object.keys(NEW) as NamespaceType[];

/** Words of the plan's memory, one for each process that is cloned in place; the kernel clears them. */
export const IN_USE = { first: 0, second: 8 };

export interface Clone {
  /** The new process goes on behind this label; its pid is the slot of the same name. */
  label: "between" | "first" | "second";
  flags: Named;
  /** With CLONE_VM: where the kernel tells that the process has left the memory. */
  inUse?: Data;
  /** As the slot `pidfd`. */
  pidfd?: boolean;
  /** A child of the caller's parent. */
  sibling?: boolean;
  /** Into the v2 group bound as `cgroup`. */
  intoCgroup?: boolean;
}

function cloneArguments({ label, flags: own, inUse, sibling }: Clone): Data {
  const parent = flags("CLONE_PARENT");
  const wanted = sibling ? named(`${own.text}|${parent.text}`, Number(own.value) + Number(parent.value)) : own;
  // a sibling has the signal of the caller
  const args = structure(`{flags=${wanted.text}${sibling ? "" : ", exit_signal=SIGCHLD"}}`, "clone_args", {
    flags: wanted.value,
    exit_signal: sibling ? 0 : SIGCHLD,
    stack_size: inUse ? STACK_BYTES : 0,
  });
  args.pointers = inUse
    ? [{ offset: offsetOf("clone_args", "stack"), to: buffer(`stack of the ${label} process`, STACK_BYTES, 16) }]
    : [];
  return args;
}

/** Of a child with a stack of its own, in memory that it shares. @param pidfd where the kernel puts one */
export function childArguments(own: Named, what: string, pidfd?: Data): Data {
  const args = structure(`{flags=${own.text}, exit_signal=SIGCHLD}`, "clone_args", {
    flags: own.value,
    exit_signal: SIGCHLD,
    stack_size: STACK_BYTES,
  });
  args.pointers = [{ offset: offsetOf("clone_args", "stack"), to: buffer(`stack of ${what}`, STACK_BYTES, 16) }];
  if (pidfd) args.pointers.push({ offset: offsetOf("clone_args", "pidfd"), to: pidfd });
  return args;
}

export function cloneStep(action: string, clone: Clone): Step {
  const { label, inUse } = clone;
  const args = cloneArguments(clone);
  const ops: Op[] = [];
  const fd = buffer("pidfd", 8);
  if (clone.pidfd) args.pointers?.push({ offset: offsetOf("clone_args", "pidfd"), to: fd });
  const word = inUse && label !== "between" && { at: inUse, offset: IN_USE[label] };
  if (word)
    ops.push(
      { call: "store", args: [word, 1, 8] },
      { call: "store", args: [{ at: args, offset: offsetOf("clone_args", "child_tid") }, word, 8] },
    );
  if (clone.intoCgroup)
    ops.push({ call: "store", args: [{ at: args, offset: offsetOf("clone_args", "cgroup") }, ref("cgroup"), 8] });
  ops.push({ call: "spawn", args: [args, CLONE_ARGS_BYTES], label, out: label, onError: { jump: `no ${label}` } });
  if (clone.pidfd) ops.push({ call: "load", args: [fd, 4], out: "pidfd" });
  ops.push({ call: "jump", args: [], label: `cloned ${label}` }, { call: "label", args: [], label: `no ${label}` });
  if (word) ops.push({ call: "store", args: [word, 0, 8] });
  ops.push({ call: "fail", args: [ref(label)] }, { call: "label", args: [], label: `cloned ${label}` });
  const hint = (errno: string | undefined) =>
    errno === "EAGAIN" ? "the limit on processes is reached: limits.pids, or ulimit -u" : undefined;
  return { action, ops, hint };
}

/** A byte between two processes. */
export const byte = (): Data => buffer("byte", 8);

/** Makes a pipe as the slots `NAME-read` and `NAME-write`. */
export function pipeOps(name: string, ends: Data = buffer("[read, write]", 8)): Op[] {
  return [
    { call: "pipe2", args: [ends, flags("O_CLOEXEC")] },
    { call: "load", args: [ends, 4], out: `${name}-read` },
    { call: "load", args: [{ at: ends, offset: 4 }, 4], out: `${name}-write` },
  ];
}

export const F_DUPFD_CLOEXEC = named("F_DUPFD_CLOEXEC", 1030);

export const SESSION: Step = { action: "lead a session of its own", ops: [{ call: "setsid", args: [] }] };
