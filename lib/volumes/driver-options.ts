/**
 * Options of the driver `local`, as Docker's: a file system that is mounted while the volume is used (`type`, `device`,
 * and `o`, its options), or how large it may become (`size`).
 * @module
 * @see https://docs.docker.com/reference/cli/docker/volume/create/#driver-specific-options
 */
import type { TsboxError } from "../../syscalls/index.ts";

const KNOWN = ["type", "o", "device", "size"];
/** Of some options, what has to be there as well. */
const REQUIRED: Record<string, string[]> = { device: ["type"], type: ["device"], o: ["device", "type"] };

/** In Docker's words. */
export function checkDriver(options: Record<string, string>, fail: (why: string) => TsboxError): void {
  const unknown = Object.keys(options).find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) throw fail(`invalid option: "${unknown}"`);
  for (const [name, others] of Object.entries(REQUIRED)) {
    if (options[name] === undefined) continue;
    const missing = others.find((other) => options[other] === undefined);
    if (missing !== undefined) throw fail(`missing required option: "${missing}"`);
  }
  if (options["size"] !== undefined && sizeBytes(options["size"]) === undefined)
    throw fail(`invalid size: "${options["size"]}"`);
  if (options["size"] !== undefined && options["type"] !== undefined)
    throw fail('"size" is of a volume without a type: a tmpfs has it among its options, o=size=64m');
}

const UNITS: Record<string, number> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** `"64m"`, `"1GiB"`, `"1000"`; undefined where that is none. */
export function sizeBytes(text: string): number | undefined {
  const [, digits, unit = "b"] = /^(\d+(?:\.\d+)?) ?([bkmgt])?(?:i?b)?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * (UNITS[unit.toLowerCase()] ?? 1));
  return digits !== undefined && bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}
