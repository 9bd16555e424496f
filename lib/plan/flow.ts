/** Places in a program, and ways to them. @module */
import { named, ref, words, type Op } from "../../syscalls/index.ts";

export const label = (name: string): Op => ({ call: "label", args: [], label: name });
export const jump = (to: string): Op => ({ call: "jump", args: [], label: to });

/** Where what a slot holds is like a number. */
export const jumpIf = (slot: string, how: "==" | "<", value: number, to: string): Op => ({
  call: "jumpIf",
  args: [ref(slot), value, named(how, how === "<" ? 2 : 0)],
  label: to,
});

export const set = (slot: string, value: number): Op => ({
  call: "load",
  args: [words(`${value}`, value), 8],
  out: slot,
});

/** What poll(2) found is the upper half of its record: with nothing, the word is below; with POLLHUP, at least the other. */
export const [FOUND, HUNG_UP] = [2 ** 48, 2 ** 52];
