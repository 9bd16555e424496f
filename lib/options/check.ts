/** What callers pass is checked before anything is made: every error names the option and what it may be. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { didYouMean } from "./nearest.ts";

export const invalid = (message: string, hint?: string): TsboxError =>
  new TsboxError(message, { code: "invalid_option", ...(hint === undefined ? {} : { hint }) });

/**
 * An object with properties of its own. A Map, a Promise and the like have none: what they hold would be ignored.
 */
export function checkObject(what: string, value: unknown, hint?: string): void {
  if (Object.prototype.toString.call(value) !== "[object Object]")
    throw invalid(`use the ${what} ${show(value)}: not an object`, hint);
}

/**
 * `value` is an object (or absent) with no other keys: one that is misspelt would be ignored.
 * @param of what has them: `"stop"`
 */
export function checkKeys(what: string, value: unknown, known: readonly string[], of?: string): void {
  if (value === undefined) return;
  const where = of === undefined ? "" : ` of ${of}`;
  checkObject(`${what}${where}`, value, `its keys: ${known.join(", ")}`);
  for (const [key, each] of Object.entries(value as object)) {
    if (!known.includes(key)) {
      const meant = didYouMean(key, known);
      throw invalid(
        `use the ${what} ${show(key)}${where}: unknown`,
        `${meant === undefined ? "" : `${meant} `}known: ${known.join(", ")}`,
      );
    }
    if (each === null) throw invalid(`use the ${what} ${show(key)} null${where}: not understood`, "leave it out");
  }
}

/** What is in an array, its holes as undefined. */
export function checkArray(what: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) throw invalid(`use the ${what} ${show(value)}: not an array`);
  return [...value];
}

/** A string without NUL bytes. */
export function checkText(what: string, value: unknown): string {
  if (typeof value !== "string") throw invalid(`use the ${what} ${show(value)}: not a string`);
  if (value.includes("\0")) throw invalid(`use the ${what} ${show(value)}: it contains a NUL byte`);
  return value;
}

/** A path of the host. */
export function checkHostPath(what: string, value: unknown): string {
  const path = checkText(what, value);
  if (path === "") throw invalid(`use the ${what} "": empty`);
  if (path.length > 4095) throw invalid(`use the ${what} ${show(path)}: longer than 4095 bytes`);
  return path;
}

/** A path that begins at the root of the sandbox. */
export function checkPath(what: string, value: unknown): string {
  const path = checkText(what, value);
  if (!path.startsWith("/")) throw invalid(`use the ${what} ${show(path)}: not an absolute path`);
  if (path.length > 4095) throw invalid(`use the ${what} ${show(path)}: longer than 4095 bytes`);
  if (path.split("/").some((part) => part === ".."))
    throw invalid(`use the ${what} ${show(path)}: ".." in it`, "write the path out");
  return path;
}

/** @throws TsboxError where it is none; else its reason, where it has fired */
export function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  if (!(signal instanceof AbortSignal)) throw invalid(`use the signal ${show(signal)}: not an AbortSignal`);
  signal.throwIfAborted();
}

/** One of a few words; undefined stands for the first. */
export function checkChoice<T>(what: string, value: unknown, ...choices: T[]): T {
  if (value === undefined) return choices[0] as T;
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw invalid(`use the ${what} ${show(value)}: not understood`, choices.map((choice) => show(choice)).join(" or "));
}

/** @returns the value, which is a whole number of that range */
export function checkInteger(what: string, value: unknown, least: number, most: number): number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
  throw invalid(`use the ${what} ${show(value)}: not understood`, `a whole number from ${least} to ${most}`);
}
