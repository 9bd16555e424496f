/** Entries as a tar archive: POSIX ustar, with extended headers for what does not fit. @module */
import { TAR_BLOCK_BYTES, writePax, type TarTime, type TarType } from "../../wasm/index.ts";
import { tarScanner } from "./scanner.ts";

export interface TarHeader {
  name: Uint8Array;
  type: TarType;
  linkName?: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeMs: number;
  /** In place of `mtimeMs`, to the nanosecond. */
  modified?: TarTime;
  /** Of a device. */
  major?: number;
  minor?: number;
  xattrs?: Map<string, Uint8Array>;
}

const FLAGS = {
  file: "0",
  "hard link": "1",
  symlink: "2",
  "character device": "3",
  "block device": "4",
  directory: "5",
  fifo: "6",
  pax: "x",
};
const [MAX_NAME_BYTES, MAX_ID, MAX_SIZE] = [100, 0o7777777, 0o77777777777];
const encode = (text: string) => new TextEncoder().encode(text);

/** What comes before an entry's bytes: one block, or several. */
export function tarHeader(header: TarHeader): Uint8Array {
  const { name, linkName = new Uint8Array(), uid, gid, size } = header;
  const records: [string, Uint8Array][] = [];
  if (!fits(name)) records.push(["path", name]);
  if (!fits(linkName)) records.push(["linkpath", linkName]);
  if (uid > MAX_ID) records.push(["uid", encode(String(uid))]);
  if (gid > MAX_ID) records.push(["gid", encode(String(gid))]);
  if (size > MAX_SIZE) records.push(["size", encode(String(size))]);
  const { modified } = header;
  if (modified && (modified.nanoseconds !== 0 || modified.seconds < 0))
    records.push(["mtime", encode(decimal(modified))]);
  for (const [key, value] of header.xattrs ?? []) records.push([`SCHILY.xattr.${key}`, value]);
  const own = block({ ...header, linkName, flag: FLAGS[header.type] });
  if (records.length === 0) return own;
  const pax = writePax(records);
  const none = new Uint8Array();
  const head = { ...header, name: encode("PaxHeader"), linkName: none, mode: 0o644, uid: 0, gid: 0 };
  const extended = block({ ...head, size: pax.length, flag: FLAGS.pax });
  const end = TAR_BLOCK_BYTES + pax.length + tarPadding(pax.length).length;
  const bytes = new Uint8Array(end + TAR_BLOCK_BYTES);
  bytes.set(extended);
  bytes.set(pax, TAR_BLOCK_BYTES);
  bytes.set(own, end);
  return bytes;
}

/** Below 0 the fraction counts away from the second above. */
function decimal({ seconds, nanoseconds }: TarTime): string {
  const isBefore = seconds < 0 && nanoseconds > 0;
  const [whole, fraction] = isBefore ? [-(seconds + 1), 1e9 - nanoseconds] : [Math.abs(seconds), nanoseconds];
  return `${seconds < 0 ? "-" : ""}${whole}.${String(fraction).padStart(9, "0")}`;
}

const fits = (name: Uint8Array): boolean => name.length <= MAX_NAME_BYTES && name.every((byte) => byte < 0x80);

function block(header: TarHeader & { linkName: Uint8Array; flag: string }): Uint8Array {
  const scanner = tarScanner();
  const window = scanner.window.subarray(0, TAR_BLOCK_BYTES);
  window.fill(0);
  window.set(header.name.subarray(0, MAX_NAME_BYTES));
  scanner.putNumber(100, 8, header.mode);
  scanner.putNumber(108, 8, Math.min(header.uid, MAX_ID));
  scanner.putNumber(116, 8, Math.min(header.gid, MAX_ID));
  scanner.putNumber(124, 12, header.size);
  // what no date can tell, and what was before 1970, is 1970
  scanner.putNumber(136, 12, Math.max(0, (header.modified?.seconds ?? Math.floor(header.mtimeMs / 1000)) || 0));
  window.set(encode(header.flag), 156);
  window.set(header.linkName.subarray(0, MAX_NAME_BYTES), 157);
  window.set(encode("ustar\u000000"), 257);
  if (header.major !== undefined) scanner.putNumber(329, 8, header.major);
  if (header.minor !== undefined) scanner.putNumber(337, 8, header.minor);
  scanner.putChecksum(0);
  return window.slice();
}

/** Behind an entry's bytes. */
export const tarPadding = (size: number): Uint8Array =>
  new Uint8Array((TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES);

/** Behind the last entry. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * TAR_BLOCK_BYTES);
