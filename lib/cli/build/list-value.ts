/** Values that are lists: `type=local,dest=out`, `id=key,src=./key`. @module */
import { invalid } from "../invalid.ts";

/**
 * One line of comma-separated values, each a key and its value.
 * @param keys those that are known
 * @throws TsboxError `invalid_option`
 */
export function listValue(flag: string, text: string, keys: readonly string[]): Map<string, string> {
  const given = new Map<string, string>();
  for (const field of fieldsOf(flag, text)) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).trim().toLowerCase();
    if (!keys.includes(key)) throw invalid(flag, text, `${JSON.stringify(key)} is not known`, keys.join(", "));
    if (at < 0) throw invalid(flag, text, `${key} has no value`);
    given.set(key, field.slice(at + 1));
  }
  return given;
}

/** `"a,b"` holds a comma, `""` in it a quote. */
function fieldsOf(flag: string, text: string): string[] {
  const fields: string[] = [];
  for (let rest = text; ;) {
    const field = /^(?:"((?:[^"]|"")*)"|([^",]*))(?=,|$)/s.exec(rest);
    if (!field) throw invalid(flag, text, "a quote is where none may be");
    fields.push(field[1]?.replaceAll('""', '"') ?? (field[2] as string));
    if (field[0].length === rest.length) return fields;
    rest = rest.slice(field[0].length + 1);
  }
}
