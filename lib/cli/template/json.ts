/** JSON, as Go writes it; what a terminal would act on is escaped. @module */
import { entriesOf, isList, isSaid, NO_LIST, NO_MAP, type Value } from "./value.ts";

/** In one line; with `indent` spaces a level, in many. */
export function jsonOf(value: Value, indent = 0, inner = ""): string {
  if (value === null || value === NO_LIST || value === NO_MAP) return "null";
  if (typeof value === "string") return quoted(value);
  if (typeof value !== "object") return String(value);
  const deeper = inner + " ".repeat(indent);
  const items = isList(value)
    ? value.map((each) => jsonOf(each, indent, deeper))
    : entriesOf(value)
        .filter(([name]) => isSaid(value, name))
        .map(([name, each]) => `${quoted(name)}:${indent > 0 ? " " : ""}${jsonOf(each, indent, deeper)}`);
  const [open, close] = isList(value) ? ["[", "]"] : ["{", "}"];
  if (items.length === 0 || indent === 0) return open + items.join(",") + close;
  return `${open}\n${items.map((item) => deeper + item).join(",\n")}\n${inner}${close}`;
}

// DEL, the controls of ISO 8859, and what turns the direction of text around; JSON escapes the others
const quoted = (text: string) =>
  JSON.stringify(text).replaceAll(
    /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
