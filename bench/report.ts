/** Results as Markdown. @module */
import { median, quantile, type Samples } from "./measure.ts";

/** A figure that the project promises, and whether this run keeps it. */
export interface Bar {
  measure: string;
  /** `"≤ 2.5×"` */
  bar: string;
  measured: string;
  holds: boolean;
}

export function table(head: string[], rows: (string | number)[][]): string {
  const lines = [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Medians, and how many times the median of the first one each is. */
export function timings(results: Samples[], unit = "ms"): string {
  const reference = median(results[0]?.values ?? []);
  return table(
    ["", `median ${unit}`, `p95 ${unit}`, `× ${results[0]?.name}`, "n"],
    results.map(({ name, values }) => [
      name,
      number(median(values)),
      number(quantile(values, 0.95)),
      number(median(values) / reference),
      values.length,
    ]),
  );
}

/** Compares the medians of two contenders. @param limit `{ most: 2.5 }`: 2.5 times as much at most */
export function compare(measure: string, of: Samples, to: Samples, limit: { most: number } | { least: number }): Bar {
  const ratio = median(of.values) / median(to.values);
  const [bar, holds] =
    "most" in limit ? [`≤ ${limit.most}×`, ratio <= limit.most] : [`≥ ${limit.least}×`, ratio >= limit.least];
  return { measure, bar, measured: `${number(ratio)}×`, holds };
}

export function bars(all: Bar[]): string {
  return table(
    ["measure", "bar", "measured", "holds"],
    all.map(({ measure, bar, measured, holds }) => [measure, bar, measured, holds ? "yes" : "**no**"]),
  );
}

/** Three digits that count. */
export const number = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
