/** Sizes, durations and users as people write them. @module */
import { show } from "../../syscalls/index.ts";
import { invalid } from "../options/index.ts";
import type { Duration, Size } from "./options.ts";

const notUnderstood = (what: string, value: unknown, hint: string) =>
  invalid(`${what} ${show(value)}: not understood`, hint);

/** Bytes. */
export function parseSize(what: string, size: Size): number {
  const hint = 'a number of bytes, or a number with a unit: "64k", "512mb", "1g"';
  if (typeof size === "number") {
    if (!Number.isSafeInteger(size) || size < 0) throw notUnderstood(what, size, hint);
    return size;
  }
  const match = typeof size === "string" && /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(size.trim());
  if (!match) throw notUnderstood(what, size, hint);
  const bytes = Math.floor(Number(match[1]) * 1024 ** " kmgt".indexOf((match[2] || " ").toLowerCase()));
  if (!Number.isSafeInteger(bytes)) throw notUnderstood(what, size, hint);
  return bytes;
}

/** What a timer takes; a longer one would fire at once. */
const MAX_DURATION_MS = 2 ** 31 - 1;

/** Milliseconds. */
export function parseDuration(what: string, duration: Duration): number {
  const durationMs = parseAge(what, duration);
  if (durationMs > MAX_DURATION_MS) throw invalid(`${what} ${show(duration)}: too long`, 'at most "596h"');
  return durationMs;
}

/** Milliseconds that nobody waits for: they may be any number. */
export function parseAge(what: string, duration: Duration): number {
  const hint = 'milliseconds, or a number with a unit: "500ms", "2s", "1m", "1h"';
  if (typeof duration === "number") {
    if (!Number.isFinite(duration) || duration <= 0) throw notUnderstood(what, duration, hint);
    return duration;
  }
  const match = typeof duration === "string" && /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(duration.trim());
  if (!match || Number(match[1]) === 0) throw notUnderstood(what, duration, hint);
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] as "ms" | "s" | "m" | "h"];
}
