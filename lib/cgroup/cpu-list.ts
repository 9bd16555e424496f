/** Lists of CPUs and memory nodes, as the kernel writes them: `"0-2,5"`. @see cpuset(7) @module */

/** The kernel has no more of either. */
const MOST = 65_536;

/** Undefined for what is no list. */
export function listOf(text: string): number[] | undefined {
  const found: number[] = [];
  for (const part of text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean)) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === undefined || from > to || to >= MOST) return undefined;
    for (let number = from; number <= to; number++) found.push(number);
  }
  return found.length > 0 ? found : undefined;
}
