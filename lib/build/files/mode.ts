/** `--chmod`: octal digits, or symbols as chmod(1) has them. @module @see chmod(1) */
import { show, TsboxError } from "../../../syscalls/index.ts";

export interface ModeChange {
  /** The mode of a new directory on the way, where it says one. */
  directory?: number;
  of(mode: number, isDirectory: boolean): number;
}

const CLAUSE = /^([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)$/;
const ACTION = /([-+=])([ugo]|[rwxXst]*)/g;
/** All bits of each, and how far its own are to the left. */
const WHO: Record<string, { bits: number; shift: number }> = {
  u: { bits: 0o4700, shift: 6 },
  g: { bits: 0o2070, shift: 3 },
  o: { bits: 0o1007, shift: 0 },
};

/** @throws TsboxError `invalid_option` */
export function modeChange(text: string): ModeChange {
  if (/^[0-7]{1,5}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    const mode = Number.parseInt(text, 8);
    return { directory: mode, of: () => mode };
  }
  const clauses = text.split(",").map((clause) => CLAUSE.exec(clause));
  if (text === "" || clauses.some((clause) => !clause))
    throw new TsboxError(`use the mode ${show(text)}: not understood`, {
      code: "invalid_option",
      hint: 'octal, "755", up to 7777; or symbols, "u=rwX,go=rX"',
    });
  return {
    of(mode, isDirectory) {
      let now = mode;
      for (const clause of clauses)
        for (const [, sign = "", what = ""] of (clause?.[2] ?? "").matchAll(ACTION))
          now = applied(now, clause?.[1] || "a", sign, what, isDirectory);
      return now;
    },
  };
}

function applied(mode: number, whom: string, sign: string, what: string, isDirectory: boolean): number {
  let now = mode;
  const all = whom.includes("a") ? ["u", "g", "o"] : [...new Set(whom)];
  for (const who of all) {
    const { bits, shift } = WHO[who] as { bits: number; shift: number };
    const given = bitsOf(what, mode, isDirectory) << shift;
    const special = (what.includes("s") ? 0o6000 : 0) | (what.includes("t") ? 0o1000 : 0);
    const changed = (given | special) & bits;
    if (sign === "+") now |= changed;
    else if (sign === "-") now &= ~changed;
    else now = (now & ~(isDirectory ? bits & 0o1777 : bits)) | changed;
  }
  return now;
}

/** Of three. */
function bitsOf(what: string, mode: number, isDirectory: boolean): number {
  if (what === "u" || what === "g" || what === "o") return (mode >> (WHO[what] as { shift: number }).shift) & 7;
  let bits = 0;
  if (what.includes("r")) bits |= 4;
  if (what.includes("w")) bits |= 2;
  if (what.includes("x") || (what.includes("X") && (isDirectory || (mode & 0o111) !== 0))) bits |= 1;
  return bits;
}
