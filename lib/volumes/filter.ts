/** Lists of volumes. @module */
import { invalid } from "../options/index.ts";
import { labelFits } from "../state/index.ts";
import type { VolumeRecord } from "./record.ts";

/** Docker's, each with the values of which one has to fit, and for labels all: `{ dangling: ["true"], label: ["a=b"] }`. */
export type VolumeFilters = Record<string, string[]>;

type Test = (volume: VolumeRecord, value: string, isUsed: () => boolean) => boolean;

const hasLabel: Test = ({ labels }, wanted) => labelFits(labels, wanted);

const TESTS: Record<string, Test> = {
  dangling: (_, value, isUsed) => booleanOf("dangling", value) !== isUsed(),
  driver: ({ driver }, value) => driver === value,
  // a part of it is enough
  name: ({ name }, value) => name.includes(value) || matches(name, value),
  label: hasLabel,
  "label!": (volume, value, isUsed) => !hasLabel(volume, value, isUsed),
};
/** All of their values have to fit. */
const TOGETHER = ["label", "label!", "dangling"];

/** @throws TsboxError `invalid_option` */
export function listed(
  volumes: VolumeRecord[],
  filters: VolumeFilters,
  isUsed: (name: string) => boolean,
): VolumeRecord[] {
  for (const [name, values] of Object.entries(filters)) {
    if (!Object.hasOwn(TESTS, name)) throw invalid(`invalid filter '${name}'`, Object.keys(TESTS).join(", "));
    if (name === "dangling") values.forEach((value) => booleanOf(name, value));
  }
  const fits = (volume: VolumeRecord): boolean =>
    Object.entries(filters).every(([name, values]) => {
      const test = TESTS[name] as Test;
      const one = (value: string) => test(volume, value, () => isUsed(volume.name));
      return values.length === 0 || (TOGETHER.includes(name) ? values.every(one) : values.some(one));
    });
  return volumes.filter(fits).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function booleanOf(name: string, text: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw invalid(`invalid filter '${name}=[${text}]'`, "true or false");
}

function matches(name: string, pattern: string): boolean {
  try {
    return new RegExp(pattern).test(name);
  } catch {
    return false;
  }
}
