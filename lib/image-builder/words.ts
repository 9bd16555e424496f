/** Values as words of a Dockerfile: what comes of them there is what was given, but for `$VARIABLES`. @module */
import { show, TsboxError } from "../../syscalls/index.ts";

/** `\$` stays, and is a `$` of its own. */
const unexpanded = (text: string): string => text.replaceAll(/\\(?!\$)|["']/g, "\\$&");

/** `--chown=a:b` */
export const flag = (name: string, value: string): string => rawFlag(name, unexpanded(value));

/** `--mount=type=cache,target=/c` */
export function listFlag(name: string, fields: readonly (readonly [string, string])[]): string {
  const texts = fields.map(([key, value]) => `${key}=${unexpanded(value)}`);
  return rawFlag(name, texts.map((text) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(","));
}

const rawFlag = (name: string, value: string): string =>
  `--${name}=${oneLine(name, value).replaceAll(/[\\"'\s]/g, "\\$&")}`;

export const option = (name: string, value: string | undefined): string[] =>
  value === undefined ? [] : [flag(name, value)];

export const toggle = (name: string, isOn: boolean | undefined): string[] =>
  isOn === undefined ? [] : [isOn ? `--${name}` : `--${name}=false`];

/** `NAME="va lue"` */
export function pair([name, content]: readonly [string, string]): string {
  // a `"` between quotes is the only one that has to be escaped, and the escape character
  const quote = (text: string) => `"${text.replaceAll(/\\(?!\$)|"/g, "\\$&")}"`;
  const isPlain = (text: string) => /^(?!--)[\w./:@%+,$-]+$/.test(text);
  oneLine(name, name + content);
  if (name === "" || name.includes("="))
    throw new TsboxError(`set ${show(name)}: not a name`, { code: "invalid_option" });
  return `${isPlain(name) ? name : quote(name)}=${isPlain(content) ? content : quote(content)}`;
}

/** As words where that says the same, and as JSON. */
export function paths(all: readonly string[]): string {
  const words = all.map(unexpanded);
  return words.every(
    (word, at) => /^[^\s["\\\0]+$/.test(word) && !(at === 0 && word.startsWith("--")) && !word.includes("<<"),
  )
    ? words.join(" ")
    : json(words);
}

/** In JSON, or behind another word. */
export const value = (name: string, text: string): string => oneLine(name, unexpanded(text));

export const word = (name: string, text: string): string => noFlag(value(name, text));

/** `--` ends flags. */
const noFlag = (text: string): string => (text.startsWith("--") ? `-- ${text}` : text);

/** As people write it: what is in the history is the same then. */
export const json = (words: readonly string[]): string => `[${words.map((text) => JSON.stringify(text)).join(", ")}]`;

/** A line for the shell, or words. */
export function command(name: string, given: string | readonly string[]): string {
  if (typeof given !== "string") return json(given);
  if (/[\n\r]|\\\s*$/.test(given))
    throw new TsboxError(`${name} ${show(given)}: a command for the shell is one line`, {
      code: "invalid_option",
      hint: 'words may have more: ["sh", "-c", "…"]',
    });
  return noFlag(given);
}

/** @throws TsboxError `invalid_option` */
function oneLine(name: string, text: string): string {
  if (!/[\n\r\0]/.test(text)) return text;
  throw new TsboxError(`${name} ${show(text)}: a value is one line`, { code: "invalid_option" });
}

/** A here-document that nothing in it ends. */
export function hereDocument(before: string, content: string, after = ""): string {
  const lines = new Set(content.split("\n").map((line) => line.replace(/\r$/, "")));
  let name = "EOF";
  for (let count = 1; lines.has(name); count++) name = `EOF${count}`;
  return `${before} <<'${name}'${after}\n${content === "" || content.endsWith("\n") ? content : `${content}\n`}${name}`;
}
