/** Signals by name and number, the same on x86-64 and aarch64. @see signal(7) @module */
import { show, TsboxError } from "./error.ts";

/** From 1 on. */
const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
    .split(" ")
    .map((name) => `SIG${name}`);
const NUMBERS = new Map(NAMES.map((name, index) => [name, index + 1]));
NUMBERS.set("SIGIOT", 6).set("SIGCLD", 17).set("SIGPOLL", 29);
const LAST_SIGNAL = 64;
/** `SIGRTMIN` of the C libraries, which keep the two before it. */
const FIRST_REAL_TIME = 34;

/** `"SIGKILL"` for 9. */
export function signalName(signal: number): string {
  return NAMES[signal - 1] ?? `SIG${signal}`;
}

/** 9 for `9`, `"SIGKILL"` and `"KILL"`; 37 for `"SIGRTMIN+3"`. @throws TsboxError `invalid_option` */
export function signalNumber(signal: number | string): number {
  if (typeof signal === "number") {
    if (Number.isInteger(signal) && signal >= 1 && signal <= LAST_SIGNAL) return signal;
  } else if (typeof signal === "string") {
    const name = signal.toUpperCase();
    const number = NUMBERS.get(name) ?? NUMBERS.get(`SIG${name}`) ?? realTime(name);
    if (number >= 1 && number <= LAST_SIGNAL) return number;
  }
  throw new TsboxError(`send the signal ${show(signal)}: there is none`, {
    code: "invalid_option",
    hint: 'a name such as "SIGTERM", or a number from 1 to 64',
  });
}

function realTime(name: string): number {
  const [, base, distance = "0"] = /^(?:SIG)?(?:(RTMIN|RTMAX)([+-]\d{1,2})?)$/.exec(name) ?? [];
  if (base === undefined) return Number(/^SIG(\d+)$/.exec(name)?.[1]);
  const number = (base === "RTMIN" ? FIRST_REAL_TIME : LAST_SIGNAL) + Number(distance);
  return number < FIRST_REAL_TIME ? NaN : number;
}
