/** The names of containers, which are names of directories. @module */
import { show, TsboxError } from "../../syscalls/index.ts";

const LONGEST = 1024;

/** None is hidden. */
export const isId = (name: string): boolean => /^[\w+-][\w+.-]*$/.test(name) && name.length <= LONGEST;

/** @throws TsboxError `invalid_option` */
export function checkId(id: string): void {
  if (isId(id)) return;
  const character = /[^\w+.-]/u.exec(id)?.[0];
  const which = character === undefined ? "" : `: invalid character ${show(character)}`;
  throw new TsboxError(`use the name ${show(id)}: invalid container ID format${which}`, {
    code: "invalid_option",
    hint: `letters, digits, "_", "+", "-", and "." unless it is the first; at most ${LONGEST}`,
  });
}
