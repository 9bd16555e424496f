/** When a container's log goes on in another file, and how many there are. @module */
import { parseSize } from "../sandbox/index.ts";
import type { LogOptions } from "./options.ts";

const FILES_WITH_SIZE = 5;
/** Of a container whose log is not to be read: what is attached to it needs it. */
const UNREAD_BYTES = 1024 * 1024;

export function rotationOf({ driver, maxSize, maxFiles }: LogOptions = {}): { sizeBytes?: number; files: number } {
  if (driver === "none") return { sizeBytes: UNREAD_BYTES, files: 1 };
  if (maxSize === undefined) return { files: 1 };
  return { sizeBytes: parseSize("use the size of a log file", maxSize), files: maxFiles ?? FILES_WITH_SIZE };
}
