/**
 * Patterns of `--exclude` and `--parents`: `*` and `?` within a name, `**` for any number of directories, `!` for what is
 * not meant after all; what matches a directory matches all in it.
 * @module
 * @see https://pkg.go.dev/github.com/moby/patternmatcher
 */
import { TsboxError } from "../../../syscalls/index.ts";
import { plain } from "./names.ts";

/** What each pattern says of a path, for the paths below it. */
export interface Matched {
  isMatch: boolean;
  each: readonly boolean[];
}

interface Pattern {
  matches: RegExp;
  isException: boolean;
  /** Of each directory above what it means; undefined from the first `**` on. */
  above: (RegExp | undefined)[];
}

export class Patterns {
  readonly hasExceptions: boolean;
  readonly #patterns: Pattern[];

  /** @throws TsboxError `invalid_option` for what is no pattern */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.flatMap((text) => {
      const trimmed = text.trim();
      const isException = trimmed.startsWith("!");
      const path = plain(isException ? trimmed.slice(1).trim() : trimmed);
      if (path === "") return [];
      const names = path.split("/");
      const deep = names.findIndex((name) => name.includes("**"));
      const above = names
        .slice(0, deep < 0 ? -1 : deep + 1)
        .map((name) => (name.includes("**") ? undefined : expressionOf(name, text)));
      return [{ matches: expressionOf(path, text), isException, above }];
    });
    this.hasExceptions = this.#patterns.some(({ isException }) => isException);
  }

  /** @param above what this gave for the directory that the path is in; undefined at the top */
  match(path: string, above: Matched | undefined): Matched {
    let isMatch = false;
    const each = this.#patterns.map(({ matches, isException }, index) => {
      let match = above?.each[index] ?? false;
      if (!match && isException === isMatch) match = matches.test(path);
      if (match) isMatch = !isException;
      return match;
    });
    return { isMatch, each };
  }

  /** Whether one of them may mean something in this directory. */
  mayMatchBelow(directory: string): boolean {
    const names = directory.split("/");
    return this.#patterns.some(({ above }) => {
      for (const [index, name] of names.entries()) {
        if (index >= above.length) return false;
        const expression = above[index];
        if (!expression) return true;
        if (!expression.test(name)) return false;
      }
      return true;
    });
  }
}

/** `**` is any number of directories, none too; at the end, all that is below. */
function expressionOf(pattern: string, written: string): RegExp {
  const piece = /\*\*\/?$|\*\*\/?|\*|\?|\[(\^?)((?:\\[^]|[^\]\\])+)\]|\\([^])|([^\\[*?])/gy;
  let source = "";
  for (let at = 0; at < pattern.length; at = piece.lastIndex) {
    piece.lastIndex = at;
    const [all, not, set, escaped, character] = piece.exec(pattern) ?? [];
    if (all === undefined)
      throw new TsboxError(`use the pattern ${JSON.stringify(written)}: it is none`, { code: "invalid_option" });
    if (all.startsWith("**")) source += piece.lastIndex === pattern.length ? ".*" : "(?:.*/)?";
    else if (all === "*") source += "[^/]*";
    else if (all === "?") source += "[^/]";
    else if (set !== undefined) source += `[${not}${set.replaceAll("[", "\\[")}]`;
    else source += quoted(escaped ?? character ?? "");
  }
  return new RegExp(`^${source}$`, "su");
}

const quoted = (character: string): string => (/[\w\s\x80-\u{10ffff}]/u.test(character) ? character : `\\${character}`);
