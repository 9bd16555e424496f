/**
 * A template as a script for `sh -c`. Values never are part of the script: they travel as arguments, and the script has
 * variables in their place. So no value can become code, whatever surrounds it; quoting only decides about words.
 * @module
 */
import { show } from "../../syscalls/index.ts";
import { checkText, invalid } from "../options/index.ts";
import { isContent, type Content } from "./pipes.ts";

/** What may stand in a template: a word, several, text of the script itself, or (behind `<`) data to be read. */
export type ShellValue =
  string | number | bigint | boolean | URL | { raw: string } | Exclude<Content, string> | readonly ShellValue[];

/** A script, the arguments behind its name, and what it reads. */
export interface ShellLine {
  script: string;
  args: string[];
  input?: Content;
}

/** @throws TsboxError `invalid_option` */
export function shellLine(strings: TemplateStringsArray, values: readonly unknown[]): ShellLine {
  const [quotes, args]: [Quotes, string[]] = [new Quotes(), []];
  let [script, input]: [string, Content | undefined] = ["", undefined];
  const add = (text: string) => {
    quotes.read(text);
    script += text;
  };
  strings.raw.map(withCharacters).forEach((text, index) => {
    const value = values[index];
    const redirects = /<\s*$/.test(text) && isInput(value);
    add(redirects ? text.trimEnd() : text);
    if (index >= values.length) return;
    if (redirects) {
      if (input !== undefined)
        throw invalid("use two inputs in one line of shell: it has one stdin", "write one to a file");
      input = value as Content;
      add(`&${INPUT_FD}`);
    } else if (isRaw(value)) add(checkText("raw text", value.raw));
    else
      script += wordsOf(value)
        .map((word) => quotes.variable(`tsbox${args.push(word)}`))
        .join(" ");
  });
  // functions have arguments of their own, so the values are variables: not exported, and no parameters are left
  const assign = args.map((_, index) => `tsbox${index + 1}=\${${index + 1}} `).join("");
  const head = `${assign}; set --; `.replace(/^; /, "");
  const from = input === undefined ? "" : `exec ${INPUT_FD}<&0 </dev/null; `;
  return { script: head + from + script, args, ...(input === undefined ? {} : { input }) };
}

/** Bun writes `\u00E9` into the raw text of a template for `é`; a shell knows no such thing. */
const withCharacters = (text: string): string =>
  text.replaceAll(/\\(?:u\{([\da-f]+)\}|u([\da-f]{4})|[^])/gi, (escape, long?: string, short?: string) => {
    const code = parseInt(long ?? short ?? "0", 16);
    return code >= 0x80 && code <= 0x10ffff ? String.fromCodePoint(code) : escape;
  });

/** Where the whole script's stdin is, for the one command that reads it. */
const INPUT_FD = 3;

const isRaw = (value: unknown): value is { raw: string } =>
  typeof value === "object" && value !== null && Object.hasOwn(value, "raw");
const isInput = (value: unknown): value is Content => typeof value !== "string" && isContent(value);

function wordsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(wordsOf);
  if (["string", "number", "bigint", "boolean"].includes(typeof value)) return [checkText("word", String(value))];
  if (value instanceof URL) return [value.href];
  throw invalid(
    `use ${show(value)} in a line of shell: not a word`,
    "a string, number, array of them, or { raw: text }; behind <, also bytes, a Blob, a Response or a ReadableStream",
  );
}

/** As a word of a script; what `box.$` does not need, as values are none of its text. */
export const escapeWord = (word: string): string =>
  /^[\w@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Which quotes a script is within: as much of the shell's grammar as tells whether a variable is. */
class Quotes {
  /** The innermost last; below all of them the script itself. */
  readonly #within: string[] = ["("];
  #comment = false;
  #last = "\n";

  read(text: string): void {
    for (let at = 0; at < text.length; at++) {
      const char = text[at] as string;
      const top = this.#within.at(-1) as string;
      if (this.#comment) this.#comment = char !== "\n";
      else if (top === "'") {
        if (char === "'") this.#within.pop();
      } else if (char === "\\") at++;
      else if (char === top && top !== "(") this.#within.pop();
      else if (top === '"') {
        if (char === "`" || (char === "(" && this.#last === "$")) this.#within.push(char);
      } else if (char === "#" && /[\s;&|(]/.test(this.#last)) this.#comment = true;
      else if (char === ")" && top === "(" && this.#within.length > 1) this.#within.pop();
      else if ("'\"`(".includes(char)) this.#within.push(char);
      this.#last = char;
    }
  }

  /** A variable, as one word or as a part of the quoted one. */
  variable(name: string): string {
    const top = this.#comment ? "" : this.#within.at(-1);
    this.#last = "}";
    if (top === '"') return `\${${name}}`;
    return top === "'" ? `'"\${${name}}"'` : `"\${${name}}"`;
  }
}
