/** Rows in columns, as Go's tabwriter lays them out for Docker. @module */

/** Between two columns at least. */
const GAP = 3;
/** A column at least, with its gap, unless it is said. */
const LEAST = 10;

/**
 * Lines whose cells tabs separate. A cell that ends with a tab belongs to a column, which reaches over all lines that
 * follow each other and have it; the last cell of a line belongs to none.
 */
export function aligned(text: string, least = LEAST): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const widths = lines.map((cells) => cells.map(() => 0));
  const columns = Math.max(...lines.map((cells) => cells.length - 1));
  for (let column = 0; column < columns; column++) {
    for (let first = 0; first < lines.length; first++) {
      let end = first;
      let width = 0;
      while (end < lines.length && (lines[end]?.length ?? 0) - 1 > column) {
        width = Math.max(width, widthOf(lines[end]?.[column] ?? "") + GAP, least);
        end++;
      }
      for (let at = first; at < end; at++) (widths[at] as number[])[column] = width;
      first = Math.max(first, end);
    }
  }
  const line = (cells: string[], at: number) =>
    cells.map((cell, column) => cell + " ".repeat(Math.max(0, (widths[at]?.[column] ?? 0) - widthOf(cell)))).join("");
  return lines.map(line).join("\n");
}

/** Characters that a text takes on a terminal. */
export const widthOf = (text: string): number => Bun.stringWidth(text);
