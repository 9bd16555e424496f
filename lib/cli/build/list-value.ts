/** Values that are lists: `type=local,dest=out`, `id=key,src=./key`. @module */
import { csvFields } from "../../schema/index.ts";
import { invalid } from "../invalid.ts";

/**
 * One line of comma-separated values, each a key and its value.
 * @param keys those that are known
 * @throws TsboxError `invalid_option`
 */
export function listValue(flag: string, text: string, keys: readonly string[]): Map<string, string> {
  const given = new Map<string, string>();
  const fields = csvFields(text);
  if (!fields) throw invalid(flag, text, "a quote is where none may be");
  for (const field of fields) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).trim().toLowerCase();
    if (!keys.includes(key)) throw invalid(flag, text, `${JSON.stringify(key)} is not known`, keys.join(", "));
    if (at < 0) throw invalid(flag, text, `${key} has no value`);
    given.set(key, field.slice(at + 1));
  }
  return given;
}
