/**
 * Types of D-Bus, as their signatures say them.
 * @module
 * @see https://dbus.freedesktop.org/doc/dbus-specification.html#type-system
 */
import { TsboxError } from "../../syscalls/index.ts";

/** `ay` as bytes; other arrays, structs and dict entries as arrays; 64-bit numbers as bigint where they are read. */
export type Value = number | bigint | boolean | string | Uint8Array | Variant | readonly Value[];

/** A value that says its type. */
export interface Variant {
  signature: string;
  value: Value;
}

export type Type = { kind: Basic } | { kind: "v" } | { kind: "a"; of: Type } | { kind: "(" | "{"; fields: Type[] };

const BASIC = ["y", "b", "n", "q", "i", "u", "x", "t", "d", "s", "o", "g", "h"] as const;
export type Basic = (typeof BASIC)[number];

/** As the specification has them. */
const [MAX_LENGTH, MAX_DEPTH] = [255, 32];

export class Malformed extends TsboxError {
  constructor(why: string) {
    super(`read a message of D-Bus: ${why}`, { code: "system" });
  }
}

/** The types that a signature lists. @throws Malformed */
export function typesOf(signature: string): Type[] {
  if (signature.length > MAX_LENGTH) throw new Malformed("its signature is too long");
  const types: Type[] = [];
  for (let at = 0; at < signature.length;) {
    const [type, next] = typeAt(signature, at, 0);
    types.push(type);
    at = next;
  }
  return types;
}

/** @returns the type, and where the next one begins */
function typeAt(signature: string, at: number, depth: number): [Type, number] {
  if (depth > MAX_DEPTH) throw new Malformed("its types are nested too deeply");
  const letter = signature[at] ?? "";
  if (isBasic(letter)) return [{ kind: letter }, at + 1];
  if (letter === "v") return [{ kind: "v" }, at + 1];
  if (letter === "a") {
    const [of, next] = typeAt(signature, at + 1, depth + 1);
    return [{ kind: "a", of }, next];
  }
  if (letter !== "(" && letter !== "{") throw new Malformed(`its signature has ${JSON.stringify(letter)}`);
  const end = letter === "(" ? ")" : "}";
  const fields: Type[] = [];
  let next = at + 1;
  while (signature[next] !== end) {
    let field;
    [field, next] = typeAt(signature, next, depth + 1);
    fields.push(field);
  }
  if (fields.length === 0 || (letter === "{" && fields.length !== 2))
    throw new Malformed("its signature is incomplete");
  return [{ kind: letter, fields }, next + 1];
}

const isBasic = (letter: string): letter is Basic => (BASIC as readonly string[]).includes(letter);

/** Bytes that a value begins at a multiple of. */
export function alignmentOf({ kind }: Type): number {
  if (kind === "y" || kind === "g" || kind === "v") return 1;
  if (kind === "n" || kind === "q") return 2;
  return kind === "x" || kind === "t" || kind === "d" || kind === "(" || kind === "{" ? 8 : 4;
}
