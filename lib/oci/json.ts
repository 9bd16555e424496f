/**
 * JSON of others: where it is malformed is told by line and column, a key that is there twice is refused (readers do not
 * agree on which one counts), and whole numbers above 2^53 come as bigint.
 * @module
 */
import { show, TsboxError } from "../../syscalls/index.ts";

/** Of all that means something, nothing lies deeper than ten. */
const DEPTH = 100;
/** `18446744073709551615` */
const U64_DIGITS = 20;
/** A number that may not be exact; strings may look the same, which costs time only. */
const LARGE = /[\s:,[]-?\d{16}/;
/** As Go, jq and JavaScript write it; without one, there is no white space at all. */
const INDENT = /^\{\n([\t ]+)/;

/** @throws TsboxError `invalid_option` */
export function parseJson(text: string, file: string): unknown {
  try {
    const large = LARGE.test(text);
    const value: unknown = large ? JSON.parse(text, exact) : JSON.parse(text);
    // what is the same when it is written again had no key twice; so most files need no closer look
    if (!large && JSON.stringify(value, null, INDENT.exec(text)?.[1]) === text.trimEnd()) return value;
    const flaw = new Scanner(text).findFlaw();
    if (!flaw) return value;
    throw malformed(text, file, flaw);
  } catch (error) {
    if (error instanceof TsboxError) throw error;
    // SyntaxError, or RangeError where the stack does not suffice
    throw malformed(text, file, new Scanner(text).findFlaw() ?? { at: text.length, why: "malformed" }, error);
  }
}

/** `source` is the number as it is written; Bun has it, and TypeScript does not know. */
function exact(_: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || Number.isSafeInteger(value) || source === undefined) return value;
  return source.length <= U64_DIGITS && /^-?\d+$/.test(source) ? BigInt(source) : value;
}

interface Flaw {
  at: number;
  why: string;
}

function malformed(text: string, file: string, { at, why }: Flaw, cause?: unknown): TsboxError {
  const before = text.slice(0, at);
  const [line, column] = [before.split("\n").length, at - before.lastIndexOf("\n")];
  return new TsboxError(`read ${file}: line ${line}, column ${column}: ${why}`, { code: "invalid_option", cause });
}

const SPACE = "\t\n\r ";
const WORD = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Keys that an object has so far; a list has none. */
type Open = Set<string> | undefined;
type Expected = "value" | "item or ]" | "key or }" | "key" | "colon" | "comma";

const WANTED: Record<Expected, string> = {
  value: "a value should be",
  "item or ]": 'a value or "]" should be',
  "key or }": 'a key or "}" should be',
  key: "a key should be",
  colon: '":" should be',
  comma: 'a "," or the end should be',
};

class Scanner {
  readonly #text: string;
  #at = 0;
  readonly #open: Open[] = [];
  #expected: Expected = "value";

  constructor(text: string) {
    this.#text = text;
  }

  /** The first place where the text is no JSON, is nested too deeply, or has a key again. */
  findFlaw(): Flaw | undefined {
    for (;;) {
      while (SPACE.includes(this.#text[this.#at] ?? "x")) this.#at++;
      const at = this.#at;
      const character = this.#text[at];
      if (character === undefined)
        return this.#isWhole ? undefined : { at, why: "the text ends here, before it is whole" };
      const why = this.#take(character);
      if (why !== undefined) return { at, why };
    }
  }

  get #isWhole(): boolean {
    return this.#open.length === 0 && this.#expected === "comma";
  }

  /** @returns what is wrong with what begins with this character */
  #take(character: string): string | undefined {
    const isKey = this.#expected === "key" || this.#expected === "key or }";
    const isValue = this.#expected === "value" || this.#expected === "item or ]";
    const inside = this.#open.at(-1);
    if (character === '"' && (isKey || isValue)) return this.#takeString(isKey);
    if (isValue && (character === "{" || character === "[")) {
      if (this.#open.push(character === "{" ? new Set() : undefined) > DEPTH) return "nested too deeply";
      return this.#pass(character === "{" ? "key or }" : "item or ]");
    }
    if (isValue && this.#skipWord()) return this.#expect("comma");
    if (character === ":" && this.#expected === "colon") return this.#pass("value");
    if (this.#open.length === 0)
      return `${show(character)} where ${this.#isWhole ? "the text should end" : WANTED.value}`;
    if (character === "," && this.#expected === "comma") return this.#pass(inside ? "key" : "value");
    if (character === (inside ? "}" : "]") && (this.#expected === "comma" || this.#expected.endsWith(character))) {
      this.#open.pop();
      return this.#pass("comma");
    }
    return `${show(character)} where ${WANTED[this.#expected]}`;
  }

  #takeString(isKey: boolean): string | undefined {
    const string = stringAt(this.#text, this.#at);
    if (!string) return "a text that is malformed, or has no end";
    this.#at = string.end;
    if (!isKey) return this.#expect("comma");
    const keys = this.#open.at(-1);
    if (keys?.has(string.value)) return `the key ${show(string.value)} is there twice`;
    keys?.add(string.value);
    return this.#expect("colon");
  }

  #skipWord(): boolean {
    WORD.lastIndex = this.#at;
    const length = WORD.exec(this.#text)?.[0].length ?? 0;
    this.#at += length;
    return length > 0;
  }

  #pass(expected: Expected): undefined {
    this.#at++;
    return this.#expect(expected);
  }

  #expect(expected: Expected): undefined {
    this.#expected = expected;
    return undefined;
  }
}

/** Escapes, and what has to be escaped. */
// oxlint-disable-next-line no-control-regex
const SPECIAL = /[\\\0-\x1f]/;

/** The string that begins there. */
function stringAt(text: string, start: number): { value: string; end: number } | undefined {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  if (end < 0) return undefined;
  const value = text.slice(start + 1, end);
  if (!SPECIAL.test(value)) return { value, end: end + 1 };
  try {
    return { value: JSON.parse(`"${value}"`) as string, end: end + 1 };
  } catch {
    return undefined;
  }
}

/** Behind an odd number of backslashes. */
function isEscaped(text: string, at: number): boolean {
  let from = at;
  while (text[from - 1] === "\\") from--;
  return (at - from) % 2 === 1;
}
