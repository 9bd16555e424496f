/** A process that waits until something has been done for it from outside. @module */
import { named, ref, words, type Argument, type Op, type Step } from "../../syscalls/index.ts";
import { byte } from "./clone.ts";
import { REACHED_TAG, READY_TAG, REPORT_BYTES } from "./frame.ts";
import { CONTROL_FD } from "./init.ts";
import { LIFELINE } from "./supervised.ts";

/** Tells whoever asked for the process, and waits for its answer: without one it has ended. */
export const reachStep = (action: string, name: string): Step => ({ action, ops: [tellOp(), ...waitOps(name)] });

/** Tells that its network can be made, and goes on meanwhile. */
export const tellOfNetwork = (): Step => ({ action: "tell that its network can be made", ops: [tellOp()] });
/** In an image of its own, where the descriptors of a process are known by their numbers. */
export const LIFELINE_FD = 5;

/** Later, once; and tells the supervisor, which knows of nobody else whether the command has begun. */
export const untilNetworked = (isImage = false): Step => ({
  action: "wait until the network is ready",
  ops: [...waitOps("network", isImage ? CONTROL_FD : ref("control")), readyOp(isImage ? LIFELINE_FD : ref(LIFELINE))],
});

export const readyOp = (to: Argument): Op => ({
  call: "write",
  args: [to, words("ready frame", READY_TAG, 0), REPORT_BYTES],
});

const tellOp = (): Op => ({
  call: "write",
  args: [ref("control"), words("reached frame", REACHED_TAG, 0), REPORT_BYTES],
});

/** Waits for a byte: without one, whoever would send it has ended, and so does the process. */
export function waitOps(name: string, control: Argument = ref("control")): Op[] {
  const [answered, go] = [`answered ${name}`, `go on: ${name}`];
  return [
    { call: "read", args: [control, byte(), 1], out: answered },
    { call: "jumpIf", args: [ref(answered), 1, named("==", 0)], label: go },
    { call: "exit_group", args: [1] },
    { call: "label", args: [], label: go },
  ];
}
