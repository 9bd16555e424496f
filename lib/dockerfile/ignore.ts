/**
 * `.dockerignore`, and `--exclude`: which paths patterns leave out, as Docker reads them. The last pattern that matches
 * a path, or a directory above it, decides.
 * @module
 * @see https://docs.docker.com/build/concepts/context/#dockerignore-files
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import { PathPatterns } from "./path-pattern.ts";

/** Far more than any file has. */
const MOST_PATTERNS = 10_000;

type States = ReturnType<PathPatterns["start"]>;

/** The way to a path: what is matched by it, and the last pattern that matches it or a directory above it. */
interface Reached {
  path: string;
  states: States;
  last: number;
}

export class Ignore {
  readonly #patterns = new PathPatterns();
  readonly #isException: readonly boolean[];
  /** To the directory above the last path: what is asked for next is there mostly. */
  readonly #way: Reached[];

  /** @param patterns clean ones, `!` before exceptions. @throws SyntaxError */
  constructor(patterns: readonly string[]) {
    this.#isException = patterns.map((pattern) => pattern.startsWith("!"));
    for (const [at, pattern] of patterns.entries()) {
      const isException = this.#isException[at] === true;
      this.#patterns.add(isException ? pattern.slice(1) : pattern, at, isException);
    }
    this.#way = [{ path: "", states: this.#patterns.start(), last: -1 }];
  }

  /** @param path relative to the context, without `./` */
  isIgnored(path: string): boolean {
    return this.#decides(this.#reach(path));
  }

  /** Nothing in this directory, itself included, can be in the context: it need not be read. */
  isIgnoredWhole(directory: string): boolean {
    const reached = this.#reach(directory);
    if (!this.#decides(reached)) return false;
    const { states, last } = reached;
    return !this.#patterns.advance(states, "/", last).some(({ lastException }) => lastException > last);
  }

  #decides({ last }: Reached): boolean {
    return last >= 0 && !this.#isException[last];
  }

  #reach(path: string): Reached {
    const way = this.#way;
    while (way.length > 1 && !path.startsWith(`${way.at(-1)?.path}/`)) way.pop();
    for (;;) {
      const above = way.at(-1) as Reached;
      const start = way.length > 1 ? above.path.length + 1 : 0;
      const end = path.indexOf("/", start);
      const reached = this.#below(above, end < 0 ? path : path.slice(0, end), start);
      if (end < 0) return reached;
      way.push(reached);
    }
  }

  #below({ states, last }: Reached, path: string, start: number): Reached {
    const found = this.#patterns.advance(states, path.slice(Math.max(0, start - 1)), last);
    return { path, states: found, last: found.reduce((most, { ends }) => Math.max(most, ends), last) };
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
        new PathPatterns().add(path, 0, isException); // what is wrong with it is told with its line
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
