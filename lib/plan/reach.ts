/** A process that waits until something has been done for it from outside. @module */
import { named, ref, words, type Step } from "../../syscalls/index.ts";
import { byte } from "./clone.ts";
import { REACHED_TAG, REPORT_BYTES } from "./frame.ts";

/** Tells whoever asked for the process, and waits for its answer: without one it has ended. */
export function reachStep(action: string, name: string): Step {
  const [answered, go] = [`answered ${name}`, `go on: ${name}`];
  return {
    action,
    ops: [
      { call: "write", args: [ref("control"), words("reached frame", REACHED_TAG, 0), REPORT_BYTES] },
      { call: "read", args: [ref("control"), byte(), 1], out: answered },
      { call: "jumpIf", args: [ref(answered), 1, named("==", 0)], label: go },
      { call: "exit_group", args: [1] },
      { call: "label", args: [], label: go },
    ],
  };
}
