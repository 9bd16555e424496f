/** Patterns for names, `debian*` or `reg/*:v[0-9]`: those of Go's path.Match. @module @see https://pkg.go.dev/path#Match */

/** Of a pattern, one after the other: a character, any but `/`, any number of those, or one of some. */
type Part = "*" | { matches: (character: string) => boolean };

/** Undefined where the pattern is not one. */
export function globOf(pattern: string): ((name: string) => boolean) | undefined {
  const parts: Part[] = [];
  const piece = /\*|\?|\[(\^?)((?:\\[^]|[^\]\\])+)\]|\\([^])|([^\\[])/gy;
  for (let at = 0; at < pattern.length; at = piece.lastIndex) {
    piece.lastIndex = at;
    const [all, not, set, escaped, plain] = piece.exec(pattern) ?? [];
    if (all === undefined) return undefined;
    if (all === "*") parts.push("*");
    else if (all === "?") parts.push({ matches: (character) => character !== "/" });
    else if (set !== undefined) {
      const ranges = rangesOf(set);
      if (!ranges) return undefined;
      const isIn = (character: string) => ranges.some(([low, high]) => character >= low && character <= high);
      parts.push({ matches: (character) => isIn(character) !== (not === "^") });
    } else parts.push({ matches: (character) => character === (escaped ?? plain) });
  }
  return (name) => matches(parts, name);
}

function rangesOf(set: string): [low: string, high: string][] | undefined {
  const ranges: [string, string][] = [];
  const one = "(?:\\\\([^])|([^\\\\-]))";
  const range = new RegExp(`${one}(?:-${one})?`, "gy");
  for (let at = 0; at < set.length; at = range.lastIndex) {
    range.lastIndex = at;
    const match = range.exec(set);
    if (!match) return undefined;
    const low = match[1] ?? match[2] ?? "";
    ranges.push([low, match[3] ?? match[4] ?? low]);
  }
  return ranges;
}

/** A mismatch makes the last `*` one longer, and no other: steps are the product of both lengths at most. */
function matches(parts: readonly Part[], name: string): boolean {
  let [part, at] = [0, 0];
  let star: { part: number; at: number } | undefined;
  while (at < name.length || part < parts.length) {
    const wanted = parts[part];
    if (wanted === "*") star = { part: part++, at };
    else if (wanted !== undefined && at < name.length && wanted.matches(name[at] as string))
      [part, at] = [part + 1, at + 1];
    else if (star && star.at < name.length && name[star.at] !== "/") {
      star = { part: star.part, at: star.at + 1 };
      [part, at] = [star.part + 1, star.at];
    } else return false;
  }
  return true;
}
