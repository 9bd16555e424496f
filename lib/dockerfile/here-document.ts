/** Here-documents: which ones a line opens, and what a shell gets of them. @module @see https://docs.docker.com/reference/dockerfile/#here-documents */
import { expand } from "./expand.ts";
import { Flaw } from "./flaw.ts";
import type { Command, HereDocument } from "./instruction.ts";
import type { Escape, Line, Lines } from "./lines.ts";
import { quotedWords, type Text } from "./words.ts";

/** `<<EOF`, `0<<-"EOF"`: a word of its own. */
interface Opening {
  name: string;
  stripsTabs: boolean;
  isExpanded: boolean;
  at: number;
}

/** @returns undefined where a word opens none. */
export function openingOf({ text, at }: Text, escape: Escape): Opening | undefined {
  const [, dash = "", quoted = ""] = /^\d*<<(-?)([^<]+)$/.exec(text) ?? [];
  if (quoted === "") return undefined;
  let name;
  try {
    // a variable in the name stands for itself
    name = expand(quoted.replaceAll("$", `${escape}$`), () => undefined, escape);
  } catch (error) {
    if (error instanceof Flaw) return undefined;
    throw error;
  }
  return name === "" ? undefined : { name, stripsTabs: dash !== "", isExpanded: name === quoted, at };
}

/** All that `text` opens, read from the lines that follow. @throws Flaw */
export function takeHereDocuments(lines: Lines, line: Line, text: Text): HereDocument[] {
  if (!text.text.includes("<<")) return [];
  return quotedWords(text, lines.escape).flatMap((word) => {
    const opening = openingOf(word, lines.escape);
    if (!opening) return [];
    const { name, isExpanded } = opening;
    return [{ name, content: lines.takeHereDocument(line, opening), isExpanded }];
  });
}

/** What a RUN runs: a line for the shell; or a program of its own, which its first line says. */
export type Script = { kind: "line"; text: string } | { kind: "file"; name: string; content: string };

/** Of a command in shell form: where a here-document is all of it, its content is the script. */
export function scriptOf({ text, hereDocuments }: Extract<Command, { form: "shell" }>): Script {
  const [first] = hereDocuments;
  if (!first) return { kind: "line", text };
  if (/^\s*\d*<<-?[^<\s]+\s*$/.test(text)) {
    const { name, content } = first;
    return content.startsWith("#!") ? { kind: "file", name, content } : { kind: "line", text: content };
  }
  return { kind: "line", text: [text, ...hereDocuments.map(({ name, content }) => content + name)].join("\n") };
}
