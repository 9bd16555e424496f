/** Limits of a request that no control group keeps: of what is written to disk, and of single processes. @module */
import { show } from "../../syscalls/index.ts";
import { RLIMITS, type DiskLimit, type RootEntry } from "../plan/index.ts";
import type { Rlimit } from "../spec/index.ts";
import { checkObject, invalid } from "../options/index.ts";
import type { SandboxOptions } from "./options.ts";
import { parseSize } from "./parse.ts";

const PAGE_BYTES = 4096;
const MIN_DISK_BYTES = 64 * 1024;
const MIN_INODES = 1024;

/**
 * Files without content take memory too, so their number has a limit as well: two for each page.
 * @param own what is written to the layer before the command, and does not count
 */
export function diskLimitOf({ limits }: SandboxOptions, own: readonly RootEntry[] = []): DiskLimit | undefined {
  if (limits?.disk === undefined) return undefined;
  const bytes = parseSize("use the disk limit", limits.disk);
  if (bytes < MIN_DISK_BYTES) throw invalid(`use the disk limit ${show(limits.disk)}: too little`, "at least 64k");
  const pages = own.reduce((sum, { file }) => sum + Math.ceil((file?.length ?? 0) / PAGE_BYTES), 0);
  const sizeBytes = (Math.ceil(bytes / PAGE_BYTES) + pages) * PAGE_BYTES;
  return { sizeBytes, inodes: Math.max(MIN_INODES, (bytes / PAGE_BYTES) * 2) + own.length };
}

export function rlimitsOf({ ulimits }: SandboxOptions): Rlimit[] {
  if (ulimits !== undefined) checkObject("ulimits", ulimits, "{ nofile: 1024 }");
  return Object.entries(ulimits ?? {}).map(([name, value]) => {
    const type = `RLIMIT_${name.toUpperCase().replace(/^RLIMIT_/, "")}`;
    if (!RLIMITS.includes(type)) {
      throw invalid(
        `set the limit ${show(name)}: unknown`,
        RLIMITS.map((known) => known.slice(7).toLowerCase()).join(", "),
      );
    }
    const [soft, hard, ...more] = Array.isArray(value) ? value : [value, value];
    if (more.length > 0) throw invalid(`set the limit "${name}" to ${show(value)}: not understood`, "[soft, hard]");
    for (const bound of [soft, hard]) {
      if (bound !== Infinity && !(Number.isSafeInteger(bound) && bound >= 0)) {
        throw invalid(`set the limit "${name}" to ${show(bound)}: not understood`, "a whole number, or Infinity");
      }
    }
    if (soft > hard) throw invalid(`set the limit "${name}" to ${soft}:${hard}: the soft limit is above the hard one`);
    return { type, soft, hard };
  });
}
