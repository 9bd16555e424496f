/** The names of containers, which are names of directories. @module */
import { show, TsboxError } from "../../syscalls/index.ts";

const LONGEST = 1024;

export const isId = (name: string): boolean =>
  /^[\w+.-]+$/.test(name) && name !== "." && name !== ".." && name.length <= LONGEST;

/** @throws TsboxError `invalid_option` */
export function checkId(id: string): void {
  if (isId(id)) return;
  throw new TsboxError(`use the name ${show(id)}: invalid container ID format`, {
    code: "invalid_option",
    hint: 'letters, digits, "_", "+", "-" and "."',
  });
}
