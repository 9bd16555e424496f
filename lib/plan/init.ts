/**
 * The built-in init: the first process of a sandbox, an executor image. It reaps orphans, forwards signals, tells
 * the owner how the command ended, and ends with its owner: everything in its pid namespace dies with it.
 *
 * Descriptor 3 is a stream socket to the owner. From the owner: a byte is a signal for the command, end of file
 * means die. To the owner: one message of {@link EXIT_MESSAGE_BYTES} when the command ends.
 * @module
 */
import { buffer, cstring, named, ref, words, type Op, type Plan } from "../../syscalls/index.ts";
import { compileSeccomp } from "../seccomp/index.ts";
import type { Arch } from "../../syscalls/index.ts";

/** u32 pid, u32 wait status, struct rusage (144 bytes). */
export const EXIT_MESSAGE_BYTES = 152;
export const CONTROL_FD = 3;
const SIGCHLD = 17;

/**
 * @param command pid of the command: 2 in a pid namespace of its own; 0 where the pid namespace is shared, then
 * every child is the command and signals go to the process group
 */
export function initPlan(command: 0 | 2, arch: Arch): Plan {
  const message = buffer("message", EXIT_MESSAGE_BYTES);
  const byte = buffer("byte", 8);
  const info = buffer("siginfo", 128);
  const polled = { ...buffer("[control, signals]", 16) };
  new DataView(polled.data.buffer).setInt32(0, CONTROL_FD, true);
  new DataView(polled.data.buffer).setInt16(4, 1, true);
  new DataView(polled.data.buffer).setInt16(12, 1, true);
  const allSignals = words("all signals", -1n);
  const WNOHANG = 1;
  const loop = (...ops: Op[]) => ops;
  return [
    {
      action: "make init a hard target: nobody may trace it, and it may do nothing but wait, signal and report",
      ops: [
        { call: "prctl", args: [named("PR_SET_NAME", 15), cstring("tsbox-init")] },
        { call: "prctl", args: [named("PR_SET_DUMPABLE", 4), 0] },
        { call: "prctl", args: [named("PR_SET_NO_NEW_PRIVS", 38), 1, 0, 0, 0] },
        { call: "signalfd4", args: [-1, allSignals, 8, named("SFD_CLOEXEC|SFD_NONBLOCK", 0o2004000)], out: "signals" },
        { call: "store", args: [{ at: polled, offset: 8 }, ref("signals"), 4] },
        { call: "seccomp", args: [named("SECCOMP_SET_MODE_FILTER", 1), 0, filterData(INIT_PROFILE, arch)] },
      ],
    },
    {
      action: "wait for the owner, for signals and for children",
      ops: loop(
        { call: "label", args: [], label: "wait" },
        { call: "ppoll", args: [polled, 2, 0, 0, 8], onError: "ignore" },
        { call: "load", args: [polled, 8], out: "control" },
        { call: "load", args: [{ at: polled, offset: 8 }, 8], out: "pending" },
        // revents is the upper half: nothing for control leaves it below 2^48
        { call: "jumpIf", args: [ref("control"), 2 ** 48, 2], label: "signals" },
        { call: "read", args: [CONTROL_FD, byte, 1], out: "count", onError: "ignore" },
        { call: "jumpIf", args: [ref("count"), 1, 2], label: "die" },
        { call: "load", args: [byte, 4], out: "signal" },
        { call: "kill", args: [command, ref("signal")], onError: "ignore" },
        { call: "label", args: [], label: "signals" },
        { call: "read", args: [ref("signals"), info, 128], out: "count", onError: "ignore" },
        { call: "jumpIf", args: [ref("count"), 128, 2], label: "reap" },
        { call: "load", args: [info, 4], out: "signal" },
        { call: "jumpIf", args: [ref("signal"), SIGCHLD, 0], label: "reap" },
        ...(command === 0 ? [] : [{ call: "kill", args: [command, ref("signal")], onError: "ignore" } satisfies Op]),
        { call: "label", args: [], label: "reap" },
        {
          call: "wait4",
          args: [-1, { at: message, offset: 4 }, WNOHANG, { at: message, offset: 8 }],
          out: "pid",
          onError: "ignore",
        },
        { call: "jumpIf", args: [ref("pid"), 1, 2], label: "wait" },
        ...(command === 0 ? [] : [{ call: "jumpIf", args: [ref("pid"), command, 1], label: "reap" } satisfies Op]),
        { call: "store", args: [message, ref("pid"), 4] },
        { call: "write", args: [CONTROL_FD, message, EXIT_MESSAGE_BYTES], onError: "ignore" },
        { call: "exit_group", args: [0] },
        { call: "label", args: [], label: "die" },
        ...(command === 0 ? [{ call: "kill", args: [0, named("SIGKILL", 9)], onError: "ignore" } satisfies Op] : []),
        { call: "exit_group", args: [0] },
      ),
    },
  ];
}

const INIT_PROFILE = {
  defaultAction: "SCMP_ACT_KILL_PROCESS" as const,
  syscalls: [{ names: ["ppoll", "read", "write", "wait4", "kill", "exit_group"], action: "SCMP_ACT_ALLOW" as const }],
};

/** A compiled filter behind a `struct sock_fprog`. */
export function filterData(profile: Parameters<typeof compileSeccomp>[0], arch: Arch) {
  const filter = compileSeccomp(profile, arch);
  const program = { ...buffer(`filter of ${filter.length / 8} instructions`, 16) };
  new DataView(program.data.buffer).setUint16(0, filter.length / 8, true);
  return { ...program, pointers: [{ offset: 8, to: { data: filter, text: "filter" } }] };
}
