/**
 * The descriptors that the command begins with, and no others.
 * @module
 */
import { cstring, named, ref } from "../../syscalls/index.ts";
import type { Op, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import { F_DUPFD_CLOEXEC } from "./clone.ts";
import { flags } from "./constants.ts";
import { controlTerminal } from "./terminal.ts";

export interface Kept {
  /** The process leads a session from now on. */
  session: boolean;
  /** Slots of descriptors that the process keeps for itself, next to `control` and in their order. */
  own: string[];
  /** Descriptors from 3 on that are the command's, as they are. */
  preserved?: number;
}

/** Also closes everything else but `control`, that a failure is told over: no name may lead to the host any more. */
export function stdioStep(spec: Spec, { session, own, preserved = 0 }: Kept): Step {
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
  // out of the way of each other; slots of their own, as other processes walk the same memory at this time
  const moved = own.length > 1 ? own.map((name) => `moved ${name}`) : own;
  if (own.length > 1)
    own.forEach((name, index) =>
      ops.push({ call: "fcntl", args: [ref(name), F_DUPFD_CLOEXEC, ref("control+3")], out: moved[index] as string }),
    );
  moved.forEach((name, index) =>
    // EINVAL: it is there already
    ops.push({
      call: "dup3",
      args: [ref(name), ref(`control+${index + 1}`), flags("O_CLOEXEC")],
      onError: { ignore: "EINVAL" },
    }),
  );
  ops.push(
    // EINVAL: there is nothing below it
    { call: "close_range", args: [3 + preserved, ref("control-1"), 0], onError: { ignore: "EINVAL" } },
    { call: "close_range", args: [ref(`control+${own.length + 1}`), named("~0U", 0xffffffff), 0] },
  );
  return { action: "connect stdin, stdout and stderr, and close everything else", ops };
}
