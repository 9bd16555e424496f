/**
 * Patterns of `${A#…}`, `${A%…}` and `${A/…/…}`: `*` and `?`, without brackets. A matcher of our own, whose time is
 * bounded: expressions of the runtime can be made to take forever.
 * @module
 */
import { show } from "../../syscalls/index.ts";
import { Flaw } from "./flaw.ts";

/** A letter, `?` or `*`. */
type Token = { letter: string } | "one" | "any";

/** Comparisons, for one substitution. */
const MOST_WORK = 4_000_000;
/** Values of values double with each line; nothing that anybody means comes near. */
export const LONGEST = 1 << 20;

/** `value` without what `pattern` matches at its start or end: the shortest piece or the longest. @throws Flaw */
export function trimPattern(value: string, pattern: string, side: "start" | "end", isLongest: boolean): string {
  const turned = <Item>(list: Item[]) => (side === "end" ? list.toReversed() : list);
  const letters = turned(Array.from(value));
  const length = new Matcher(turned(tokensOf(pattern)), letters).lengthAt(0, isLongest);
  return length === undefined ? value : turned(letters.slice(length)).join("");
}

/** `value` with `replacement` in place of the first match, or of all; a match is as long as it can be. @throws Flaw */
export function replacePattern(value: string, pattern: string, replacement: string, isGlobal: boolean): string {
  const letters = Array.from(value);
  const matcher = new Matcher(tokensOf(pattern), letters);
  let replaced = "";
  let done = 0;
  let isAfterMatch = false;
  for (let at = 0; at <= letters.length;) {
    const length = matcher.lengthAt(at, true);
    // nothing is not matched where a match has just ended
    if (length === undefined || (length === 0 && isAfterMatch)) {
      at++;
      isAfterMatch = false;
      continue;
    }
    replaced += letters.slice(done, at).join("") + replacement;
    if (replaced.length > LONGEST) throw new Flaw(`a value is longer than ${LONGEST} characters`);
    done = at + length;
    if (!isGlobal) break;
    isAfterMatch = length > 0;
    at = length > 0 ? done : at + 1;
  }
  return replaced + letters.slice(done).join("");
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const letters = Array.from(pattern);
  for (let at = 0; at < letters.length; at++) {
    const letter = letters[at] as string;
    if (letter === "*") {
      if (tokens.at(-1) !== "any") tokens.push("any");
    } else if (letter === "?") tokens.push("one");
    else if (letter !== "\\") tokens.push({ letter });
    else {
      const next = letters[++at];
      if (next === undefined || !"}/*?\\".includes(next))
        throw new Flaw(`\\${next ?? ""} in the pattern ${show(pattern)} escapes nothing`);
      tokens.push({ letter: next });
    }
  }
  return tokens;
}

class Matcher {
  readonly #tokens: readonly Token[];
  readonly #letters: readonly string[];
  #work = 0;

  constructor(tokens: readonly Token[], letters: readonly string[]) {
    this.#tokens = tokens;
    this.#letters = letters;
  }

  /** How many letters from `start` on match, all tokens at once; undefined: there is no match. */
  lengthAt(start: number, isLongest: boolean): number | undefined {
    // states: how many tokens have been matched
    let states = this.#reached([0]);
    let found: number | undefined;
    for (let at = start; ; at++) {
      if (states.has(this.#tokens.length)) found = at - start;
      const letter = this.#letters[at];
      if ((found !== undefined && !isLongest) || states.size === 0 || letter === undefined) return found;
      this.#work += states.size;
      if (this.#work > MOST_WORK) throw new Flaw("a pattern that takes too long to match");
      const next: number[] = [];
      for (const state of states) {
        const token = this.#tokens[state];
        // "." of the expressions that others use for it is no end of a line
        if (token === "any" ? letter !== "\n" : token === "one" && letter !== "\n")
          next.push(token === "any" ? state : state + 1);
        else if (typeof token === "object" && token.letter === letter) next.push(state + 1);
      }
      states = this.#reached(next);
    }
  }

  /** With what is reached by matching nothing. */
  #reached(states: readonly number[]): Set<number> {
    const reached = new Set<number>();
    for (let state of states) {
      reached.add(state);
      while (this.#tokens[state] === "any") reached.add(++state);
    }
    return reached;
  }
}
