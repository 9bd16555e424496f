/** Signals, as flags name them. @module */
import { signalNumber } from "../../sandbox/index.ts";
import { invalid } from "../invalid.ts";

/** `"TERM"`, `"sigterm"`, `"15"`. @throws TsboxError `invalid_option` */
export function signalOf(flag: string, text: string): number {
  try {
    return signalNumber(/^\d+$/.test(text) ? Number(text) : text.toUpperCase());
  } catch {
    throw invalid(flag, text, `invalid signal: ${text}`, 'a name such as "SIGINT", or a number from 1 to 64');
  }
}
