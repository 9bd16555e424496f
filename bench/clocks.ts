/**
 * Clocks inside a plan: a plan is data, so a `clock_gettime` behind each of its steps, or calls, tells what the kernel
 * took for it. The processes of a plan share the owner's memory, and so the times are simply there afterwards.
 * @module
 */
import { IMAGE, mapArena, named, printPlan, trySyscall, type Op, type Plan } from "../syscalls/index.ts";

const CLOCK_MONOTONIC = named("CLOCK_MONOTONIC", 1);
const BYTES = 16;
const MAX_CLOCKS = 4000;
const WALKERS = ["owner", "first", "second"];
const CONTROL: Op["call"][] = ["jump", "store", "load", "jumpIf", "fail", "end", "label", "print"];

/** What lies between two clocks of the same process. */
export interface Interval {
  process: string;
  what: string;
}

export class Clocks {
  readonly #times = mapArena(MAX_CLOCKS * BYTES);
  readonly #intervals: Interval[] = [];

  /** @param each a clock behind each step, or behind each system call */
  wind(plan: Plan, each: "step" | "call"): Plan {
    let process = "owner";
    // an image has other memory
    let mine = true;
    return plan.map((step) => {
      mine &&= step.ops[0]?.label !== IMAGE;
      if (!mine) return step;
      const ops: Op[] = [];
      for (const op of step.ops) {
        ops.push(op);
        if (op.call === "label" && WALKERS.includes(op.label as string)) {
          process = op.label as string;
          ops.push(this.#clock({ process, what: "" }));
        } else if (each === "call" && !CONTROL.includes(op.call)) {
          const [, text = ""] = printPlan([{ action: "", ops: [op] }]).split("\n");
          ops.push(this.#clock({ process, what: text.trim() }));
        }
      }
      const begins = step.ops.some((op) => op.call === "label" && op.label === process) && step.ops.length <= 2;
      if (each === "step" && !begins) ops.push(this.#clock({ process, what: step.action }));
      return { ...step, ops };
    });
  }

  #clock(interval: Interval): Op {
    const index = this.#intervals.push(interval) - 1;
    if (index >= MAX_CLOCKS) throw new Error("clocks: the plan is too long");
    return { call: "clock_gettime", args: [CLOCK_MONOTONIC, this.#times.address + index * BYTES] };
  }

  reset(): void {
    this.#times.bytes.fill(0);
  }

  /** What was walked, in the order of the plan; microseconds since a time. An empty `what` is where a process begins. */
  read(sinceUs: number): (Interval & { atUs: number })[] {
    return this.#intervals.flatMap((interval, index) => {
      const us = timeAt(this.#times.view, index * BYTES);
      return us === 0 ? [] : [{ ...interval, atUs: us - sinceUs }];
    });
  }
}

/** The bytes of a `struct timespec`, in microseconds. */
export const timeAt = (view: DataView, at: number): number =>
  view.getUint32(at, true) * 1e6 + view.getUint32(at + 8, true) / 1000;

const scratch = mapArena(4096);

/** The same clock, read by the owner. */
export function nowUs(): number {
  trySyscall("clock_gettime", CLOCK_MONOTONIC.value as number, scratch.address);
  return timeAt(scratch.view, 0);
}
