/**
 * Values of properties as people write them in annotations: the text format of GVariant, as far as properties of units
 * are like that: texts, numbers, flags, and lists of them.
 * @module
 * @see https://docs.gtk.org/glib/gvariant-text-format.html
 */
import type { Value, Variant } from "../systemd/index.ts";

/** Signature, and the least and most that fits. */
const NUMBERS: Record<string, [signature: string, least: bigint, most: bigint]> = {
  byte: ["y", 0n, 2n ** 8n - 1n],
  int16: ["n", -(2n ** 15n), 2n ** 15n - 1n],
  uint16: ["q", 0n, 2n ** 16n - 1n],
  int32: ["i", -(2n ** 31n), 2n ** 31n - 1n],
  uint32: ["u", 0n, 2n ** 32n - 1n],
  int64: ["x", -(2n ** 63n), 2n ** 63n - 1n],
  uint64: ["t", 0n, 2n ** 64n - 1n],
};

const TOKEN =
  /\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[[\],]|[A-Za-z_]\w*|[-+]?(?:0x[0-9a-fA-F]+|[\d.]+(?:e[-+]?\d+)?))/y;

/** Undefined for what is none. */
export function parseVariant(text: string): Variant | undefined {
  const tokens: string[] = [];
  let at = 0;
  for (const end = text.trimEnd().length; at < end; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const [, token] = TOKEN.exec(text) ?? [];
    if (token === undefined) return undefined;
    tokens.push(token);
  }
  const rest = tokens.toReversed();
  const value = rest.at(-1) === "[" ? list(rest) : one(rest);
  return rest.length === 0 ? value : undefined;
}

/** Takes `[ … ]` from the end of what is left; all of one type, and at least one. */
function list(rest: string[]): Variant | undefined {
  rest.pop();
  const elements: Variant[] = [];
  do {
    const element = one(rest);
    if (!element || element.signature !== (elements[0] ?? element).signature) return undefined;
    elements.push(element);
  } while (take(rest, ","));
  if (!take(rest, "]")) return undefined;
  return { signature: `a${elements[0]?.signature}`, value: elements.map(({ value }) => value) };
}

function take(rest: string[], token: string): boolean {
  if (rest.at(-1) !== token) return false;
  rest.pop();
  return true;
}

function one(rest: string[]): Variant | undefined {
  const token = rest.pop() ?? "";
  if (token === "true" || token === "false") return { signature: "b", value: token === "true" };
  if (/^['"]/.test(token)) return { signature: "s", value: token.slice(1, -1).replace(/\\(.)/g, "$1") };
  if (Object.hasOwn(NUMBERS, token)) return numberOf(rest.pop() ?? "", NUMBERS[token]);
  if (token === "double") return real(rest.pop() ?? "");
  return /[.e]/.test(token) && !token.startsWith("0x") ? real(token) : numberOf(token, NUMBERS["int32"]);
}

function numberOf(text: string, type: (typeof NUMBERS)[string] | undefined): Variant | undefined {
  if (!type || !/^[-+]?(0x[0-9a-fA-F]+|\d+)$/.test(text)) return undefined;
  const [signature, least, most] = type;
  const size = BigInt(text.replace(/^[-+]/, ""));
  const exact = text.startsWith("-") ? -size : size;
  if (exact < least || exact > most) return undefined;
  const value: Value = signature === "x" || signature === "t" ? exact : Number(exact);
  return { signature, value };
}

function real(text: string): Variant | undefined {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/.test(text) ? { signature: "d", value: Number(text) } : undefined;
}
