/**
 * Names of a layer's files. Those that are not UTF-8 are text as well: each byte that is not, as U+DC00 plus the byte, a
 * surrogate that stands alone, which no other name has in it (Python's `surrogateescape`).
 * @module
 */
import { show, TsboxError } from "../../syscalls/index.ts";

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
const ESCAPE = 0xdc00;

export function textOfName(bytes: Uint8Array): string {
  let text = "";
  let start = 0;
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      text += utf8.decode(bytes.subarray(start, at)) + String.fromCharCode(ESCAPE + (bytes[at] as number));
      start = at + 1;
    }
    at += Math.max(1, length);
  }
  return text + utf8.decode(bytes.subarray(start));
}

/** How long the character is that begins there; 0 where none does. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  const second = bytes[at + 1] ?? 0;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let index = 2; index < length; index++) if (((bytes[at + index] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

/** The bytes of a name; without the NUL that a kernel wants behind them. */
export function bytesOfName(text: string): Uint8Array {
  if (text.isWellFormed()) return encoder.encode(text);
  // with `u`, a surrogate that is one half of a pair is none
  const parts = text.split(/([\udc80-\udcff])/u);
  const encoded = parts.map((part, index) =>
    index % 2 === 1 ? Uint8Array.of(part.charCodeAt(0) - ESCAPE) : encoder.encode(part),
  );
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, 0));
  encoded.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}

/** What a call is given: with a NUL behind it, where that is not added. */
export const encodedName = (text: string): string | Uint8Array =>
  text.isWellFormed() ? text : Uint8Array.of(...bytesOfName(text), 0);

/** An empty part, `.` or `..`. */
const UNUSUAL = /(?:^|\/)\.{0,2}(?:\/|$)/;

/**
 * Without slashes at its ends and parts that mean nothing: empty for the layer's own directory. Absolute names begin
 * there as well.
 * @throws TsboxError `image_invalid` where `..` leads above it
 */
export function pathOf(name: string): string {
  const start = name.startsWith("./") ? 2 : 0;
  const plain = name.slice(start, name.endsWith("/") ? -1 : undefined);
  if (plain !== "" && !UNUSUAL.test(plain)) return plain;
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) throw invalid(name, '".." leads out of the layer');
    } else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

export const joined = (parent: string, name: string): string => (parent === "" ? name : `${parent}/${name}`);

export const invalid = (name: string, why: string, hint?: string): TsboxError =>
  new TsboxError(`unpack ${show(name)}: ${why}`, { code: "image_invalid", path: name, ...(hint ? { hint } : {}) });
