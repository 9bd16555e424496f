/** Plans in few words, for tests. @module */
import type { Argument, Op, Plan } from "../syscalls/index.ts";

export const op = (call: Op["call"], args: Argument[] = [], rest: Partial<Op> = {}): Op => ({ call, args, ...rest });
export const label = (name: string): Op => op("label", [], { label: name });
/** A plan of one step. */
export const step = (...ops: Op[]): Plan => [{ action: "test", ops }];
