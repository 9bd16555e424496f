/** Signals by name and number. @see signal(7) @module */
import { constants } from "node:os";
import { show, TsboxError } from "../../syscalls/index.ts";

const NUMBERS = new Map<string, number>(Object.entries(constants.signals));
const NAMES = new Map([...NUMBERS].map(([name, number]) => [number, name]));
/** Two names for one number: the one that signal(7) lists first. */
for (const name of ["SIGABRT", "SIGCHLD", "SIGIO"]) NAMES.set(NUMBERS.get(name) ?? 0, name);
const LAST_SIGNAL = 64;

/** `"SIGKILL"` for 9. */
export function signalName(signal: number): string {
  return NAMES.get(signal) ?? `SIG${signal}`;
}

/** 9 for `9`, `"SIGKILL"` and `"KILL"`. @throws TsboxError `invalid_option` */
export function signalNumber(signal: number | string): number {
  if (typeof signal === "number") {
    if (Number.isInteger(signal) && signal >= 1 && signal <= LAST_SIGNAL) return signal;
  } else if (typeof signal === "string") {
    const name = signal.toUpperCase();
    const number = NUMBERS.get(name) ?? NUMBERS.get(`SIG${name}`) ?? Number(/^SIG(\d+)$/.exec(name)?.[1]);
    if (number >= 1 && number <= LAST_SIGNAL) return number;
  }
  throw new TsboxError(`send the signal ${show(signal)}: there is none`, {
    code: "invalid_option",
    hint: 'a name such as "SIGTERM", or a number from 1 to 64',
  });
}
