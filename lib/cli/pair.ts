/** Words of the form `KEY=VALUE`. @module */
import { invalid } from "./invalid.ts";

/** Without a value it is empty. @throws TsboxError `invalid_option` */
export function pair(flag: string, words: string): [string, string] {
  const equals = words.indexOf("=");
  if (equals === 0 || words === "") throw invalid(flag, words, "no name", '"KEY=VALUE"');
  return equals < 0 ? [words, ""] : [words.slice(0, equals), words.slice(equals + 1)];
}
