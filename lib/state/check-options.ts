/** Options of what is kept, checked: one that is misspelt would be none, and more be removed than was meant. @module */
import { show, TsboxError } from "../../syscalls/index.ts";

const invalid = (message: string, hint: string) => new TsboxError(message, { code: "invalid_option", hint });

/**
 * @param what they are of: `"stop"`
 * @param known each that there is
 * @throws TsboxError `invalid_option`
 */
export function checkOptions<Options extends object>(
  what: string,
  options: Options,
  known: Record<keyof Options, true>,
): void {
  const hint = `known: ${Object.keys(known).join(", ")}`;
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw invalid(`use the options of ${what} ${show(options)}: not an object`, hint);
  const unknown = Object.keys(options).find((key) => !Object.hasOwn(known, key));
  if (unknown !== undefined) throw invalid(`use the option ${show(unknown)} of ${what}: unknown`, hint);
  if ("filters" in options) checkFilters(options.filters);
}

function checkFilters(filters: unknown): void {
  if (filters === undefined) return;
  const hint = '{ label: ["tier=web"] }';
  if (typeof filters !== "object" || filters === null || Array.isArray(filters))
    throw invalid(`use the filters ${show(filters)}: not an object`, hint);
  for (const [name, values] of Object.entries(filters))
    if (!Array.isArray(values) || values.some((value) => typeof value !== "string"))
      throw invalid(`use the filter ${show(name)} ${show(values)}: not an array of strings`, hint);
}
