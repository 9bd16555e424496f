/**
 * Whether a container that has ended is started again, and after how long. Pure.
 * @module
 * @see https://docs.docker.com/engine/containers/start-containers-automatically/
 */
import { checkText } from "../options/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { ContainerRecord } from "./record.ts";

export interface Policy {
  name: "no" | "always" | "unless-stopped" | "on-failure";
  /** Of `on-failure`: so often at most. */
  most: number;
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
/** Who ran so long begins with the first delay again. */
const STEADY_MS = 10_000;

const NAMES = ["no", "always", "unless-stopped", "on-failure"] as const;

/** @param text as `--restart` has it; nothing is `"no"` @throws TsboxError `invalid_option` */
export function policyOf(text: string = "no"): Policy {
  const refuse = (why: string) =>
    new TsboxError(`use the restart policy ${JSON.stringify(text)}: ${why}`, { code: "invalid_option" });
  const colon = checkText("restart policy", text).indexOf(":");
  const word = colon < 0 ? text : text.slice(0, colon);
  const count = colon < 0 ? undefined : text.slice(colon + 1);
  const name = word === "" && count === undefined ? "no" : NAMES.find((known) => known === word);
  if (name === undefined)
    throw refuse(`unknown policy '${word}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (count === undefined) return { name, most: Infinity };
  if (name !== "on-failure") throw refuse("maximum retry count can only be used with 'on-failure'");
  if (/^-\d+$/.test(count)) throw refuse("maximum retry count cannot be negative");
  if (!/^\d{1,9}$/.test(count)) throw refuse("maximum retry count must be an integer");
  return { name, most: Number(count) || Infinity };
}

/** What is known of a container whose processes have ended. */
export type Finished = Pick<
  ContainerRecord,
  "options" | "stopped" | "after" | "restarts" | "restartDelay" | "exitCode" | "startedAt" | "finishedAt"
>;

/** @returns after so many milliseconds; undefined: it is not started again */
export function restartDelay(record: Finished): number | undefined {
  const { stopped, after, restarts, exitCode } = record;
  const { name, most } = policyOf(record.options.restart);
  if (name === "no" || stopped || after === "halt") return undefined;
  if (name === "on-failure" && (exitCode === 0 || restarts >= most)) return undefined;
  return nextDelay(record);
}

/** Doubles from one restart to the next, unless it ran well in between. */
function nextDelay({ restartDelay: last = 0, startedAt = 0, finishedAt = 0 }: Finished): number {
  if (last === 0 || finishedAt - startedAt >= STEADY_MS) return FIRST_DELAY_MS;
  return Math.min(last * 2, LONGEST_DELAY_MS);
}

/** Whether it is to run, after the machine has started: it has run before, and nobody meant it to stay stopped. */
export function startsAtBoot({ options, stopped, startedAt }: Finished): boolean {
  const { name } = policyOf(options.restart);
  return startedAt !== undefined && (name === "always" || (name === "unless-stopped" && !stopped));
}
