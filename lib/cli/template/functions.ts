/** The functions of a template: Go's own, and Docker's. @module @see https://docs.docker.com/engine/cli/formatting/ */
import { formatted, printed, textOf } from "./format.ts";
import { jsonOf } from "./json.ts";
import { isList, isMap, isStruct, isTrue, memberOf, typeOf, type Value } from "./value.ts";

/** What an argument has to be. */
export type Kind = "any" | "string" | "int" | "strings";

interface TemplateFunction {
  takes: Kind[];
  /** Of any number of further arguments. */
  more?: Kind;
  /** Not of Go itself. */
  isDockers?: true;
  /** Throws an `Error` with the reason. */
  call(...values: Value[]): Value;
}

/** A string that a template makes is not longer, in UTF-16 units. */
export const MAX_STRING = 8 * 1024 * 1024;
const encoder = new TextEncoder();
/** How much `pad` puts before and behind. */
const MAX_PAD = 1_000_000;

const of =
  <T extends Value[]>(call: (...values: T) => Value) =>
  (...values: Value[]) =>
    call(...(values as T));

const string = (call: (text: string) => Value): TemplateFunction => ({ takes: ["string"], call: of(call) });

const DOCKERS = Object.entries<Omit<TemplateFunction, "isDockers">>({
  json: { takes: ["any"], call: (value = null) => jsonOf(value) },
  split: { takes: ["string", "string"], call: of((text: string, by: string) => text.split(by)) },
  join: { takes: ["strings", "string"], call: of(join) },
  lower: string((text) => text.toLowerCase()),
  upper: string((text) => text.toUpperCase()),
  title: string(title),
  pad: { takes: ["string", "int", "int"], call: of(pad) },
  truncate: { takes: ["string", "int"], call: of(truncate) },
}).map(([name, each]): [string, TemplateFunction] => [name, { ...each, isDockers: true }]);

export const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map<string, TemplateFunction>([
  ...DOCKERS,
  ["and", { takes: ["any"], more: "any", call: (...values) => values.at(-1) ?? null }],
  ["or", { takes: ["any"], more: "any", call: (...values) => values.at(-1) ?? null }],
  ["not", { takes: ["any"], call: (value = null) => !isTrue(value) }],
  ["len", { takes: ["any"], call: (value = null) => length(value) }],
  ["index", { takes: ["any"], more: "any", call: (value = null, ...keys) => keys.reduce<Value>(index, value) }],
  ["slice", { takes: ["any"], more: "any", call: (value = null, ...ends) => slice(value, ends) }],
  ["print", { takes: [], more: "any", call: (...values) => printed(values) }],
  ["println", { takes: [], more: "any", call: (...values) => `${values.map(textOf).join(" ")}\n` }],
  [
    "printf",
    { takes: ["string"], more: "any", call: (format, ...values) => formatted(format as string, values, MAX_STRING) },
  ],
  ["html", { takes: [], more: "any", call: (...values) => html(printed(values)) }],
  ["js", { takes: [], more: "any", call: (...values) => js(printed(values)) }],
  ["urlquery", { takes: [], more: "any", call: (...values) => urlQuery(printed(values)) }],
  ["eq", { takes: ["any"], more: "any", call: (first = null, ...others) => equalsAny(first, others) }],
  ["ne", { takes: ["any", "any"], call: (a = null, b = null) => !equals(a, b) }],
  ["lt", { takes: ["any", "any"], call: (a = null, b = null) => isLess(a, b) }],
  ["le", { takes: ["any", "any"], call: (a = null, b = null) => isLess(a, b) || equals(a, b) }],
  ["gt", { takes: ["any", "any"], call: (a = null, b = null) => !isLess(a, b) && !equals(a, b) }],
  ["ge", { takes: ["any", "any"], call: (a = null, b = null) => !isLess(a, b) }],
]);

function join(list: string[], by: string): string {
  const length = list.reduce((sum, each) => sum + each.length + by.length, 0);
  if (length > MAX_STRING) throw new Error(`more than ${MAX_STRING} characters`);
  return list.join(by);
}

/** Letters that begin a word in upper case. */
function title(text: string): string {
  return text.replaceAll(/(^|[^\p{L}\p{N}_])(\p{L})/gu, (_, before: string, letter: string) => {
    return before + letter.toUpperCase();
  });
}

function pad(text: string, before: bigint, behind: bigint): string {
  if (text === "") return text;
  if (before < 0n || behind < 0n || before > MAX_PAD || behind > MAX_PAD)
    throw new Error(`not between 0 and ${MAX_PAD} spaces`);
  return " ".repeat(Number(before)) + text + " ".repeat(Number(behind));
}

/** To so many bytes, as Docker has it. */
function truncate(text: string, most: bigint): string {
  const bytes = encoder.encode(text);
  if (most < 0n) throw new Error("slice bounds out of range");
  return bytes.length < most ? text : decode(bytes.subarray(0, Number(most)));
}

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function length(value: Value): bigint {
  if (value === null) throw new Error("len of nil pointer");
  if (typeof value === "string") return BigInt(encoder.encode(value).length);
  if (isList(value)) return BigInt(value.length);
  if (isMap(value)) return BigInt(value.size);
  throw new Error(`len of type ${typeOf(value)}`);
}

function index(value: Value, key: Value): Value {
  if (value === null) throw new Error("index of untyped nil");
  if (isMap(value) || isStruct(value)) {
    if (typeof key !== "string") throw new Error(`value has type ${typeOf(key)}; should be string`);
    const isOfStrings = typeOf(value) === "map[string]string";
    return memberOf(value, key) ?? (isOfStrings ? "" : null);
  }
  if (!isList(value) && typeof value !== "string") throw new Error(`can't index item of type ${typeOf(value)}`);
  const items = isList(value) ? value : encoder.encode(value);
  const item = items[bound(key, items.length - 1)];
  return typeof item === "number" ? BigInt(item) : (item ?? null);
}

/** A position from 0 to `most`. */
function bound(value: Value, most: number): number {
  if (value === null) throw new Error("cannot index slice/array with nil");
  if (typeof value !== "bigint") throw new Error(`cannot index slice/array with type ${typeOf(value)}`);
  if (value < 0n || value > most) throw new Error(`index out of range: ${value}`);
  return Number(value);
}

function slice(value: Value, ends: Value[]): Value {
  if (value === null) throw new Error("slice of untyped nil");
  if (ends.length > 3) throw new Error(`too many slice indexes: ${ends.length}`);
  if (typeof value === "string" && ends.length === 3) throw new Error("cannot 3-index slice a string");
  if (!isList(value) && typeof value !== "string") throw new Error(`can't slice item of type ${typeOf(value)}`);
  const items = isList(value) ? value : encoder.encode(value);
  const [from = 0, to = items.length, most = to] = ends.map((end) => bound(end, items.length));
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`);
  if (to > most) throw new Error(`invalid slice index: ${to} > ${most}`);
  return isList(value) ? value.slice(from, to) : decode((items as Uint8Array).subarray(from, to));
}

const HTML: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
  "\0": "\ufffd",
};
const html = (text: string) => text.replaceAll(/[&<>"'\0]/g, (character) => HTML[character] ?? "");

const js = (text: string) =>
  text.replaceAll(/[\\'"<>&=]|[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    if (/[\\'"]/.test(character)) return `\\${character}`;
    const code = character.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).toUpperCase().padStart(4, "0")}`;
  });

const urlQuery = (text: string) =>
  encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");

function equals(a: Value, b: Value): boolean {
  if (a === null || b === null) return a === b;
  if (typeof a !== typeof b) throw new Error("incompatible types for comparison");
  if (typeof a === "object") throw new Error(`non-comparable type ${textOf(a)}: ${typeOf(a)}`);
  return a === b;
}

function equalsAny(first: Value, others: Value[]): boolean {
  if (others.length === 0) throw new Error("missing argument for comparison");
  return others.some((other) => equals(first, other));
}

function isLess(a: Value, b: Value): boolean {
  for (const value of [a, b])
    if (value === null || typeof value === "object" || typeof value === "boolean")
      throw new Error("invalid type for comparison");
  if (typeof a !== typeof b) throw new Error("incompatible types for comparison");
  if (typeof a === "string") return Buffer.compare(encoder.encode(a), encoder.encode(b as string)) < 0;
  return (a as bigint) < (b as bigint);
}
