/**
 * A container that has been created: an image that waits for whoever starts it.
 * @module
 * @see unix(7), signalfd(2)
 */
import { buffer, cstring, named, PROGRAM_ADDRESS, ref, REPORT_FD_AT, struct, words } from "../../syscalls/index.ts";
import type { Data, Op, Plan } from "../../syscalls/index.ts";
import { byte } from "./clone.ts";
import type { KeptInImage } from "./command.ts";
import { flags } from "./constants.ts";
import { FOUND, jump, jumpIf, label } from "./flow.ts";
import { READY_TAG, REPORT_BYTES } from "./frame.ts";
import { waitOps } from "./reach.ts";

const POLLIN = 1;
const SIGINFO_BYTES = 128;
/** What would end no process: SIGCHLD, SIGCONT, SIGURG, SIGWINCH; and those that would stop one. */
const HARMLESS = [17, 18, 23, 28, 19, 20, 21, 22];
const [USUAL, SIGKILL] = [[1, 2, 3, 6, 10, 12, 15], 9];
const endedBy = (signal: number) => 128 + signal;

/**
 * It waits as soon as it is written down who it is, which its creator answers: where that is killed before, nobody could
 * ever start it, or end it.
 *
 * The slot `starter` is who started it: there failures are told from then on.
 * @param slots of what is kept besides `control` and `start`
 */
export function waitToStart(kept: KeptInImage, slots: readonly string[]): Plan {
  const [control, start, ...others] = kept.map(([, to]) => to) as [number, number, ...number[]];
  const polled: Data = {
    data: Uint8Array.from([
      ...struct("pollfd", { fd: start, events: POLLIN }),
      ...struct("pollfd", { events: POLLIN }),
    ]),
    text: "[start, signals]",
  };
  return [
    {
      action: "be looked into by nobody, and tell the creator that everything stands",
      ops: [
        { call: "prctl", args: [named("PR_SET_NAME", 15), cstring("tsbox-created")] },
        { call: "prctl", args: [flags("PR_SET_DUMPABLE"), 0] },
        {
          call: "signalfd4",
          args: [-1, words("all signals", -1), 8, named("SFD_CLOEXEC|SFD_NONBLOCK", 0o2004000)],
          out: "signals",
        },
        { call: "store", args: [{ at: polled, offset: 8 }, ref("signals"), 4] },
        ...slots.map((slot, index) => setSlot(slot, others[index] as number)),
        { call: "write", args: [control, words("ready frame", READY_TAG, 0), REPORT_BYTES] },
        ...waitOps("created", control),
        { call: "close", args: [control] },
      ],
    },
    { action: "wait to be started", ops: startOps(polled, start) },
  ];
}

const setSlot = (slot: string, value: number): Op => ({ call: "load", args: [words(slot, value), 8], out: slot });

function startOps(polled: Data, start: number): Op[] {
  const info = buffer("siginfo", SIGINFO_BYTES);
  return [
    label("wait"),
    { call: "ppoll", args: [polled, 2, 0, 0, 8], onError: "ignore" },
    { call: "load", args: [{ at: polled, offset: 8 }, 8], out: "signalled" },
    jumpIf("signalled", "<", FOUND, "asked"),
    { call: "read", args: [ref("signals"), info, SIGINFO_BYTES], out: "count", onError: { jump: "asked" } },
    // the first process of a pid namespace is ended by no signal but SIGKILL: it has to end by itself
    { call: "load", args: [info, 4], out: "signal" },
    ...HARMLESS.map((signal) => jumpIf("signal", "==", signal, "wait")),
    ...USUAL.map((signal) => jumpIf("signal", "==", signal, `ended by ${signal}`)),
    { call: "exit_group", args: [endedBy(SIGKILL)] },
    ...USUAL.flatMap((signal): Op[] => [label(`ended by ${signal}`), { call: "exit_group", args: [endedBy(signal)] }]),
    label("asked"),
    { call: "load", args: [polled, 8], out: "asked" },
    jumpIf("asked", "<", FOUND, "wait"),
    { call: "accept4", args: [start, 0, 0, flags("O_CLOEXEC")], out: "starter", onError: { jump: "wait" } },
    { call: "read", args: [ref("starter"), byte(), 1], out: "count", onError: "ignore" },
    jumpIf("count", "==", 1, "start"),
    // whoever it was has ended
    { call: "close", args: [ref("starter")] },
    jump("wait"),
    label("start"),
    { call: "close", args: [start] },
    { call: "close", args: [ref("signals")] },
    { call: "store", args: [PROGRAM_ADDRESS + REPORT_FD_AT, ref("starter"), 4] },
  ];
}
