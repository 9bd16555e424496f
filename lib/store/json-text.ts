/**
 * JSON that is changed in one place as text: what others wrote around it stays as they wrote it, numbers and doubled
 * names included. All of it expects text that `JSON.parse` has taken.
 * @module
 */

/** A part of a text: from its first character to behind its last. */
export interface Span {
  start: number;
  end: number;
}

export interface Member extends Span {
  key: string;
  value: Span;
}

const SPACE = /\s*/y;
const SCALAR = /[^\s,\]}]+/y;
const MARK = /["[\]{}]/g;

function matchEnd(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** A quotation mark ends a string unless an odd number of backslashes stands before it. */
function endOfString(text: string, start: number): number {
  for (let at = start; ;) {
    at = text.indexOf('"', at + 1);
    let backslashes = 0;
    while (text[at - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return at + 1;
  }
}

/** The value that begins at, or behind the space at, a place. */
function valueAt(text: string, at: number): Span {
  const start = matchEnd(SPACE, text, at);
  const first = text[start];
  if (first === '"') return { start, end: endOfString(text, start) };
  if (first !== "{" && first !== "[") return { start, end: matchEnd(SCALAR, text, start) };
  let depth = 0;
  MARK.lastIndex = start;
  for (let found; (found = MARK.exec(text));) {
    const [mark] = found;
    if (mark === '"') MARK.lastIndex = endOfString(text, found.index);
    else depth += mark === "{" || mark === "[" ? 1 : -1;
    if (depth === 0) break;
  }
  return { start, end: MARK.lastIndex };
}

/** The elements of the array at a place. */
export function elementsOf(text: string, { start }: Span): Span[] {
  const elements: Span[] = [];
  for (let at = start + 1; ;) {
    const element = valueAt(text, at);
    if (text[element.start] === "]") return elements;
    elements.push(element);
    at = matchEnd(SPACE, text, element.end);
    if (text[at] !== ",") return elements;
    at++;
  }
}

/** The members of the object at a place, or behind space there. */
export function membersOf(text: string, at = 0): Member[] {
  const members: Member[] = [];
  at = matchEnd(SPACE, text, at) + 1;
  for (;;) {
    const name = valueAt(text, at);
    if (text[name.start] !== '"') return members;
    const value = valueAt(text, text.indexOf(":", name.end) + 1);
    const key = JSON.parse(text.slice(name.start, name.end)) as string;
    members.push({ start: name.start, end: value.end, key, value });
    at = matchEnd(SPACE, text, value.end);
    if (text[at] !== ",") return members;
    at++;
  }
}

/** What counts of members with the same name: the last, for `JSON.parse` and for Go. */
export const memberOf = (text: string, key: string, at = 0): Member | undefined =>
  membersOf(text, at).findLast((member) => member.key === key);

/** An object without the members of a name. */
export function withoutMember(text: string, key: string): string {
  const all = membersOf(text);
  const kept = all.filter((member) => member.key !== key);
  if (kept.length === all.length || all.length === 0) return text;
  const [first, last] = [all[0] as Member, all.at(-1) as Member];
  return (
    text.slice(0, first.start) + kept.map(({ start, end }) => text.slice(start, end)).join(",") + text.slice(last.end)
  );
}
