/**
 * Patterns of `.dockerignore`: `*` and `?` within a name, `[…]`, a backslash before what means itself, `**` over any
 * number of directories. A matcher of our own, whose time is bounded by the lengths of pattern and path.
 * @module
 * @see https://pkg.go.dev/github.com/moby/patternmatcher
 */

type Token =
  | { kind: "letter"; letter: string }
  | { kind: "one" } // but no "/"
  | { kind: "class"; isNegated: boolean; ranges: [from: string, to: string][] }
  | { kind: "name" } // any number of letters without "/"
  | { kind: "directories" } // nothing, or anything that ends with "/"
  | { kind: "all" };

export interface PathPattern {
  matches(path: string): boolean;
  /** Something below this directory may match. */
  reachesBelow(directory: string): boolean;
}

/** Most patterns are names, whole directories, or the end of a path: those need no machine. @throws SyntaxError */
export function compilePath(pattern: string): PathPattern {
  const tokens = tokensOf(pattern);
  const machine = new Machine(tokens);
  const reachesBelow = (directory: string) => machine.run(`${directory}/`).size > 0;
  const [start, ...rest] = tokens;
  const end = tokens.at(-1);
  const isPlain = (part: readonly Token[]) => part.every(({ kind }) => kind === "letter");
  const isEscaped = pattern.includes("\\");
  if (!isEscaped && isPlain(tokens)) return { matches: (path) => path === pattern, reachesBelow };
  if (!isEscaped && end?.kind === "all" && isPlain(tokens.slice(0, -1))) {
    const prefix = pattern.replace(/\*\*\/?$/, "");
    return { matches: (path) => path.startsWith(prefix), reachesBelow };
  }
  // `**x` is also the end of a name, `**/x` only a whole one
  if (!isEscaped && start?.kind === "directories" && isPlain(rest)) {
    const suffix = pattern.slice(2);
    const matches = (path: string) => path.endsWith(suffix) || (suffix.startsWith("/") && path === suffix.slice(1));
    return { matches, reachesBelow: () => true };
  }
  return { matches: (path) => machine.run(path).has(tokens.length), reachesBelow };
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const letters = Array.from(pattern);
  for (let at = 0; at < letters.length; at++) {
    const letter = letters[at] as string;
    if (letter === "*" && letters[at + 1] === "*") {
      at += letters[at + 2] === "/" ? 2 : 1;
      tokens.push({ kind: at + 1 >= letters.length ? "all" : "directories" });
    } else if (letter === "*") tokens.push({ kind: "name" });
    else if (letter === "?") tokens.push({ kind: "one" });
    else if (letter === "[") at = readClass(letters, at + 1, tokens);
    else if (letter !== "\\") tokens.push({ kind: "letter", letter });
    else {
      const next = letters[++at];
      if (next === undefined) throw new SyntaxError("a \\ that escapes nothing");
      tokens.push({ kind: "letter", letter: next });
    }
  }
  return tokens;
}

/** `[a-z]`, `[^a\]]`. @returns where its `]` stands */
function readClass(letters: readonly string[], start: number, tokens: Token[]): number {
  const isNegated = letters[start] === "^";
  const ranges: [string, string][] = [];
  let at = isNegated ? start + 1 : start;
  const one = () => {
    if (letters[at] === "\\") at++;
    const letter = letters[at++];
    if (letter === undefined) throw new SyntaxError("a [ that does not end");
    return letter;
  };
  while (letters[at] !== "]" || ranges.length === 0) {
    if (letters[at] === "]" || letters[at] === "-")
      throw new SyntaxError("a [ that nothing follows, or a - that stands first");
    const from = one();
    if (letters[at] !== "-") ranges.push([from, from]);
    else {
      at++;
      if (letters[at] === "]" || letters[at] === "-") throw new SyntaxError("a range in [ ] that does not end");
      const to = one();
      if (to < from) throw new SyntaxError(`the range ${from}-${to} is empty`);
      ranges.push([from, to]);
    }
  }
  tokens.push({ kind: "class", isNegated, ranges });
  return at;
}

/**
 * All ways through the pattern at once. A state says how many tokens have been matched; one below 0 (`~token`), that
 * the `**` there has begun to match, and so ends with a "/".
 */
class Machine {
  readonly #tokens: readonly Token[];

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** @returns how many tokens may have been matched once all of `path` has been */
  run(path: string): ReadonlySet<number> {
    let states = this.#reached(new Set([0]));
    for (const letter of path) {
      const next = new Set<number>();
      for (const state of states) {
        const at = state < 0 ? ~state : state;
        const token = this.#tokens[at];
        if (token) this.#step(token, at, letter, next);
      }
      if (next.size === 0) return next;
      states = this.#reached(next);
    }
    return states;
  }

  #step(token: Token, state: number, letter: string, next: Set<number>): void {
    switch (token.kind) {
      case "letter":
        return void (token.letter === letter && next.add(state + 1));
      case "one":
        return void (letter !== "/" && next.add(state + 1));
      case "class":
        return void (isIn(token.ranges, letter) !== token.isNegated && next.add(state + 1));
      case "name":
        return void (letter !== "/" && next.add(state));
      case "all":
        return void next.add(state);
      case "directories":
        if (letter === "/") next.add(state + 1);
        next.add(~state);
    }
  }

  /** With what is reached by matching nothing. */
  #reached(states: Set<number>): Set<number> {
    for (const state of states) {
      const kind = this.#tokens[state]?.kind;
      if (kind === "name" || kind === "all" || kind === "directories") states.add(state + 1);
    }
    return states;
  }
}

const isIn = (ranges: readonly [from: string, to: string][], letter: string) =>
  ranges.some(([from, to]) => from <= letter && letter <= to);
