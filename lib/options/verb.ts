/** The options of a verb, each of its kind. @module */
import { show } from "../../syscalls/index.ts";
import { checkKeys, checkObject, invalid } from "./check.ts";

const isText = (value: unknown): value is string => typeof value === "string";
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);
const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

const KINDS = {
  text: { is: isText, hint: "a string" },
  texts: { is: isTexts, hint: "an array of strings" },
  flag: { is: (value) => typeof value === "boolean", hint: "true or false" },
  number: { is: (value) => typeof value === "number" && !Number.isNaN(value), hint: "a number" },
  object: { is: isObject, hint: "an object" },
  objects: { is: (value) => Array.isArray(value) && value.every(isObject), hint: "an array of objects" },
  words: {
    is: (value) => isObject(value) && !Array.isArray(value) && Object.values(value).every(isText),
    hint: 'names and values: { tier: "web" }',
  },
  signal: { is: (value) => value instanceof AbortSignal, hint: "an AbortSignal" },
  callback: { is: (value) => typeof value === "function", hint: "a function" },
  moment: { is: (value) => isText(value) || value instanceof Date, hint: 'a Date, or a string: "24h"' },
  duration: { is: (value) => isText(value) || typeof value === "number", hint: '"2s", or milliseconds' },
  time: {
    is: (value) => Number.isInteger(value) || typeof value === "bigint",
    hint: "milliseconds since 1970, or nanoseconds as a bigint",
  },
  /** Looked at by whoever uses it. */
  any: { is: () => true, hint: "" },
} satisfies Record<string, { is: (value: unknown) => boolean; hint: string }>;

/** Filters are alike for all verbs that have them. */
export type Kind = keyof typeof KINDS | "filters";

/**
 * @param known each that there is: none is forgotten
 * @throws TsboxError `invalid_option`
 */
export function checkOptions<Options extends object>(
  verb: string,
  options: Options,
  known: Readonly<Record<keyof Options, Kind>>,
): void {
  checkObject(`options of ${verb}`, options);
  checkKeys("option", options, Object.keys(known), verb);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const kind: Kind = known[name as keyof Options];
    if (kind === "filters") checkFilters(value);
    else if (!KINDS[kind].is(value))
      throw invalid(`use the option ${show(name)} ${show(value)} of ${verb}: not understood`, KINDS[kind].hint);
  }
}

function checkFilters(filters: unknown): void {
  checkObject("filters", filters, '{ label: ["tier=web"] }');
  for (const [name, values] of Object.entries(filters as object))
    if (!isTexts(values))
      throw invalid(`use the filter ${show(name)} ${show(values)}: not an array of strings`, '{ label: ["tier=web"] }');
}
