/** A Dockerfile's text as lines: continuations joined, comments left out, directives read. @module */
import { show } from "../../syscalls/index.ts";
import { dockerfileError, Flaw } from "./flaw.ts";
import type { Place } from "./instruction.ts";
import { didYouMean } from "../options/index.ts";

/** One instruction's, without its here-documents. */
export interface Line {
  text: string;
  place: Place;
  /** Where the physical lines begin in `text`. */
  pieces: { at: number; line: number; column: number }[];
}

export type Escape = "\\" | "`";

const DIRECTIVES = ["syntax", "escape", "check"];
const DIRECTIVE = /^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(\S(?:.*\S)?)\s*$/;
const COMMENT = /^\s*#/;
/** Far more than any has; nothing that follows takes longer than in proportion to it. */
const LONGEST = 4 << 20;

export class Lines {
  readonly file: string;
  readonly directives = new Map<string, string>();
  escape: Escape = "\\";
  readonly notes = { emptyContinuations: [] as number[], comments: new Map<number, string>() };
  readonly #lines: string[];
  #next = 0;

  /** @param file what it is called in messages. @throws TsboxError `dockerfile_invalid` */
  constructor(text: string, file: string) {
    this.file = file;
    if (text.length > LONGEST) throw dockerfileError(file, START, `it is longer than ${LONGEST} characters`);
    this.#lines = text.replace(/^\uFEFF/, "").split("\n");
    // what follows the last line's end is no line
    if (this.#lines.at(-1) === "") this.#lines.pop();
    const nul = this.#lines.findIndex((line) => line.includes("\0"));
    if (nul >= 0) throw this.error({ line: nul + 1, column: 1 }, "a character 0 is in it");
  }

  /** They stand before all else; also before other comments. */
  readDirectives(): void {
    for (const line of this.#lines) {
      const [, word = "", value = ""] = DIRECTIVE.exec(line.trim()) ?? [];
      const name = word.toLowerCase();
      if (!DIRECTIVES.includes(name)) return;
      const place = { line: ++this.#next, column: 1 };
      if (this.directives.has(name)) throw this.error(place, `a second directive ${show(name)}`);
      this.directives.set(name, value);
      if (name !== "escape") continue;
      if (value !== "\\" && value !== "`") throw this.error(place, `escape is ${show(value)}, and neither \\ nor \``);
      this.escape = value;
    }
  }

  /** @returns the next instruction's; undefined at the end. */
  next(): Line | undefined {
    while (this.#next < this.#lines.length) {
      const first = this.#take();
      if (COMMENT.test(first)) {
        this.notes.comments.set(this.#next, first.replace(COMMENT, ""));
        continue;
      }
      const text = first.trimStart();
      const [kept, isContinued] = this.#withoutContinuation(text);
      if (kept.trim() === "" && !isContinued) continue;
      const line = this.#join(kept, first.length - text.length + 1, isContinued);
      if (line) return line;
    }
    return undefined;
  }

  /** @param kept of the first line, which has just been taken, from `column` on */
  #join(kept: string, column: number, isContinued: boolean): Line | undefined {
    const pieces = [{ at: 0, line: this.#next, column }];
    const texts = [kept];
    let length = kept.length;
    while (isContinued && this.#next < this.#lines.length) {
      const next = this.#take();
      if (next.trim() === "") this.notes.emptyContinuations.push(this.#next);
      if (COMMENT.test(next) || next.trim() === "") continue;
      const [more, goesOn] = this.#withoutContinuation(next);
      pieces.push({ at: length, line: this.#next, column: 1 });
      texts.push(more);
      length += more.length;
      isContinued = goesOn;
    }
    const text = texts.join("").trimEnd();
    const start = text.length - text.trimStart().length;
    if (start === text.length) return undefined; // nothing but continuations
    return { text, pieces, place: { ...placeOf(pieces, start), endLine: this.#next } };
  }

  #take(): string {
    const line = this.#lines[this.#next++] as string;
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }

  /** An escape character that ends a line, unless it is escaped itself. */
  #withoutContinuation(line: string): [text: string, isContinued: boolean] {
    let end = line.length;
    while (end > 0 && (line[end - 1] === " " || line[end - 1] === "\t")) end--;
    if (line[end - 1] !== this.escape || line[end - 2] === this.escape) return [line, false];
    return [line.slice(0, end - 1), true];
  }

  /**
   * What follows the line that was last taken, up to one that is `name` and nothing else.
   * @returns with the ends of its lines. @throws Flaw
   */
  takeHereDocument(line: Line, { name, stripsTabs, at }: { name: string; stripsTabs: boolean; at: number }): string {
    const strip = (text: string) => (stripsTabs ? text.replace(/^\t+/, "") : text);
    for (let end = this.#next; end < this.#lines.length; end++) {
      if (strip((this.#lines[end] as string).replace(/\r$/, "")) !== name) continue;
      const content = this.#lines.slice(this.#next, end).map((text) => `${strip(text)}\n`);
      this.#next = end + 1;
      line.place.endLine = this.#next;
      return content.join("");
    }
    throw new Flaw(`the here-document ${show(name)} does not end`, { at, hint: `a line with only ${name} ends it` });
  }

  /** How many lines have been taken. */
  get position(): number {
    return this.#next;
  }

  /** Lines as they stand there, from a position on. */
  since(position: number): string[] {
    return this.#lines.slice(position, this.#next);
  }

  error(place: Pick<Place, "line" | "column">, why: string, hint?: string): Error {
    return dockerfileError(this.file, place, why, hint);
  }

  /** @returns what `act` does; a flaw that it finds gets its place. */
  within<T>(line: Line, act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof Flaw)) throw error;
      throw this.error(error.at === undefined ? line.place : placeOf(line.pieces, error.at), error.message, error.hint);
    }
  }
}

const START = { line: 1, column: 1 };

/** Where in the file a character of the joined line stands. */
function placeOf(pieces: Line["pieces"], at: number): { line: number; column: number } {
  const piece = pieces.findLast((candidate) => candidate.at <= at) ?? pieces[0];
  return piece ? { line: piece.line, column: piece.column + at - piece.at } : START;
}

export const unknownWord = (what: string, word: string, words: readonly string[], at: number) =>
  new Flaw(`unknown ${what} ${show(word)}`, { at, hint: didYouMean(word, words) ?? words.join(" ") });
