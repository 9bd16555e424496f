/**
 * Entries of a tar archive as bytes: POSIX ustar, with records of an extended header for what does not fit. The same
 * entry is always the same bytes.
 * @module
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
 */
import { writePax } from "./pax.ts";
import type { TarTime, TarType } from "./tar-entry.ts";

export interface TarHeader {
  name: Uint8Array;
  type: TarType;
  linkName?: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
  /** Of the bytes behind the header: 0 but for files. */
  size: number;
  mtime: TarTime;
  /** Of a device. */
  major?: number;
  minor?: number;
  xattrs?: Map<string, Uint8Array>;
}

const BLOCK_BYTES = 512;
const FLAGS: Record<TarType, number> = {
  file: 0x30,
  "hard link": 0x31,
  symlink: 0x32,
  "character device": 0x33,
  "block device": 0x34,
  directory: 0x35,
  fifo: 0x36,
};
const EXTENDED = 0x78;
const [MAX_NAME_BYTES, MAX_PREFIX_BYTES, MAX_ID, MAX_SIZE] = [100, 155, 0o7777777, 0o77777777777];
const SLASH = 0x2f;
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });
const NONE = new Uint8Array();
const MAGIC = encoder.encode("ustar\u000000");

/** The block in front of records: nobody looks at more than its size. */
const extendedBlock = new Uint8Array(BLOCK_BYTES);
fill(extendedBlock, 0, EXTENDED, encoder.encode("PaxHeader"), NONE);
putOctal(extendedBlock, 100, 8, 0o644);
for (const at of [108, 116]) putOctal(extendedBlock, at, 8, 0);
putOctal(extendedBlock, 136, 12, 0);

/** What comes before an entry's bytes: one block, or several. */
export function tarHeader(header: TarHeader): Uint8Array<ArrayBuffer> {
  const { name, linkName = NONE } = header;
  // whoever reads it would stop there
  if (name.includes(0) || linkName.includes(0)) throw new TypeError("write a tar header: a name with a NUL byte");
  const split = splitName(name);
  const records = recordsOf(header, split === undefined);
  const pax = records.length > 0 ? writePax(records) : NONE;
  const paxBytes = pax.length > 0 ? BLOCK_BYTES + pax.length + paddingOf(pax.length) : 0;
  const bytes = new Uint8Array(paxBytes + BLOCK_BYTES);
  if (pax.length > 0) {
    bytes.set(extendedBlock);
    putNumber(bytes, 124, 12, pax.length);
    putChecksum(bytes, 0);
    bytes.set(pax, BLOCK_BYTES);
  }
  const cut = split ?? 0;
  const [at, ownName] = [paxBytes, cut > 0 ? name.subarray(cut) : name];
  fill(bytes, at, FLAGS[header.type], ownName, linkName);
  if (cut > 0) bytes.set(name.subarray(0, cut - 1), at + 345);
  putNumber(bytes, at + 100, 8, header.mode);
  putNumber(bytes, at + 108, 8, Math.min(header.uid, MAX_ID));
  putNumber(bytes, at + 116, 8, Math.min(header.gid, MAX_ID));
  putNumber(bytes, at + 124, 12, header.size);
  // what was before 1970 is so in the records
  putNumber(bytes, at + 136, 12, Math.max(0, header.mtime.seconds));
  if (header.major !== undefined) putNumber(bytes, at + 329, 8, header.major);
  if (header.minor !== undefined) putNumber(bytes, at + 337, 8, header.minor);
  putChecksum(bytes, at);
  return bytes;
}

function recordsOf(header: TarHeader, isLong: boolean): [string, Uint8Array | string][] {
  const { name, linkName, uid, gid, size, mtime, xattrs } = header;
  const records: [string, Uint8Array | string][] = [];
  const isLongLink = linkName !== undefined && !(linkName.length <= MAX_NAME_BYTES && isAscii(linkName));
  if ((isLong && !isText(name)) || (isLongLink && !isText(linkName))) records.push(["hdrcharset", "BINARY"]);
  if (isLong) records.push(["path", name]);
  if (isLongLink) records.push(["linkpath", linkName]);
  if (uid > MAX_ID) records.push(["uid", String(uid)]);
  if (gid > MAX_ID) records.push(["gid", String(gid)]);
  if (size > MAX_SIZE) records.push(["size", String(size)]);
  if (mtime.nanoseconds !== 0 || mtime.seconds < 0) records.push(["mtime", decimal(mtime)]);
  if (xattrs) for (const [key, value] of xattrs) records.push([`SCHILY.xattr.${key}`, value]);
  return records;
}

/** Below 0 the fraction counts away from the second above. */
function decimal({ seconds, nanoseconds }: TarTime): string {
  const isBefore = seconds < 0 && nanoseconds > 0;
  const [whole, fraction] = isBefore ? [-(seconds + 1), 1e9 - nanoseconds] : [Math.abs(seconds), nanoseconds];
  return `${seconds < 0 ? "-" : ""}${whole}${fraction === 0 ? "" : `.${String(fraction).padStart(9, "0")}`}`;
}

function isAscii(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if ((bytes[at] as number) >= 0x80) return false;
  return true;
}

function isText(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Where the name begins that stands in the header, what is before it being the prefix; undefined where it does not fit. */
function splitName(name: Uint8Array): number | undefined {
  if (!isAscii(name)) return undefined;
  if (name.length <= MAX_NAME_BYTES) return 0;
  // the slash at the end of a directory's name is a part of it
  for (let at = name.length - MAX_NAME_BYTES - 1; at < name.length - 1 && at <= MAX_PREFIX_BYTES; at++)
    if (at > 0 && name[at] === SLASH) return at + 1;
  return undefined;
}

function fill(bytes: Uint8Array, at: number, flag: number, name: Uint8Array, linkName: Uint8Array): void {
  bytes.set(name.length > MAX_NAME_BYTES ? name.subarray(0, MAX_NAME_BYTES) : name, at);
  bytes[at + 156] = flag;
  if (linkName.length > 0) bytes.set(linkName.subarray(0, MAX_NAME_BYTES), at + 157);
  bytes.set(MAGIC, at + 257);
}

/** A number of 0 or more: in octal with a NUL at its end, or, where that is too small for it, in base-256, as GNU tar does. */
function putNumber(block: Uint8Array, at: number, length: number, value: number): void {
  if (value < 8 ** (length - 1)) return putOctal(block, at, length, value);
  let rest = value;
  for (let place = at + length - 1; place > at; place--) {
    block[place] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  block[at] = 0x80;
}

function putOctal(block: Uint8Array, at: number, length: number, value: number): void {
  let [rest, place] = [value, at + length - 2];
  for (; rest > 0x7fffffff; rest = Math.floor(rest / 8)) block[place--] = 0x30 | (rest % 8);
  for (let small = rest | 0; place >= at; small >>= 3) block[place--] = 0x30 | (small & 7);
}

/** Six digits, a NUL and a space; the sum counts them as spaces. */
function putChecksum(bytes: Uint8Array, at: number): void {
  let sum = 8 * 0x20;
  for (let place = at; place < at + BLOCK_BYTES; place++) sum += bytes[place] as number;
  putOctal(bytes, at + 148, 7, sum);
  bytes[at + 155] = 0x20;
}

const paddingOf = (size: number): number => (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;

/** Behind an entry's bytes. */
export const tarPadding = (size: number): Uint8Array<ArrayBuffer> => new Uint8Array(paddingOf(size));

/** Behind the last entry. */
export const tarEnd = (): Uint8Array<ArrayBuffer> => new Uint8Array(2 * BLOCK_BYTES);
