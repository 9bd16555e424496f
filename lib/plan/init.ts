/**
 * The built-in init, made of the executor. It reaps orphans, forwards signals, tells the owner how the command ended,
 * and ends with its owner. A process that joins a running sandbox has one of these as well, outside, waiting for it.
 *
 * Descriptor 3 is a stream socket to the owner: a byte from there is a signal for the command, end of file means die.
 * Descriptor 4 is a pidfd of the command. What goes to the owner is frames, which `frame.ts` reads.
 * @module
 */
import {
  buffer,
  cstring,
  named,
  offsetOf,
  ref,
  struct,
  STRUCTS,
  words,
  type Op,
  type Plan,
} from "../../syscalls/index.ts";
import type { Data } from "../../syscalls/index.ts";
import { DISK_FULL_TAG, EXIT_FRAME_BYTES, EXIT_TAG, REPORT_BYTES } from "./frame.ts";

export const CONTROL_FD = 3;
export const PIDFD = 4;
const [SIGCHLD, SIGKILL] = [17, named("SIGKILL", 9)];
const WNOHANG = 1;
const POLLIN = 1;

/**
 * - `command`: pid 1 of a pid namespace, whose pid 2 is the command;
 * - `idle`: pid 1 of a pid namespace without a command, for processes that join;
 * - `group`: leader of a process group in a shared pid namespace, which it takes along when it ends;
 * - `outside`: parent of a process that joined a pid namespace.
 */
export type InitKind = "command" | "idle" | "group" | "outside";

/** What tells the command's process that init is a hard target: one that does nothing where nobody waits for it. */
export const HARD_SIGNAL = named("SIGURG", 23);

/**
 * @param sized the root filesystem has a size of its own, and init tells whether it is full
 * @param awaited the command's process waits for init to be a hard target
 * @param owned it ends with its owner; otherwise the descriptor is a file, to which it writes how the command ended
 */
export function initSteps(kind: InitKind, sized = false, awaited = false, owned = true): Plan {
  const [control, signals] = [owned ? CONTROL_FD : -1, -1].map((fd) => [...struct("pollfd", { fd, events: POLLIN })]);
  const polled: Data = { data: Uint8Array.from([control, signals].flat() as number[]), text: "[control, signals]" };
  const harden: Op[] = [
    { call: "prctl", args: [named("PR_SET_NAME", 15), cstring("tsbox-init")] },
    { call: "prctl", args: [named("PR_SET_DUMPABLE", 4), 0] },
    { call: "prctl", args: [named("PR_SET_NO_NEW_PRIVS", 38), 1, 0, 0, 0] },
    {
      call: "signalfd4",
      args: [-1, words("all signals", -1), 8, named("SFD_CLOEXEC|SFD_NONBLOCK", 0o2004000)],
      out: "signals",
    },
    { call: "store", args: [{ at: polled, offset: 8 }, ref("signals"), 4] },
  ];
  if (awaited) harden.push({ call: "pidfd_send_signal", args: [PIDFD, HARD_SIGNAL, 0, 0], onError: "ignore" });
  return [
    { action: "make init a hard target: nobody inside may trace it or look into it", ops: harden },
    { action: "wait for the owner, for signals and for children", ops: loop(kind, polled, sized) },
  ];
}

const ENDING_OUTSIDE: Op[] = [
  { call: "pidfd_send_signal", args: [PIDFD, SIGKILL, 0, 0], onError: "ignore" },
  { call: "wait4", args: [-1, 0, 0, 0], onError: "ignore" },
];

function loop(kind: InitKind, polled: Data, sized: boolean): Op[] {
  const byte = buffer("byte", 8);
  const info = buffer("siginfo", 128);
  const exit = buffer("exit frame", EXIT_FRAME_BYTES);
  new DataView(exit.data.buffer).setInt32(0, EXIT_TAG, true);
  const signal: Op = { call: "pidfd_send_signal", args: [PIDFD, ref("signal"), 0, 0], onError: "ignore" };
  const end: Op[] = [];
  if (kind === "group") end.push({ call: "kill", args: [named("own process group", 0), SIGKILL], onError: "ignore" });
  end.push({ call: "exit_group", args: [0] });
  return [
    { call: "label", args: [], label: "wait" },
    { call: "ppoll", args: [polled, 2, 0, 0, 8], onError: "ignore" },
    { call: "load", args: [polled, 8], out: "events" },
    // revents is the upper half: nothing from the owner leaves the word below 2^48
    { call: "jumpIf", args: [ref("events"), 2 ** 48, 2], label: "signals" },
    { call: "read", args: [CONTROL_FD, byte, 1], out: "count", onError: "ignore" },
    { call: "jumpIf", args: [ref("count"), 1, 2], label: "die" },
    { call: "load", args: [byte, 4], out: "signal" },
    ...(kind === "idle" ? [] : [signal]),
    { call: "label", args: [], label: "signals" },
    { call: "read", args: [ref("signals"), info, 128], out: "count", onError: "ignore" },
    { call: "jumpIf", args: [ref("count"), 128, 2], label: "reap" },
    { call: "load", args: [info, 4], out: "signal" },
    { call: "jumpIf", args: [ref("signal"), SIGCHLD, 0], label: "reap" },
    // in a group, the command has had this signal already
    ...(kind === "command" || kind === "outside" ? [signal] : []),
    { call: "label", args: [], label: "reap" },
    {
      call: "wait4",
      args: [-1, { at: exit, offset: 4 }, WNOHANG, { at: exit, offset: 8 }],
      out: "pid",
      onError: "ignore",
    },
    { call: "jumpIf", args: [ref("pid"), 1, 2], label: "wait" },
    ...(kind === "idle" ? [{ call: "jump", args: [], label: "reap" } satisfies Op] : []),
    ...(kind === "command" ? [{ call: "jumpIf", args: [ref("pid"), 2, 1], label: "reap" } satisfies Op] : []),
    ...(sized ? tellDiskFull() : []),
    { call: "write", args: [CONTROL_FD, exit, EXIT_FRAME_BYTES], onError: "ignore" },
    ...end,
    { call: "label", args: [], label: "die" },
    // a pid namespace ends with its init, which waits for all in it; an orphan outside might find nobody who reaps it
    ...(kind === "outside" ? ENDING_OUTSIDE : []),
    ...end,
  ];
}

/** What is asked is what init's own root lies on: nothing that is mounted inside changes that. */
function tellDiskFull(): Op[] {
  const info = buffer("statfs", STRUCTS.statfs.size);
  const free = (field: "f_bfree" | "f_ffree"): Op => ({
    call: "load",
    args: [{ at: info, offset: offsetOf("statfs", field) }, 8],
    out: "free",
  });
  return [
    { call: "statfs", args: [cstring("/"), info], onError: { jump: "disk told" } },
    free("f_bfree"),
    { call: "jumpIf", args: [ref("free"), 0, 0], label: "disk full" },
    free("f_ffree"),
    { call: "jumpIf", args: [ref("free"), 0, 1], label: "disk told" },
    { call: "label", args: [], label: "disk full" },
    {
      call: "write",
      args: [CONTROL_FD, words("disk full frame", DISK_FULL_TAG, 0), REPORT_BYTES],
      onError: "ignore",
    },
    { call: "label", args: [], label: "disk told" },
  ];
}
