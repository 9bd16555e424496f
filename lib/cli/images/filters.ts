/** `--filter KEY=VALUE`, as Docker takes it. @module @see https://docs.docker.com/reference/cli/docker/image/ls/#filter */
import type { ImageFilters } from "../../images/index.ts";
import { invalid } from "../invalid.ts";

const TRUE = new Set(["1", "true"]);
const FALSE = new Set(["0", "false"]);

/** By their keys. @param known undefined: whoever gets them knows. @throws TsboxError `invalid_option` */
export function valuesOf(filters: readonly string[], known?: readonly string[]): Map<string, string[]> {
  const values = new Map<string, string[]>();
  for (const filter of filters) {
    const at = filter.indexOf("=");
    const key = filter.slice(0, Math.max(0, at)).trim().toLowerCase();
    if (at < 0) throw invalid("--filter", filter, "bad format of filter (expected name=value)");
    if (known && !known.includes(key))
      throw invalid("--filter", filter, `invalid filter '${key}'`, `there are ${known.join(", ")}`);
    values.set(key, [...(values.get(key) ?? []), filter.slice(at + 1).trim()]);
  }
  return values;
}

function one(key: string, values: ReadonlyMap<string, string[]>): string | undefined {
  const [value, another] = values.get(key) ?? [];
  if (another !== undefined) throw invalid("--filter", `${key}=${another}`, "given twice");
  return value;
}

/** Of `images`. @throws TsboxError `invalid_option` */
export function imageFilters(filters: readonly string[]): ImageFilters & { reference?: string[] } {
  const values = valuesOf(filters, ["dangling", "label", "reference", "before", "since", "until"]);
  const [label, reference] = [values.get("label"), values.get("reference")];
  const dangling = one("dangling", values);
  const [before, since, until] = [one("before", values), one("since", values), one("until", values)];
  return {
    ...(label ? { label } : {}),
    ...(reference ? { reference } : {}),
    ...(dangling === undefined ? {} : { dangling: truth("dangling", dangling) }),
    ...(before === undefined ? {} : { before }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

export interface PruneFilters {
  until?: string;
  label?: string[];
  /** `label!=`: without it. */
  notLabel?: string[];
}

/** Of `prune`. @throws TsboxError `invalid_option` */
export function pruneFilters(filters: readonly string[]): PruneFilters {
  const values = valuesOf(filters, ["until", "label", "label!"]);
  const until = one("until", values);
  const [label, notLabel] = [values.get("label"), values.get("label!")];
  return {
    ...(until === undefined ? {} : { until }),
    ...(label ? { label } : {}),
    ...(notLabel ? { notLabel } : {}),
  };
}

function truth(key: string, value: string): boolean {
  if (TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw invalid("--filter", `${key}=${value}`, "not understood", "true or false");
}
