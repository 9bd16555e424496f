/** The names of containers, which are names of directories. @module */
import { show, TsboxError } from "../../syscalls/index.ts";

/** More is no name of a file on any file system; and engines' own are 64 long. */
const LONGEST = 1024;

/** @throws TsboxError `invalid_option` */
export function checkId(id: string): void {
  if (/^[\w+.-]+$/.test(id) && id !== "." && id !== ".." && id.length <= LONGEST) return;
  throw new TsboxError(`use the name ${show(id)}: invalid container ID format`, {
    code: "invalid_option",
    hint: 'letters, digits, "_", "+", "-" and "."',
  });
}
