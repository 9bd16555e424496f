/** Numbers, strings and characters as Go writes them. @module @see https://go.dev/ref/spec#Lexical_elements */
import type { TokenKind } from "./lexer.ts";

const INT64 = { least: -(2n ** 63n), most: 2n ** 63n - 1n };
const ESCAPES: Record<string, string> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
  "'": "'",
};

/** Its value; an error where it has none. */
export function constantOf(kind: TokenKind, text: string): boolean | bigint | number | string | Error {
  if (kind === "bool") return text === "true";
  if (kind === "number") {
    const number = numberOf(text);
    if (typeof number !== "bigint" || (number >= INT64.least && number <= INT64.most))
      return number ?? new Error(`illegal number syntax: ${JSON.stringify(text)}`);
    return new Error(`integer overflow: ${JSON.stringify(text)}`);
  }
  if (text.startsWith("`")) return text.slice(1, -1).replaceAll("\r", "");
  const plain = unquoted(text.slice(1, -1), kind === "string" ? '"' : "'");
  if (kind === "string") return plain ?? new Error("invalid syntax");
  const characters = plain === undefined ? [] : [...plain];
  const [character] = characters;
  if (character === undefined) return new Error("invalid syntax");
  if (characters.length > 1) return new Error(`malformed character constant: ${text}`);
  return BigInt(character.codePointAt(0) ?? 0);
}

function numberOf(text: string): bigint | number | undefined {
  // one between two digits, or behind the prefix
  if (/(?:^|[^0-9a-fxo])_|_(?:$|[^0-9a-f])/i.test(text)) return undefined;
  const sign = text.startsWith("-") ? -1 : 1;
  const digits = text.replace(/^[+-]/, "").replaceAll("_", "").toLowerCase();
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  if (/^(?:0x[0-9a-f]+|0o[0-7]+|0b[01]+|0|[1-9][0-9]*)$/.test(octal)) return BigInt(octal) * BigInt(sign);
  const [, whole = "", fraction = "", power] = /^0x([0-9a-f]*)\.?([0-9a-f]*)p([+-]?[0-9]+)$/.exec(digits) ?? [];
  if (power !== undefined && whole + fraction !== "")
    return finite(sign * Number(`0x${whole}${fraction}`) * 2 ** (Number(power) - 4 * fraction.length));
  return /^(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$/.test(digits) ? finite(sign * Number(digits)) : undefined;
}

const finite = (value: number) => (Number.isFinite(value) ? value : undefined);

/** The inside of quotes, its escapes resolved; undefined where one is wrong. Bytes above 0x7f are no text by themselves. */
function unquoted(inside: string, quote: string): string | undefined {
  let isValid = true;
  const plain = inside.replaceAll(
    /\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([^]))/g,
    (_, hex?: string, octal?: string, short?: string, long?: string, letter?: string) => {
      const hexadecimal = hex ?? short ?? long;
      const code = hexadecimal !== undefined ? parseInt(hexadecimal, 16) : parseInt(octal ?? "", 8);
      if (letter === undefined) {
        isValid &&= code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000) && !(octal !== undefined && code > 255);
        return isValid ? String.fromCodePoint(code) : "";
      }
      const otherQuote = letter === (quote === '"' ? "'" : '"');
      isValid &&= Object.hasOwn(ESCAPES, letter) && !otherQuote;
      return ESCAPES[letter] ?? "";
    },
  );
  return isValid ? plain : undefined;
}
