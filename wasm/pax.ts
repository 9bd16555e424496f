/**
 * Extended headers of POSIX tar: records of `LENGTH KEY=VALUE\n`, the length in digits and of the whole record.
 * @module
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
 */

export type PaxRecords = Map<string, Uint8Array>;

/** What is looked at; anything else could fill memory. */
const KNOWN = /^(path|linkpath|size|uid|gid|uname|gname|[amc]time|SCHILY\.xattr\..+|GNU\.sparse\..+)$/s;
const [SPACE, EQUALS, NEWLINE] = [0x20, 0x3d, 0x0a];
const MAX_DIGITS = 8;
const LINE_END = Uint8Array.of(NEWLINE);

const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder();
export const ascii = (bytes: Uint8Array): string => latin1.decode(bytes);

/** The records; undefined where one is malformed. `GNU.sparse.offset` and `numbytes` come in pairs, and are joined. */
export function readPax(bytes: Uint8Array): PaxRecords | undefined {
  const records: PaxRecords = new Map();
  const map: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(SPACE, at);
    const digits = space < 0 || space - at > MAX_DIGITS ? "" : ascii(bytes.subarray(at, space));
    const end = at + Number(digits);
    const equals = bytes.indexOf(EQUALS, space);
    if (!/^[1-9]\d*$/.test(digits) || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== NEWLINE)
      return undefined;
    const key = utf8.decode(bytes.subarray(space + 1, equals));
    const value = bytes.slice(equals + 1, end - 1);
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") map.push(ascii(value));
    else if (KNOWN.test(key)) records.set(key, value);
    at = end;
  }
  if (map.length > 0) records.set("GNU.sparse.map", new TextEncoder().encode(map.join(",")));
  return records;
}

const encoder = new TextEncoder();

/** @param records text or bytes by their key, which has no `=` in it */
export function writePax(records: Iterable<[key: string, value: Uint8Array | string]>): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let total = 0;
  for (const [key, value] of records) {
    // the length counts its own digits
    const rest = encoder.encode(typeof value === "string" ? ` ${key}=${value}\n` : ` ${key}=`);
    const others = rest.length + (typeof value === "string" ? 0 : value.length + 1);
    let length = others + 1;
    while (String(length).length + others !== length) length = String(length).length + others;
    parts.push(encoder.encode(String(length)), rest);
    if (typeof value !== "string") parts.push(value, LINE_END);
    total += length;
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
