/** What is wrong with a Dockerfile, and where. @module */
import { TsboxError } from "../../syscalls/index.ts";
import type { Place } from "./instruction.ts";

/** Found before it is known which file and line it is in. */
export class Flaw extends SyntaxError {
  override readonly name = "Flaw";
  /** How far into the joined line; undefined: the instruction as a whole. */
  readonly at: number | undefined;
  readonly hint: string | undefined;

  constructor(why: string, { at, hint }: { at?: number; hint?: string | undefined } = {}) {
    super(why);
    this.at = at;
    this.hint = hint;
  }
}

/** `Dockerfile:3:5: unknown instruction "RUNN"` */
export function dockerfileError(
  file: string,
  { line, column }: Pick<Place, "line" | "column">,
  why: string,
  hint?: string,
): TsboxError {
  return new TsboxError(`${file}:${line}:${column}: ${why}`, {
    code: "dockerfile_invalid",
    path: file,
    ...(hint === undefined ? {} : { hint }),
  });
}
