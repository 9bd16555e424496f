/** `--since` and `--until`, as Docker takes them. @module @see https://docs.docker.com/reference/cli/docker/container/logs/#since */
import { invalid } from "../invalid.ts";

const SECOND_NS = 1_000_000_000n;
const UNIT_NS: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9, d: 86_400e9 };
const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)/g;
const DATE = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d\d:\d\d)?$/;

/**
 * `"10m"` ago, a date with a time and a zone or without, seconds since 1970.
 * @returns nanoseconds since 1970
 * @throws TsboxError `invalid_option`
 */
export function moment(flag: string, text: string, now = Date.now()): bigint {
  const parts = [...text.matchAll(PART)];
  if (parts.length > 0 && parts.map(([all]) => all).join("") === text) {
    const ago = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_NS[unit as string] as number), 0);
    return BigInt(now) * 1_000_000n - BigInt(Math.round(ago));
  }
  const [, seconds, fraction = ""] = /^(\d+)(?:\.(\d{1,9}))?$/.exec(text) ?? [];
  if (seconds !== undefined) return BigInt(seconds) * SECOND_NS + nanoseconds(fraction);
  const [, day, hours = "00", minutes = "00", second = "00", part = "", zone = ""] = DATE.exec(text) ?? [];
  const ms = day === undefined ? NaN : new Date(`${day}T${hours}:${minutes}:${second}${zone}`).getTime();
  if (!Number.isNaN(ms)) return BigInt(ms) * 1_000_000n + nanoseconds(part);
  throw invalid(flag, text, "not understood", '"10m" ago, "2026-01-31T12:00:00Z", or seconds since 1970');
}

const nanoseconds = (fraction: string): bigint => BigInt(fraction.padEnd(9, "0"));
