/** Ports that a container exposes: what its image names, and its options. @module */
import type { ContainerConfig } from "../image/index.ts";
import { parseExposed, type PortRange } from "../ip/index.ts";
import type { ContainerOptions } from "./options.ts";

/**
 * Ranges of which none overlaps or touches another, by protocol and number: an image may name all ports a thousand times.
 * What it names that is no port counts for nothing.
 */
export function exposedPorts(
  { expose = [] }: Pick<ContainerOptions, "expose">,
  { ExposedPorts = {} }: ContainerConfig,
): PortRange[] {
  return mergedRanges([...Object.keys(ExposedPorts).flatMap(rangeOrNone), ...expose.map(parseExposed)]);
}

/** Those that touch are one. */
export function mergedRanges(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => compare(a.protocol, b.protocol) || a.first - b.first)) {
    const before = merged.at(-1);
    if (before?.protocol === range.protocol && range.first <= before.last + 1)
      merged[merged.length - 1] = { ...before, last: Math.max(before.last, range.last) };
    else merged.push(range);
  }
  return merged;
}

/** `[8000, 8001]` */
export const portsIn = ({ first, last }: PortRange): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

function rangeOrNone(text: string): PortRange[] {
  try {
    return [parseExposed(text)];
  } catch {
    return [];
  }
}
