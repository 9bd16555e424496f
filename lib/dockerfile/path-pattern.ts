/**
 * Patterns of `.dockerignore`: `*` and `?` within a name, `[…]`, a backslash before what means itself, `**` over any
 * number of directories. All of them are one machine, a trie of their tokens, and all ways through it are gone at once:
 * a path takes time that is bounded by its length and theirs, and with usual patterns depends on few of them.
 * @module
 * @see https://pkg.go.dev/github.com/moby/patternmatcher
 */

type Token =
  | { kind: "letter"; letter: string }
  | { kind: "one" } // but no "/"
  | { kind: "class"; text: string; matches: (letter: string) => boolean }
  | { kind: "name" } // any number of letters without "/"
  | { kind: "directories" } // nothing, or anything that ends with "/"
  | { kind: "all" };

const ALL = { kind: "all" } satisfies Token;
const SLASH = { kind: "letter", letter: "/" } satisfies Token;

/** The beginning of patterns, matched. They are told by their numbers; -1 is none. */
class State {
  /** The last one that is matched whole. */
  ends = -1;
  /** The last one that begins so, and the last exception that does. */
  last = -1;
  lastException = -1;
  /** Letters that leave it as it is: of a name, or all. */
  readonly repeats: "name" | "all" | undefined;
  letters: Map<string, State> | undefined;
  classes: Map<string, { matches: (letter: string) => boolean; state: State }> | undefined;
  one: State | undefined;
  /** Reached without a letter. */
  name: State | undefined;
  all: State | undefined;
  below: State | undefined;
  /** The step that it was reached in. */
  step = 0;

  constructor(repeats?: State["repeats"]) {
    this.repeats = repeats;
  }

  after(token: Exclude<Token, { kind: "directories" }>): State {
    switch (token.kind) {
      case "letter":
        return entryOf((this.letters ??= new Map()), token.letter, () => new State());
      case "class": {
        const { text, matches } = token;
        return entryOf((this.classes ??= new Map()), text, () => ({ matches, state: new State() })).state;
      }
      case "one":
        return (this.one ??= new State());
      case "name":
        return (this.name ??= new State("name"));
      case "all":
        return (this.all ??= new State("all"));
    }
  }
}

function entryOf<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

export class PathPatterns {
  readonly #start = new State();
  #steps = 0;

  /** @param number that of no pattern before, and more than theirs. @throws SyntaxError */
  add(pattern: string, number: number, isException: boolean): void {
    const tokens = tokensOf(pattern);
    const passed = (state: State) => {
      state.last = number;
      if (isException) state.lastException = number;
      return state;
    };
    let state = passed(this.#start);
    for (const token of tokens) {
      const before = state;
      if (token.kind !== "directories") state = passed(before.after(token));
      else state = before.below = passed(passed(before.after(ALL)).after(SLASH));
    }
    state.ends = number;
  }

  /** Nothing is matched yet. */
  start(): readonly State[] {
    this.#steps++;
    const states: State[] = [];
    this.#reach(this.#start, states, -1);
    return this.#withEmpty(states, -1);
  }

  /** What is matched with `text` behind it, but for patterns up to one that is known. */
  advance(states: readonly State[], text: string, known: number): readonly State[] {
    let now = states;
    for (const letter of text) {
      if (now.length === 0) break;
      now = this.#withEmpty(this.#next(now, letter, known), known);
    }
    return now;
  }

  #next(states: readonly State[], letter: string, known: number): State[] {
    this.#steps++;
    const found: State[] = [];
    const isSlash = letter === "/";
    for (const state of states) {
      const { repeats, letters, one, classes } = state;
      if (repeats === "all" || (repeats === "name" && !isSlash)) this.#reach(state, found, known);
      if (letters) this.#reach(letters.get(letter), found, known);
      if (!isSlash) this.#reach(one, found, known);
      if (!classes) continue;
      for (const each of classes.values()) if (each.matches(letter)) this.#reach(each.state, found, known);
    }
    return found;
  }

  /** With what is reached without a letter. */
  #withEmpty(states: State[], known: number): State[] {
    for (const { name, all, below } of states) {
      this.#reach(name, states, known);
      this.#reach(all, states, known);
      this.#reach(below, states, known);
    }
    return states;
  }

  /** Each once in a step. */
  #reach(state: State | undefined, states: State[], known: number): void {
    if (state === undefined || state.step === this.#steps || state.last <= known) return;
    state.step = this.#steps;
    states.push(state);
  }
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
  // `**x` is also the end of a name, where nothing else is a pattern
  const [first, ...rest] = tokens;
  const isSuffix = first?.kind === "directories" && pattern[2] !== "/" && !pattern.includes("\\");
  return isSuffix && rest.every(({ kind }) => kind === "letter") ? [ALL, ...rest] : tokens;
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
  const isIn = (letter: string) => ranges.some(([from, to]) => from <= letter && letter <= to);
  const text = letters.slice(start, at).join("");
  tokens.push({ kind: "class", text, matches: (letter) => isIn(letter) !== isNegated });
  return at;
}
