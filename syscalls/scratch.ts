/**
 * Memory for the arguments of one system call: a path at the start, all else behind it.
 * @module
 */
import { TsboxError } from "./error.ts";
import { mapArena } from "./kernel.ts";

export const scratch = mapArena(65536);
export const PATH_BYTES = 8192;
export const encoder = new TextEncoder();

/** The address of a path, until the next one. */
export function path(text: string): number {
  const { written } = encoder.encodeInto(text + "\0", scratch.bytes.subarray(0, PATH_BYTES));
  if (scratch.bytes[written - 1] !== 0 || text.includes("\0")) {
    throw new TsboxError(`use the path ${JSON.stringify(text.slice(0, 80))}: it is too long or contains a NUL byte`, {
      code: "invalid_option",
    });
  }
  return scratch.address;
}
