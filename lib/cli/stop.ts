/**
 * What a request to stop comes to: a service manager sends SIGTERM to tsbox, as `docker stop` asks for a container.
 * @module
 */
import { signalNumber } from "../sandbox/index.ts";
import type { RunFlags } from "./flags.ts";
import { invalid } from "./invalid.ts";

export interface Stop {
  /** What the command gets for a SIGTERM of tsbox's. */
  signal: number;
  /** When it is killed after that. */
  timeoutMs?: number;
}

/** Of flags, or of what an image says instead. */
type StopFlags = { [Name in "stopSignal" | "stopTimeout" | "sigProxy"]?: RunFlags[Name] | undefined };

/** @throws TsboxError `invalid_option` */
export function stopOf({ stopSignal, stopTimeout, sigProxy }: StopFlags): Stop {
  if (sigProxy === false)
    throw invalid("--sig-proxy", "false", "then a SIGTERM ends tsbox, and is not passed on in any way");
  const stop: Stop = { signal: number(stopSignal ?? "SIGTERM") };
  if (stopTimeout === undefined) return stop;
  if (!/^\d{1,6}$/.test(stopTimeout)) throw invalid("--stop-timeout", stopTimeout, "not a number of seconds");
  return { ...stop, timeoutMs: Number(stopTimeout) * 1000 };
}

function number(text: string): number {
  try {
    return signalNumber(/^\d+$/.test(text) ? Number(text) : text);
  } catch {
    throw invalid(
      "--stop-signal",
      text,
      "there is no such signal",
      'a name such as "SIGINT", or a number from 1 to 64',
    );
  }
}
