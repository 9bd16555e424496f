/**
 * Names: labels behind each other, in messages perhaps the rest of another name. As texts they are in small letters, and
 * without the dot at their end; a dot or backslash within a label has a backslash before it, and what cannot be printed is
 * three digits.
 *
 * ```
 * length (1 … 63) label, …, 0        or, in place of the rest: 11 and 14 bits, where that is in the message
 * ```
 * @module
 * @see RFC 1035 §3.1, §4.1.4 and §5.1
 */

export const NAME_BYTES = 255;
const LABEL_BYTES = 63;
const POINTER = 0xc0;

export interface ReadName {
  name: string;
  /** Of the first byte behind it. */
  end: number;
}

/**
 * Undefined for what is none. A pointer leads to what is before all that was read of the name, so that no message keeps
 * anybody busy.
 * @param pointers whether there may be some
 */
export function readName(bytes: Uint8Array, begin: number, limit: number, pointers = true): ReadName | undefined {
  let name = "";
  let [at, first, end, length] = [begin, begin, -1, 1];
  for (;;) {
    if (at >= limit) return undefined;
    const size = bytes[at] as number;
    if (size === 0) return { name, end: end < 0 ? at + 1 : end };
    if (size >= POINTER) {
      if (!pointers || at + 1 >= limit) return undefined;
      const target = ((size & ~POINTER) << 8) | (bytes[at + 1] as number);
      if (end < 0) end = at + 2;
      if (target >= first) return undefined;
      at = first = target;
      continue;
    }
    length += size + 1;
    // 01 and 10 in the first bits never meant anything
    if (size > LABEL_BYTES || length > NAME_BYTES || at + 1 + size > limit) return undefined;
    if (name !== "") name += ".";
    for (let stop = ++at + size; at < stop; at++) name += CHARACTERS[bytes[at] as number];
  }
}

/** What each byte of a label is in a text. */
const CHARACTERS = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  if (character === "." || character === "\\") return `\\${character}`;
  return byte > 0x20 && byte < 0x7f ? character.toLowerCase() : `\\${String(byte).padStart(3, "0")}`;
});

/** Undefined for a text that is no name. */
export function encodeName(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(NAME_BYTES);
  let [at, label] = [1, 0];
  const absolute = text.replace(/\.$/, "");
  if (absolute === "") return new Uint8Array(1);
  for (const [whole, escaped] of absolute.matchAll(/\\(\d{3}|[^])|[^]/g)) {
    if (whole === ".") {
      if (at === label + 1) return undefined;
      bytes[label] = at - label - 1;
      label = at++;
    } else {
      const code = escaped?.length === 3 ? Number(escaped) : (escaped ?? whole).charCodeAt(0);
      if (code > (escaped?.length === 3 ? 0xff : 0x7e) || at - label > LABEL_BYTES || at >= NAME_BYTES - 1)
        return undefined;
      bytes[at++] = code;
    }
  }
  if (at === label + 1) return undefined;
  bytes[label] = at - label - 1;
  return bytes.subarray(0, at + 1);
}

/** `"2.0.18.172.in-addr.arpa"`: what is asked for where the name of an address is wanted. @see RFC 1035 §3.5, RFC 3596 §2.5 */
export function reverseName(address: Uint8Array): string {
  if (address.length === 4) return `${address.toReversed().join(".")}.in-addr.arpa`;
  const digits = Array.from(address.toReversed(), (byte) => `${(byte & 15).toString(16)}.${(byte >> 4).toString(16)}`);
  return `${digits.join(".")}.ip6.arpa`;
}

/** The other way round; undefined for other names, and for parts of addresses. */
export function addressOfReverse(name: string): Uint8Array | undefined {
  const [, v4] = /^((?:(?:0|[1-9]\d{0,2})\.){4})in-addr\.arpa$/.exec(name) ?? [];
  if (v4 !== undefined) {
    const numbers = v4.split(".", 4).map(Number).toReversed();
    return numbers.every((number) => number < 256) ? Uint8Array.from(numbers) : undefined;
  }
  const [, v6] = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name) ?? [];
  return v6 === undefined ? undefined : Uint8Array.fromHex(v6.replaceAll(".", "").split("").toReversed().join(""));
}
