/**
 * Variables, quotes and escape characters of a word, as a shell has them: `$A`, `${A:-b}`, `${A#*\/}`, `"…"`, `'…'`.
 * @module
 * @see https://docs.docker.com/reference/dockerfile/#environment-replacement
 */
import { Flaw } from "./flaw.ts";
import type { Escape } from "./lines.ts";
import { LONGEST, replacePattern, trimPattern } from "./pattern.ts";

/** @param isOptional what is there instead is said: `${A:-b}` */
export type ValueOf = (name: string, isOptional?: boolean) => string | undefined;

export interface ExpandOptions {
  /** In here-documents quotes are letters like others. */
  quotes?: "kept";
}

const DEEPEST = 50;

/** @returns one word. @throws Flaw on syntax that is none, and for `${A:?why}` */
export function expand(text: string, valueOf: ValueOf, escape: Escape, { quotes }: ExpandOptions = {}): string {
  if (!/[\\`"'$]/.test(text)) return text;
  return new Expansion(text, valueOf, quotes === "kept" ? "\\" : escape, quotes === "kept").all().word;
}

/** @returns words, between blanks that are not quoted, also those of values. @throws Flaw as `expand` */
export function expandWords(text: string, valueOf: ValueOf, escape: Escape): string[] {
  return new Expansion(text, valueOf, escape, false).all().words;
}

/** What has been read so far, as one word and as several. */
class Words {
  word = "";
  readonly words: string[] = [];
  #last = "";
  readonly #isSplit: boolean;

  constructor(isSplit: boolean) {
    this.#isSplit = isSplit;
  }

  /** Blanks in it separate words. */
  add(text: string): void {
    this.#append(text);
    if (!this.#isSplit) return;
    for (const part of text.split(/(\s+)/)) {
      if (/^\s/.test(part)) this.#end();
      else this.#last += part;
    }
  }

  addQuoted(text: string): void {
    this.#append(text);
    this.#last += text;
  }

  end(): this {
    this.#end();
    return this;
  }

  #append(text: string): void {
    this.word += text;
    if (this.word.length > LONGEST) throw new Flaw(`a value is longer than ${LONGEST} characters`);
  }

  #end(): void {
    if (this.#last !== "") this.words.push(this.#last);
    this.#last = "";
  }
}

/** A name, digits, or one of the shell's own parameters, which nothing sets here. */
const NAME = /(?:[\p{L}_][\p{L}\p{Nd}_]*|\p{Nd}+|[@*#?\-$!])/uy;

class Expansion {
  readonly #text: string;
  readonly #valueOf: ValueOf;
  readonly #escape: Escape;
  readonly #keepsQuotes: boolean;
  #at = 0;
  #depth = 0;

  constructor(text: string, valueOf: ValueOf, escape: Escape, keepsQuotes: boolean) {
    this.#text = text;
    this.#valueOf = valueOf;
    this.#escape = escape;
    this.#keepsQuotes = keepsQuotes;
  }

  all(): Words {
    return this.#until("", false);
  }

  /** @param stop a character that ends it, and is taken. @param keepsEscapes in patterns they are the pattern's */
  #until(stop: string, keepsEscapes: boolean): Words {
    if (++this.#depth > DEEPEST) throw new Flaw(`more than ${DEEPEST} substitutions in each other`);
    const words = new Words(stop === "");
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined || char === stop) break;
      if (char === "$") words.add(this.#dollar(keepsEscapes));
      else if (char === "'" && !this.#keepsQuotes) words.addQuoted(this.#singleQuoted());
      else if (char === '"' && !this.#keepsQuotes) words.addQuoted(this.#doubleQuoted(keepsEscapes));
      else if (char === this.#escape) this.#escaped(words, keepsEscapes);
      else words.add(this.#plain(stop));
    }
    if (stop !== "" && this.#text[this.#at] === undefined)
      throw new Flaw(`a \${…} that does not end: ${stop} is missing`);
    this.#at += stop.length;
    this.#depth--;
    return words.end();
  }

  /** Up to the next character that means something. */
  #plain(stop: string): string {
    const start = this.#at++;
    while (this.#at < this.#text.length && !`$'"${this.#escape}${stop}`.includes(this.#text[this.#at] as string))
      this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #escaped(words: Words, isKept: boolean): void {
    const next = this.#text[this.#at + 1] ?? "";
    words.addQuoted(isKept ? this.#escape + next : next);
    this.#at += 2;
  }

  #singleQuoted(): string {
    const start = this.#at + 1;
    const end = this.#text.indexOf("'", start);
    if (end < 0) throw new Flaw("a ' that does not end");
    this.#at = end + 1;
    return this.#text.slice(start, end);
  }

  /** In it only itself, `$` and the escape character can be escaped. */
  #doubleQuoted(keepsEscapes: boolean): string {
    const parts: string[] = [];
    this.#at++;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) throw new Flaw('a " that does not end');
      if (char === '"') break;
      if (char === "$") {
        parts.push(this.#dollar(keepsEscapes));
        continue;
      }
      const next = this.#text[this.#at + 1];
      const isEscape = char === this.#escape && (next === '"' || next === "$" || next === this.#escape);
      parts.push(isEscape ? (keepsEscapes ? char : "") + next : char);
      this.#at += isEscape ? 2 : 1;
    }
    this.#at++;
    return parts.join("");
  }

  #dollar(keepsEscapes: boolean): string {
    this.#at++;
    if (this.#text[this.#at] !== "{") {
      const name = this.#name();
      return name === "" ? "$" : (this.#valueOf(name) ?? "");
    }
    this.#at++;
    const name = this.#name();
    const rest = this.#text.slice(this.#at, this.#at + 2);
    if (rest === "") throw new Flaw("a ${…} that does not end: } is missing");
    if (name === "") throw new Flaw("a ${…} without a name");
    const operator = /^(?::[-+?]|[-+?#%/}])/.exec(rest)?.[0];
    if (operator === undefined)
      throw new Flaw(`\${${name}${rest}…} is no substitution`, { hint: "- :- + :+ ? :? # ## % %% / //" });
    this.#at += operator.length;
    return this.#substitution(name, operator, keepsEscapes);
  }

  #substitution(name: string, operator: string, keepsEscapes: boolean): string {
    const value = this.#valueOf(name, !/^[}/#%]/.test(operator));
    if (operator === "}") return value ?? "";
    if (operator === "/") return this.#replaced(value ?? "");
    const isPattern = operator === "#" || operator === "%";
    const { word } = this.#until("}", isPattern || keepsEscapes);
    if (isPattern) {
      const isLongest = word.startsWith(operator);
      return trimPattern(value ?? "", isLongest ? word.slice(1) : word, operator === "#" ? "start" : "end", isLongest);
    }
    const isThere = value !== undefined && (value !== "" || !operator.startsWith(":"));
    if (operator.endsWith("+")) return isThere ? word : "";
    if (isThere) return value;
    if (operator.endsWith("-")) return word;
    throw new Flaw(`${name}: ${word || (value === undefined ? "it is not set" : "it is empty")}`);
  }

  #replaced(value: string): string {
    const isGlobal = this.#text[this.#at] === "/";
    if (isGlobal) this.#at++;
    const pattern = this.#until("/", true).word;
    return replacePattern(value, pattern, this.#until("}", true).word, isGlobal);
  }

  #name(): string {
    NAME.lastIndex = this.#at;
    const name = NAME.exec(this.#text)?.[0] ?? "";
    this.#at += name.length;
    return name;
  }
}
