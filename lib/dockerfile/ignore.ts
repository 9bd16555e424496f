/**
 * `.dockerignore`, and `--exclude`: which paths patterns leave out, as Docker reads them. The last pattern that matches
 * a path, or a directory above it, decides.
 * @module
 * @see https://docs.docker.com/build/concepts/context/#dockerignore-files
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import { compilePath, type PathPattern } from "./path-pattern.ts";

/** Far more than any file has: each path is tried with each. */
const MOST_PATTERNS = 10_000;

export class Ignore {
  readonly #patterns: readonly { isException: boolean; path: PathPattern }[];
  /** Which patterns match a directory or one above it, by its path. */
  readonly #directories = new Map<string, ReadonlySet<number>>([["", new Set()]]);

  /** @param patterns clean ones, `!` before exceptions */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern) => {
      const isException = pattern.startsWith("!");
      return { isException, path: compilePath(isException ? pattern.slice(1) : pattern) };
    });
  }

  /** @param path relative to the context, without `./` */
  isIgnored(path: string): boolean {
    if (this.#patterns.length === 0) return false;
    const last = Math.max(-1, ...this.#matching(path));
    return last >= 0 && !this.#patterns[last]?.isException;
  }

  /** Nothing in this directory, itself included, can be in the context: it need not be read. */
  isIgnoredWhole(directory: string): boolean {
    if (!this.isIgnored(directory)) return false;
    const last = Math.max(...this.#matching(directory));
    return !this.#patterns.some(
      ({ isException, path }, at) => isException && at > last && path.reachesBelow(directory),
    );
  }

  #matching(path: string): ReadonlySet<number> {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    const above = this.#directories.get(parent) ?? this.#matching(parent);
    this.#directories.set(parent, above);
    const found = new Set(above);
    for (const [at, pattern] of this.#patterns.entries())
      if (!found.has(at) && pattern.path.matches(path)) found.add(at);
    return found;
  }
}

/** @param file what it is called in messages. @throws TsboxError `dockerfile_invalid` */
export function readIgnore(text: string, file = ".dockerignore"): Ignore {
  const patterns = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .map((line, at) => ({ line: at + 1, text: line.startsWith("#") ? "" : line.trim() }));
  return ignoreOf(
    patterns.filter((pattern) => pattern.text !== ""),
    (line) => `${file}:${line}`,
  );
}

/** Of `--exclude`. @throws TsboxError `dockerfile_invalid` */
export function excluding(patterns: readonly string[]): Ignore {
  return ignoreOf(
    patterns.map((text, line) => ({ text: text.trim(), line })),
    () => "--exclude",
  );
}

function ignoreOf(patterns: readonly { text: string; line: number }[], place: (line: number) => string): Ignore {
  if (patterns.length > MOST_PATTERNS)
    throw new TsboxError(`${place(MOST_PATTERNS)}: more than ${MOST_PATTERNS} patterns`, {
      code: "dockerfile_invalid",
    });
  return new Ignore(
    patterns.flatMap(({ text, line }) => {
      try {
        const isException = text.startsWith("!");
        const written = isException ? text.slice(1).trim() : text;
        const path = cleanPath(written);
        if (isException && (path === "" || (path === "." && written.startsWith("/"))))
          throw new SyntaxError("an exception from nothing");
        if (path === "") return [];
        compilePath(path); // what is wrong with it is told with its line
        return [isException ? `!${path}` : path];
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        throw new TsboxError(`${place(line)}: pattern ${show(text)}: ${error.message}`, {
          code: "dockerfile_invalid",
        });
      }
    }),
  );
}

/** As Go's `filepath.Clean`, and relative: `/a/../b/` is `b`. */
export function cleanPath(path: string): string {
  if (path === "") return "";
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && (path.startsWith("/") || (parts.length > 0 && parts.at(-1) !== ".."))) parts.pop();
    else parts.push(part);
  }
  return parts.length === 0 ? "." : parts.join("/");
}
