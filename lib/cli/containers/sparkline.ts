/** Small graphs of one line. Pure. @module */

const BARS = "▁▂▃▄▅▆▇█";

/** The last `width` values; the highest bar is the highest of them, or `least` where all are lower. */
export function sparkline(values: readonly number[], width: number, least: number): string {
  const shown = values.slice(-width);
  const most = Math.max(least, ...shown);
  const bar = (value: number) =>
    BARS[Math.min(BARS.length - 1, Math.max(0, Math.round((value / most) * (BARS.length - 1))))];
  return shown.map(bar).join("").padStart(width, " ");
}
