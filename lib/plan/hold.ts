/**
 * What stays with a command whose owner has left it alone: it has the owner's ends of the command's terminal, which it
 * reads so that the command is not held up, and of its socket, until that ends.
 * @module
 */
import { buffer, ref, struct, type Data, type Op, type Plan } from "../../syscalls/index.ts";
import { FOUND, jump, jumpIf, label } from "./flow.ts";

const [POLLIN, EAGAIN] = [1, -11];
const BYTES = 4096;

/** Bound are the `terminal` and the `socket`. */
export function holdSteps(): Plan {
  const polled: Data = { data: new Uint8Array(16), text: "[terminal, socket]" };
  polled.data.set([...struct("pollfd", { events: POLLIN }), ...struct("pollfd", { events: POLLIN })]);
  const shown = buffer("what is shown", BYTES);
  const ops: Op[] = [
    { call: "setsid", args: [], onError: "ignore" },
    { call: "store", args: [{ at: polled, offset: 0 }, ref("terminal"), 4] },
    { call: "store", args: [{ at: polled, offset: 8 }, ref("socket"), 4] },
    label("wait"),
    { call: "ppoll", args: [polled, 2, 0, 0, 8], onError: "ignore" },
    { call: "load", args: [polled, 8], out: "found" },
    jumpIf("found", "<", FOUND, "socket"),
    { call: "read", args: [ref("terminal"), shown, BYTES], out: "count", onError: "ignore" },
    jumpIf("count", "==", EAGAIN, "wait"),
    jumpIf("count", "<", 1, "hung up"),
    jump("wait"),
    // nothing more comes from there
    label("hung up"),
    { call: "store", args: [{ at: polled, offset: 0 }, -1, 4] },
    label("socket"),
    { call: "load", args: [{ at: polled, offset: 8 }, 8], out: "found" },
    jumpIf("found", "<", FOUND, "wait"),
    { call: "exit_group", args: [0] },
  ];
  return [{ action: "hold the terminal and the socket of a command until it has ended", ops }];
}
