/** What stands behind an instruction's name, as words, flags or JSON. @module */
import { show } from "../../syscalls/index.ts";
import { Flaw } from "./flaw.ts";
import type { Escape } from "./lines.ts";

/** A part of a line; `at` is where in the line it begins. */
export interface Text {
  text: string;
  at: number;
}

/** Between two blanks, whatever it is. */
export function plainWords({ text, at }: Text): Text[] {
  return Array.from(text.matchAll(/\S+/g), (match) => ({ text: match[0], at: at + match.index }));
}

/** The first word, and what follows it. */
export function firstWord({ text, at }: Text): [word: Text, rest: Text] {
  const start = text.length - text.trimStart().length;
  const blank = text.slice(start).search(/\s/);
  const end = blank < 0 ? text.length : start + blank;
  const rest = text.slice(end).trimStart();
  return [
    { text: text.slice(start, end), at: at + start },
    { text: rest.trimEnd(), at: at + text.length - rest.length },
  ];
}

/** Between blanks that are not quoted; with their quotes and escape characters, which are the expansion's business. */
export function quotedWords({ text, at }: Text, escape: Escape): Text[] {
  const words: Text[] = [];
  let start = -1;
  let quote = "";
  for (let index = 0; index < text.length; index++) {
    const char = text[index] as string;
    if (start < 0 && /\s/.test(char)) continue;
    if (start < 0) start = index;
    if (char === escape && quote !== "'") index++;
    else if (quote !== "") quote = char === quote ? "" : quote;
    else if (char === '"' || char === "'") quote = char;
    else if (/\s/.test(char)) {
      words.push({ text: text.slice(start, index), at: at + start });
      start = -1;
    }
  }
  if (start >= 0) words.push({ text: withoutLastEscape(text.slice(start), escape), at: at + start });
  return words;
}

/** One that ends a text escapes nothing. */
const withoutLastEscape = (word: string, escape: Escape) =>
  word.endsWith(escape) && !word.endsWith(escape + escape) ? word.slice(0, -1) : word;

/**
 * Words of a JSON array; undefined where there is none, and the text is for the shell.
 * @throws Flaw where it is an array of other things
 */
export function jsonWords({ text, at }: Text): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // `[ -e /x ] && make` is for the shell
  }
  if (!Array.isArray(value)) return undefined;
  if (value.every((word) => typeof word === "string")) return value;
  throw new Flaw(`${show(text)} is an array, but not of strings only`, { at });
}

/** `--name=value` before all else, quotes and escapes taken away, and what follows. `--` alone ends them. */
export function takeFlags(line: Text): [flags: Text[], rest: Text] {
  const flags: Text[] = [];
  let { text, at } = line;
  for (;;) {
    const start = text.length - text.trimStart().length;
    [text, at] = [text.slice(start), at + start];
    if (!text.startsWith("--")) return [flags, { text, at }];
    const [word, length] = unquotedWord(text);
    const rest = { text: text.slice(length).trimStart(), at: at + length };
    rest.at = at + text.length - rest.text.length;
    if (word === "--") return [flags, rest];
    flags.push({ text: word, at });
    ({ text, at } = rest);
  }
}

/** The first word without its quotes; here a backslash escapes, whatever the file's escape character is. */
function unquotedWord(text: string): [word: string, length: number] {
  let word = "";
  let quote = "";
  for (let index = 0; index < text.length; index++) {
    const char = text[index] as string;
    if (quote === "" && /\s/.test(char)) return [word, index];
    if (char === "\\") word += text[++index] ?? "";
    else if (quote === "" && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = "";
    else word += char;
  }
  return [word, text.length];
}
