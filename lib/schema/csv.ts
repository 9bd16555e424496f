/** One line of comma-separated values. @module @see RFC 4180 */

/** `"a,b"` holds a comma, `""` in it a quote. Undefined where a quote is not closed, or is where none may be. */
export function csvFields(text: string): string[] | undefined {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (let more = true; more;) {
    const match = field.exec(text);
    if (!match) return undefined;
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    more = match[3] === ",";
  }
  return fields;
}
