/** A process that waits until something has been done for it from outside. @module */
import { named, ref, words, type Op, type Step } from "../../syscalls/index.ts";
import { byte } from "./clone.ts";
import { REACHED_TAG, REPORT_BYTES } from "./frame.ts";

/** Tells whoever asked for the process, and waits for its answer: without one it has ended. */
export const reachStep = (action: string, name: string): Step => ({ action, ops: [tellOp(), ...waitOps(name)] });

/** Tells that it has come so far, and goes on meanwhile; {@link waitStep} is for later, once. */
export const tellStep = (action: string): Step => ({ action, ops: [tellOp()] });
export const waitStep = (action: string, name: string): Step => ({ action, ops: waitOps(name) });

const tellOp = (): Op => ({
  call: "write",
  args: [ref("control"), words("reached frame", REACHED_TAG, 0), REPORT_BYTES],
});

function waitOps(name: string): Op[] {
  const [answered, go] = [`answered ${name}`, `go on: ${name}`];
  return [
    { call: "read", args: [ref("control"), byte(), 1], out: answered },
    { call: "jumpIf", args: [ref(answered), 1, named("==", 0)], label: go },
    { call: "exit_group", args: [1] },
    { call: "label", args: [], label: go },
  ];
}
