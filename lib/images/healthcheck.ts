/** `HEALTHCHECK` of a Dockerfile. @module @see https://docs.docker.com/reference/dockerfile/#healthcheck */
import type { Healthcheck } from "../image/index.ts";

const TIMES = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
} as const;
/** Nanoseconds. */
const UNITS: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };
const LEAST_NS = 1e6;

/**
 * @param words `NONE`, or flags and `CMD` with words in JSON or a line for the shell
 * @throws SyntaxError
 */
export function healthcheckOf(words: string, jsonWords: (words: string) => string[] | undefined): Healthcheck {
  const check: Healthcheck = {};
  let rest = words;
  for (let flag; (flag = /^--([a-z-]+)(?:=(\S*))?\s*/.exec(rest)); rest = rest.slice(flag[0].length))
    setFlag(check, flag[1] as string, flag[2] ?? "");
  const [, kind = "", command = ""] = /^(\S+)\s*(.*)$/s.exec(rest) ?? [];
  if (kind.toUpperCase() === "NONE") {
    if (command !== "" || rest !== words) throw new SyntaxError("HEALTHCHECK NONE takes no arguments");
    return { Test: ["NONE"] };
  }
  if (kind.toUpperCase() !== "CMD") throw new SyntaxError("CMD or NONE is needed");
  if (command === "") throw new SyntaxError("no command");
  const exact = jsonWords(command);
  if (exact?.length === 0) throw new SyntaxError("no command");
  return { Test: exact ? ["CMD", ...exact] : ["CMD-SHELL", command], ...check };
}

function setFlag(check: Healthcheck, name: string, value: string): void {
  if (name === "retries") {
    if (!/^\d{1,9}$/.test(value)) throw new SyntaxError(`--retries=${value} is not a number`);
    check.Retries = Number(value);
  } else if (Object.hasOwn(TIMES, name)) check[TIMES[name as keyof typeof TIMES]] = nanoseconds(name, value);
  else throw new SyntaxError(`there is no flag --${name}`);
}

/** As Go writes durations: `1m30s`. */
function nanoseconds(name: string, text: string): number {
  const parts = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text) ? text.match(/[\d.]+[a-zµ]+/g) : undefined;
  if (!parts && text !== "0") throw new SyntaxError(`--${name}=${text} is not a duration`);
  const ns = (parts ?? []).reduce((sum, part) => {
    const [, number, unit = ""] = /^([\d.]+)(.*)$/.exec(part) ?? [];
    return sum + Number(number) * (UNITS[unit] ?? 0);
  }, 0);
  if (ns > 0 && ns < LEAST_NS) throw new SyntaxError(`--${name}=${text} is less than 1ms`);
  return Math.round(ns);
}
