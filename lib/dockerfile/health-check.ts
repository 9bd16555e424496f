/** `HEALTHCHECK`. @module @see https://docs.docker.com/reference/dockerfile/#healthcheck */
import { show } from "../../syscalls/index.ts";
import type { FlagKind, Flags } from "./flags.ts";
import { Flaw } from "./flaw.ts";
import type { Command, HealthCheck } from "./instruction.ts";
import { unknownWord } from "./lines.ts";
import { firstWord, type Text } from "./words.ts";

export const HEALTH_FLAGS: Record<string, FlagKind> = {
  interval: "value",
  timeout: "value",
  "start-period": "value",
  "start-interval": "value",
  retries: "value",
};

const TIMES = {
  interval: "intervalMs",
  timeout: "timeoutMs",
  "start-period": "startPeriodMs",
  "start-interval": "startIntervalMs",
} as const;

const UNITS_MS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 60e3, h: 3600e3 };

/** @throws Flaw */
export function readHealthCheck(flags: Flags, text: Text, readCommand: (text: Text) => Command): HealthCheck {
  const [kind, rest] = firstWord(text);
  const name = kind.text.toUpperCase();
  if (name === "NONE") {
    const given = Object.keys(HEALTH_FLAGS).find((flag) => flags.find(flag) !== undefined);
    if (rest.text !== "" || given !== undefined)
      throw new Flaw("HEALTHCHECK NONE takes no arguments", { at: flags.find(given ?? "")?.at ?? rest.at });
    return {};
  }
  if (name !== "CMD") throw unknownWord("kind of health check", kind.text, ["CMD", "NONE"], kind.at);
  const test = readCommand(rest);
  if (test.form === "exec" && test.args.length === 0)
    throw new Flaw("HEALTHCHECK CMD needs a command", { at: rest.at });
  const check: HealthCheck = { test };
  for (const [flag, key] of Object.entries(TIMES)) {
    const given = flags.find(flag);
    if (given && given.text !== "") check[key] = millisecondsOf(flag, given);
  }
  const retries = flags.find("retries");
  if (retries && retries.text !== "") {
    if (!/^\+?\d{1,9}$/.test(retries.text))
      throw new Flaw(`--retries=${retries.text} is not a number from 0 on`, { at: retries.at });
    check.retries = Number(retries.text);
  }
  return check;
}

/** As Go writes durations: `1m30s`. */
function millisecondsOf(flag: string, { text, at }: Text): number {
  const isDuration = /^\+?(?:\d{1,12}(?:\.\d{0,12})?(?:ns|us|µs|ms|s|m|h)){1,12}$/.test(text) || /^[-+]?0$/.test(text);
  if (!isDuration) throw new Flaw(`--${flag}=${show(text)} is not a duration`, { at, hint: "30s, 1m30s" });
  const parts = text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g);
  const ms = parts.reduce((sum, [, number, unit = ""]) => sum + Number(number) * (UNITS_MS[unit] ?? 0), 0);
  if (ms > 0 && ms < 1) throw new Flaw(`--${flag}=${text} is less than 1ms`, { at });
  return ms;
}
