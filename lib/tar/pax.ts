/**
 * Extended headers of POSIX tar: records of `LENGTH KEY=VALUE\n`, the length in digits and of the whole record.
 * @module
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
 */
import { refused } from "./blocks.ts";

export type PaxRecords = Map<string, string>;

/** What is looked at; anything else could fill memory. */
const KNOWN = new Set(["path", "linkpath", "size", "uid", "gid", "mtime"]);
const [SPACE, EQUALS, NEWLINE] = [0x20, 0x3d, 0x0a];
const MAX_DIGITS = 8;

/** @throws TsboxError `archive_refused` */
export function readPax(bytes: Uint8Array): PaxRecords {
  const records: PaxRecords = new Map();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(SPACE, at);
    const digits = space < 0 || space - at > MAX_DIGITS ? "" : text(bytes.subarray(at, space));
    const end = at + Number(digits);
    const equals = bytes.indexOf(EQUALS, space);
    if (!/^[1-9]\d*$/.test(digits) || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== NEWLINE)
      throw refused("a malformed extended header");
    const key = new TextDecoder().decode(bytes.subarray(space + 1, equals));
    if (key.startsWith("GNU.sparse.")) throw refused("a sparse file");
    if (KNOWN.has(key)) records.set(key, text(bytes.subarray(equals + 1, end - 1)));
    at = end;
  }
  return records;
}

/** @throws TsboxError `archive_refused` where it is not UTF-8 */
export function text(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refused("a name that is not UTF-8");
  }
}

export function writePax(records: Iterable<[key: string, value: Uint8Array]>): Uint8Array {
  const parts: number[] = [];
  for (const [key, value] of records) {
    const rest = new TextEncoder().encode(` ${key}=`);
    // the length counts its own digits
    let length = rest.length + value.length + 1;
    while (String(length).length + rest.length + value.length + 1 !== length)
      length = String(length).length + rest.length + value.length + 1;
    parts.push(...new TextEncoder().encode(String(length)), ...rest, ...value, NEWLINE);
  }
  return Uint8Array.from(parts);
}
