/**
 * Entries of a tar archive, as the bytes come: POSIX ustar and pax, GNU tar's long names, base-256 numbers and sparse
 * files, and what was there before. Archives may be hostile: every length is bounded, and what is not understood is
 * refused.
 * @module
 * @see https://www.gnu.org/software/tar/manual/html_node/Standard.html
 */
import {
  BAD_SIZE,
  END_BLOCK,
  GID,
  HEADER,
  HeaderScanner,
  LINK_LENGTH,
  MAJOR,
  MINOR,
  MODE,
  MTIME,
  NAME_LENGTH,
  PREFIX_LENGTH,
  SIZE,
  TYPE,
  UID,
} from "./headers.ts";
import { ascii, readPax, type PaxRecords } from "./pax.ts";
import { oldSparse, parseMap, readMap, sparseMap } from "./sparse.ts";
import { FormatError } from "./status.ts";
import type { TarRecord, TarSegment, TarTime, TarType } from "./tar-entry.ts";

/** What is found in an archive: an entry, then the bytes of a file, each piece with its place in the file. */
export type TarPiece =
  | { readonly entry: TarRecord; readonly bytes?: undefined; readonly offset?: undefined }
  | { readonly entry?: undefined; readonly bytes: Uint8Array; readonly offset: number };

const TYPES: Record<string, TarType> = {
  "\0": "file",
  "0": "file",
  "7": "file", // contiguous
  S: "file", // sparse, as GNU tar had it
  "1": "hard link",
  "2": "symlink",
  "3": "character device",
  "4": "block device",
  "5": "directory",
  "6": "fifo",
};
const BLOCK_BYTES = 512;
/** Of one extended header or long name. */
const MAX_EXTENSION_BYTES = 1024 * 1024;
/** Extended headers in front of one entry. */
const MAX_EXTENSIONS = 8;
/** Of what counts for all entries that follow, each of which has all of it. */
const [MAX_GLOBAL_RECORDS, MAX_GLOBAL_BYTES] = [64, 64 * 1024];

type State = "header" | "extension" | "old map" | "map" | "data" | "padding" | "end";

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const padding = (size: number): number => (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;

/**
 * Takes an archive in pieces of any size, and tells what is in them. Headers are read where they lie if `headers` is
 * that of a decoder whose views are pushed; file contents are views of what was pushed.
 *
 * @example
 * ```ts
 * const zstd = new Zstd();
 * const tar = new TarReader(zstd.headers);
 * const take = (parts: Iterable<Uint8Array>) => {
 *   for (const part of parts) for (const { entry } of tar.push(part)) if (entry) console.log(entry.name, entry.size);
 * };
 * take(zstd.push(layer));
 * take(zstd.end());
 * tar.end();
 * ```
 */
export class TarReader {
  readonly #headers: HeaderScanner;
  readonly #global: PaxRecords = new Map();
  #own: PaxRecords = new Map();
  #extensions = 0;
  #state: State = "header";
  /** Bytes that are left of what the state names. */
  #left = 0;
  #padding = 0;
  #flag = "";
  #held = new Uint8Array(BLOCK_BYTES) as Uint8Array;
  #heldBytes = 0;
  #offset = 0;
  #entry: TarRecord | undefined;
  #segments: TarSegment[] = [];
  /** Where the next byte of data belongs. */
  #segment = 0;
  #place = 0;
  /** Bytes of the entry in the archive, its map of 1.0 included; lines of the map that are missing. */
  #stored = 0;
  #linesLeft = 0;

  constructor(headers: HeaderScanner = new HeaderScanner()) {
    this.#headers = headers;
  }

  /** What is in the next bytes. To be iterated to its end. @throws FormatError */
  *push(chunk: Uint8Array): Generator<TarPiece, void> {
    if (!(chunk instanceof Uint8Array)) throw new TypeError("read the archive: a piece that is no Uint8Array");
    for (let at = 0; at < chunk.length && this.#state !== "end";) {
      const there = chunk.length - at;
      if (this.#state === "data") {
        const count = Math.min(there, this.#dataBytes());
        yield { bytes: chunk.subarray(at, at + count), offset: this.#place };
        at += this.#advance(count);
        this.#place += count;
        if (this.#left === 0) this.#pad();
      } else if (this.#state === "padding") {
        at += this.#advance(Math.min(there, this.#left));
        if (this.#left === 0) this.#state = "header";
      } else if (this.#state === "header" && this.#heldBytes === 0 && there >= BLOCK_BYTES) {
        this.#offset += BLOCK_BYTES;
        at += BLOCK_BYTES;
        this.#header(chunk, at - BLOCK_BYTES);
      } else {
        at += this.#hold(chunk, at);
        if (this.#left === 0) this.#complete();
      }
      if (this.#entry && (this.#state === "data" || this.#state === "padding" || this.#state === "header")) {
        const entry = this.#entry;
        this.#entry = undefined;
        yield { entry };
      }
    }
  }

  /** Bytes of the archive up to here: when an entry is given out, its content begins there. */
  get offset(): number {
    return this.#offset;
  }

  /** Whether the archive is over: what comes now is padding. */
  get isEnded(): boolean {
    return this.#state === "end";
  }

  /** No more bytes. @throws FormatError where the archive is not complete */
  end(): void {
    if (this.#state === "end") return;
    if (this.#state !== "header" || this.#heldBytes > 0) throw this.#refused("it ends in the middle");
    if (this.#extensions > 0) throw this.#refused("it ends behind an extended header");
  }

  #refused(why: string): FormatError {
    return new FormatError("read the archive", this.#offset, 0, why);
  }

  #advance(count: number): number {
    this.#offset += count;
    this.#left -= count;
    return count;
  }

  /** Data up to the end of the segment. */
  #dataBytes(): number {
    if (this.#segments.length === 0) return this.#left;
    for (;;) {
      const segment = this.#segments[this.#segment] as TarSegment;
      const rest = segment.offset + segment.sizeBytes - this.#place;
      if (rest > 0) return Math.min(rest, this.#left);
      this.#place = this.#segments[++this.#segment]?.offset ?? 0;
    }
  }

  #pad(): void {
    this.#left = this.#padding;
    this.#state = this.#left > 0 ? "padding" : "header";
  }

  /** Collects what has to be seen as a whole; `left` says how much is missing then. */
  #hold(chunk: Uint8Array, at: number): number {
    if (this.#state === "header" && this.#heldBytes === 0) this.#left = BLOCK_BYTES;
    const part = chunk.subarray(at, at + this.#left);
    if (this.#held.length < this.#heldBytes + part.length) {
      const larger = new Uint8Array(Math.max(this.#held.length * 2, this.#heldBytes + part.length));
      larger.set(this.#held);
      this.#held = larger;
    }
    this.#held.set(part, this.#heldBytes);
    this.#heldBytes += part.length;
    return this.#advance(part.length);
  }

  #complete(): void {
    if (this.#state === "map" && this.#wantsMore()) {
      this.#left = BLOCK_BYTES;
      return;
    }
    const held = this.#held.slice(0, this.#heldBytes);
    this.#heldBytes = 0;
    if (this.#state === "header") this.#header(held, 0);
    else if (this.#state === "extension") this.#extension(held);
    else if (this.#state === "old map") this.#oldMap(held);
    else this.#map(held);
  }

  #header(bytes: Uint8Array, at: number): void {
    const found = this.#headers.scan(bytes, at);
    if (found === END_BLOCK) {
      if (this.#extensions > 0) throw this.#refused("it ends behind an extended header");
      this.#state = "end";
      return;
    }
    const record = this.#headers.record;
    const text = (from: number, length: number) => bytes.subarray(at + from, at + from + length);
    if (found === BAD_SIZE)
      throw this.#refused(`${JSON.stringify(utf8.decode(beforeNul(text(0, 100))))} has a malformed size`);
    if (found !== HEADER) throw this.#refused(`not a tar header${compressed(bytes, at)}`);
    const size = record[SIZE] as number;
    if (!Number.isSafeInteger(size)) throw this.#refused("a malformed size");
    this.#flag = String.fromCharCode(record[TYPE] as number);
    if ("xgLK".includes(this.#flag)) {
      if (++this.#extensions > MAX_EXTENSIONS) throw this.#refused("too many extended headers in front of one entry");
      if (size > MAX_EXTENSION_BYTES) throw this.#refused(`an extended header of ${size} bytes`);
      this.#left = size;
      this.#padding = padding(size);
      this.#state = "extension";
      if (size === 0) this.#complete();
      return;
    }
    const prefix = text(345, record[PREFIX_LENGTH] as number);
    const name = text(0, record[NAME_LENGTH] as number);
    this.#begin(
      this.#own.get("path") ?? this.#global.get("path"),
      prefix.length === 0 ? name : joined(prefix, name),
      text(157, record[LINK_LENGTH] as number),
      record,
    );
    if (this.#flag === "S") this.#beginOldMap(text(0, BLOCK_BYTES));
  }

  #extension(content: Uint8Array): void {
    if (this.#flag === "L" || this.#flag === "K") {
      this.#own.set(this.#flag === "L" ? "path" : "linkpath", beforeNul(content));
    } else {
      const records = readPax(content);
      if (!records) throw this.#refused("a malformed extended header");
      const into = this.#flag === "g" ? this.#global : this.#own;
      for (const [key, value] of records) into.set(key, value);
      if (into === this.#global) this.#checkGlobal();
    }
    this.#pad();
  }

  #checkGlobal(): void {
    let bytes = 0;
    for (const [key, value] of this.#global) bytes += key.length + value.length;
    if (this.#global.size > MAX_GLOBAL_RECORDS || bytes > MAX_GLOBAL_BYTES)
      throw this.#refused("too much in its global headers");
  }

  /** An entry of the header and the records in front of it, and what comes behind it. */
  #begin(path: Uint8Array | undefined, headerName: Uint8Array, headerLink: Uint8Array, record: Float64Array): void {
    const records = this.#global.size === 0 ? this.#own : new Map([...this.#global, ...this.#own]);
    const chosen = records.get("GNU.sparse.name") ?? path;
    const [name, nameBytes] = decoded(chosen?.length ? chosen : headerName);
    const link = records.get("linkpath");
    const [linkName, linkNameBytes] = decoded(link?.length ? link : headerLink);
    if (name.includes("\0") || linkName.includes("\0")) throw this.#refused("a name with a NUL byte in it");
    const known = TYPES[this.#flag];
    if (known === undefined)
      throw this.#refused(`${JSON.stringify(name)} is of the type ${JSON.stringify(this.#flag)}`);
    // before there were directories
    const type = this.#flag === "\0" && name.endsWith("/") ? "directory" : known;
    const size = this.#number(records, "size", record[SIZE] as number);
    if (size < 0 || !Number.isSafeInteger(size)) throw this.#refused(`${JSON.stringify(name)} has a malformed size`);
    const entry: TarRecord = {
      name,
      type,
      linkName,
      mode: (record[MODE] as number) & 0o7777,
      uid: this.#id(records, "uid", record[UID] as number),
      gid: this.#id(records, "gid", record[GID] as number),
      size: type === "file" ? size : 0,
      mtime: this.#time(records, "mtime") ?? { seconds: record[MTIME] as number, nanoseconds: 0 },
      major: record[MAJOR] as number,
      minor: record[MINOR] as number,
    };
    if (nameBytes) entry.nameBytes = nameBytes;
    if (linkNameBytes) entry.linkNameBytes = linkNameBytes;
    if (records.size > 0) this.#extras(entry, records);
    if (this.#own.size > 0) this.#own = new Map();
    this.#extensions = 0;
    this.#entry = entry;
    this.#segments = [];
    this.#segment = this.#place = 0;
    this.#left = entry.size;
    this.#padding = padding(entry.size);
    this.#state = "data";
    if (records.size > 0 && type === "file") this.#sparse(entry, records);
    if (this.#state === "data") this.#startData();
  }

  #startData(): void {
    this.#place = this.#segments[0]?.offset ?? 0;
    if (this.#left === 0) this.#pad();
  }

  #extras(entry: TarRecord, records: PaxRecords): void {
    const [atime, ctime] = [this.#time(records, "atime"), this.#time(records, "ctime")];
    if (atime) entry.atime = atime;
    if (ctime) entry.ctime = ctime;
    for (const [key, value] of records)
      if (key.startsWith("SCHILY.xattr.")) (entry.xattrs ??= new Map()).set(key.slice("SCHILY.xattr.".length), value);
  }

  #sparse(entry: TarRecord, records: PaxRecords): void {
    const found = sparseMap(records);
    if (found === undefined) return;
    if (found === "malformed") throw this.#badMap(entry);
    entry.size = found.size;
    if (found.map) return this.#setSegments(entry, found.map);
    // the map is at the beginning of the data, in whole blocks
    this.#state = "map";
    this.#heldBytes = 0;
    this.#stored = this.#left;
    this.#left = BLOCK_BYTES;
  }

  /** Whether the map goes on behind the block that is held last: `readMap` is for the whole of it. */
  #wantsMore(): boolean {
    const held = this.#held.subarray(0, this.#heldBytes);
    if (held.length === BLOCK_BYTES) this.#linesLeft = 1 + 2 * Number(/^\d{1,9}\n/.exec(ascii(held))?.[0] ?? 0);
    for (const byte of held.subarray(-BLOCK_BYTES)) if (byte === 0x0a) this.#linesLeft--;
    return this.#linesLeft > 0 && held.length < Math.min(this.#stored, MAX_EXTENSION_BYTES);
  }

  #map(held: Uint8Array): void {
    const entry = this.#entry as TarRecord;
    const map = held.length > this.#stored ? undefined : readMap(held);
    if (!map) throw this.#badMap(entry);
    this.#left = this.#stored - held.length;
    this.#state = "data";
    this.#setSegments(entry, map);
    this.#startData();
  }

  #badMap({ name }: TarRecord): FormatError {
    return this.#refused(`${JSON.stringify(name)} has a malformed map of its holes`);
  }

  #beginOldMap(header: Uint8Array): void {
    const entry = this.#entry as TarRecord;
    const { segments, size, hasMore } = oldSparse(header, 386, 4, 482);
    if (!segments || size === undefined) throw this.#badMap(entry);
    this.#stored = entry.size;
    entry.size = size;
    this.#segments = segments;
    if (hasMore) {
      this.#state = "old map";
      this.#left = BLOCK_BYTES;
    } else this.#endOldMap(entry);
  }

  #oldMap(block: Uint8Array): void {
    const entry = this.#entry as TarRecord;
    const { segments, hasMore } = oldSparse(block, 0, 21, 504);
    this.#segments.push(...(segments ?? []));
    if (!segments || this.#segments.length * 24 > MAX_EXTENSION_BYTES) throw this.#badMap(entry);
    this.#left = BLOCK_BYTES;
    if (!hasMore) this.#endOldMap(entry);
  }

  #endOldMap(entry: TarRecord): void {
    this.#left = this.#stored;
    this.#state = "data";
    this.#setSegments(entry, this.#segments);
    this.#startData();
  }

  /** Segments that are in order, within the file, and as long as the data. */
  #setSegments(entry: TarRecord, segments: TarSegment[]): void {
    const checked = parseMap(segments, entry.size, this.#left);
    if (!checked) throw this.#badMap(entry);
    this.#segments = checked;
    entry.segments = checked;
  }

  #number(records: PaxRecords, key: string, otherwise: number): number {
    const bytes = records.get(key);
    if (bytes === undefined || bytes.length === 0) return otherwise;
    const value = ascii(bytes);
    if (!/^-?\d{1,15}$/.test(value)) throw this.#refused(`a malformed ${key} in an extended header`);
    return Number(value);
  }

  /** An id that no kernel has is the header's business to avoid. */
  #id(records: PaxRecords, key: string, otherwise: number): number {
    const id = this.#number(records, key, otherwise);
    if (id < 0 || id > 0xffffffff) throw this.#refused(`a malformed ${key}`);
    return id;
  }

  #time(records: PaxRecords, key: string): TarTime | undefined {
    const bytes = records.get(key);
    if (bytes === undefined || bytes.length === 0) return undefined;
    const [, sign, whole = "", fraction = ""] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(ascii(bytes)) ?? [];
    if (sign === undefined) throw this.#refused(`a malformed ${key} in an extended header`);
    const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
    if (sign === "") return { seconds: Number(whole), nanoseconds };
    // the fraction counts from the second below
    return nanoseconds === 0
      ? { seconds: -Number(whole), nanoseconds }
      : { seconds: -Number(whole) - 1, nanoseconds: 1e9 - nanoseconds };
  }
}

function beforeNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.slice(0, end);
}

function joined(prefix: Uint8Array, name: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(prefix.length + 1 + name.length);
  bytes.set(prefix);
  bytes[prefix.length] = 0x2f;
  bytes.set(name, prefix.length + 1);
  return bytes;
}

/** A name, and its bytes where it cannot be told as text. */
function decoded(bytes: Uint8Array): [name: string, bytes?: Uint8Array] {
  try {
    return [strict.decode(bytes)];
  } catch {
    return [utf8.decode(bytes), bytes.slice()];
  }
}

function compressed(bytes: Uint8Array, at: number): string {
  const starts = (...magic: number[]) => magic.every((byte, index) => bytes[at + index] === byte);
  if (starts(0x1f, 0x8b)) return ", but gzip";
  return starts(0x28, 0xb5, 0x2f, 0xfd) ? ", but zstd" : "";
}
