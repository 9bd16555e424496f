/**
 * An archive that holds images, as files by their names in it. It is read where it lies: only headers are looked at
 * before somebody asks for a file. What is compressed, or comes from a stream, is put into a file without a name first.
 *
 * Nothing of it is unpacked, so no name leads anywhere: links are looked up among the archive's own names.
 * @module
 */
import type { Compression } from "../image/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { FormatError, TAR_BLOCK_BYTES, TarReader, type TarRecord } from "../../wasm/index.ts";
import { boundedTar } from "./bounded-tar.ts";
import {
  abortable,
  type ArchiveSource,
  collect,
  compressionOfBytes,
  decompress,
  filePieces,
  openNamed,
  type Pieces,
  piecesOf,
  sniff,
  unreadable,
} from "./pieces.ts";

/** A file, or where a symlink or hard link leads, from the top of the archive; undefined outside. */
type Member = File | { target: string | undefined };
interface File {
  offset: number;
  sizeBytes: number;
}

/** An image has some files for each layer; what has more is made to exhaust. */
const MAX_MEMBERS = 100_000;
const MAX_LINKS = 16;
const HEAD_BYTES = 8;
const ZEROS = new Uint8Array(1024 * 1024);

const invalid = (message: string, hint?: string) =>
  new TsboxError(`read the archive: ${message}`, { code: "image_invalid", ...(hint === undefined ? {} : { hint }) });

export class ImageArchive implements Disposable {
  readonly #fd: number;
  readonly #members: Map<string, Member>;
  readonly #signal: AbortSignal | undefined;

  private constructor(fd: number, members: Map<string, Member>, signal: AbortSignal | undefined) {
    [this.#fd, this.#members, this.#signal] = [fd, members, signal];
  }

  /**
   * @param spool a directory with room for the archive
   * @throws TsboxError `image_invalid`, `file_not_found`
   */
  static async open(source: ArchiveSource, spool: string, signal?: AbortSignal): Promise<ImageArchive> {
    const fd = await openPlain(source, spool, signal);
    try {
      return new ImageArchive(fd, readMembers(fd), signal);
    } catch (error) {
      process.getBuiltinModule("node:fs").closeSync(fd);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    process.getBuiltinModule("node:fs").closeSync(this.#fd);
  }

  /** Where it lies, links followed; undefined where there is none, or a link leads nowhere. */
  #find(name: string): File | undefined {
    let path = inside("", name);
    for (let links = 0; path !== undefined && links < MAX_LINKS; links++) {
      const member = this.#members.get(path);
      if (!member || !("target" in member)) return member;
      path = member.target;
    }
    return undefined;
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  sizeOf(name: string): number {
    return this.#get(name).sizeBytes;
  }

  /** @throws TsboxError `image_invalid` where there is none, or it is longer than that */
  async read(name: string, maxBytes: number): Promise<Uint8Array> {
    const { sizeBytes } = this.#get(name);
    if (sizeBytes > maxBytes) throw invalid(`${JSON.stringify(name)} has ${sizeBytes} bytes`, `${maxBytes} at most`);
    return (await collect(this.pieces(name), maxBytes)) as Uint8Array;
  }

  pieces(name: string, from = 0): Pieces {
    const { offset, sizeBytes } = this.#get(name);
    return filePieces(this.#fd, offset + from, offset + sizeBytes, this.#signal);
  }

  /** Enough to tell how it is compressed. */
  async head(name: string): Promise<Uint8Array> {
    const { offset, sizeBytes } = this.#get(name);
    const end = offset + Math.min(HEAD_BYTES, sizeBytes);
    return (await collect(filePieces(this.#fd, offset, end), HEAD_BYTES)) as Uint8Array;
  }

  #get(name: string): File {
    const member = this.#find(name);
    if (!member) throw invalid(`it has no ${JSON.stringify(name)}`);
    return member;
  }
}

/** A descriptor of a plain tar file that can be read anywhere. */
async function openPlain(source: ArchiveSource, spool: string, signal: AbortSignal | undefined): Promise<number> {
  if (typeof source !== "string") {
    return spoolTo(spool, await sniff(abortable(piecesOf(source), signal)), signal);
  }
  const { closeSync, fstatSync, readSync } = process.getBuiltinModule("node:fs");
  const fd = await openNamed(source, "r", signal);
  let isKept = false;
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw invalid(`${JSON.stringify(source)} is a directory`);
    if (!stat.isFile()) return await spoolFrom(fd, spool, signal);
    const head = new Uint8Array(HEAD_BYTES);
    const compression = compressionOfBytes(head.subarray(0, readSync(fd, head, 0, head.length, 0)));
    isKept = compression === "none";
    return isKept ? fd : await spoolTo(spool, { compression, pieces: filePieces(fd, 0, stat.size, signal) }, signal);
  } finally {
    if (!isKept) closeSync(fd);
  }
}

/** What is no plain file, such as a pipe, cannot be read twice. */
async function spoolFrom(fd: number, spool: string, signal: AbortSignal | undefined): Promise<number> {
  const { createReadStream } = process.getBuiltinModule("node:fs");
  const stream = createReadStream("", { fd, autoClose: false });
  return spoolTo(spool, await sniff(abortable(piecesOf(stream as AsyncIterable<Uint8Array>), signal)), signal);
}

/** A file that nobody else finds, and that is gone when it is closed, or its owner is killed. */
async function spoolTo(
  directory: string,
  { compression, pieces }: { compression: Compression; pieces: Pieces },
  signal: AbortSignal | undefined,
): Promise<number> {
  const { closeSync, mkdirSync, openSync, unlinkSync, writeSync } = process.getBuiltinModule("node:fs");
  mkdirSync(directory, { recursive: true });
  // called as what prune of the store takes for its own
  const file = `${directory}/blob-new-${crypto.randomUUID()}`;
  let fd: number;
  try {
    fd = openSync(file, "wx+", 0o600);
  } catch (error) {
    throw unreadable(file, error);
  }
  try {
    unlinkSync(file);
    let stored = 0;
    const taken = async function* (): Pieces {
      for await (const piece of pieces) {
        stored += piece.length;
        yield piece;
      }
    };
    const bounds = { entries: MAX_MEMBERS, stored: () => stored };
    for await (const piece of boundedTar(decompress(taken(), compression), bounds)) {
      signal?.throwIfAborted();
      for (let at = 0; at < piece.length;) at += writeSync(fd, piece, at);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    const { code, errno = 0 } = error as { code?: string; errno?: number };
    if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
    throw new TsboxError(`keep the archive while it is read: ${code}`, {
      code: "store_unavailable",
      errno: Math.abs(errno),
      syscall: "write",
      cause: error,
    });
  }
}

/** Reads headers; between them it goes on where the next one lies. @throws TsboxError `image_invalid` */
function readMembers(fd: number): Map<string, Member> {
  const { fstatSync, readSync } = process.getBuiltinModule("node:fs");
  const members = new Map<string, Member>();
  const block = new Uint8Array(TAR_BLOCK_BYTES);
  const reader = new TarReader();
  const { size } = fstatSync(fd);
  try {
    for (let at = 0; !reader.isEnded && at < size;) {
      const length = readSync(fd, block, 0, block.length, at);
      at += length;
      const entry = firstEntry(reader, block.subarray(0, length));
      if (!entry) continue;
      if (entry.segments) throw invalid(`${JSON.stringify(entry.name)} is a sparse file`);
      if (members.size >= MAX_MEMBERS) throw invalid(`it has more than ${MAX_MEMBERS} entries`);
      // as if it had been read: of a file that is cut short, this is not all there
      const sizeBytes = entry.type === "file" ? entry.size : 0;
      if (at + sizeBytes > size) throw invalid(`${JSON.stringify(entry.name)} is cut short`);
      keep(members, entry, at, sizeBytes);
      const whole = sizeBytes + ((TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES);
      for (let left = whole; left > 0; left -= ZEROS.length)
        firstEntry(reader, ZEROS.subarray(0, Math.min(left, ZEROS.length)));
      at += whole;
    }
    reader.end();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new TsboxError(error.message, { code: "image_invalid", cause: error });
  }
  return members;
}

/** A block begins one entry at most. */
function firstEntry(reader: TarReader, bytes: Uint8Array): TarRecord | undefined {
  let found: TarRecord | undefined;
  for (const { entry } of reader.push(bytes)) found ??= entry;
  return found;
}

function keep(members: Map<string, Member>, entry: TarRecord, offset: number, sizeBytes: number): void {
  const name = inside("", entry.name);
  if (name === undefined) throw invalid(`${JSON.stringify(entry.name)} leads out of it`);
  if (entry.type === "file") members.set(name, { offset, sizeBytes });
  else if (entry.type === "hard link") members.set(name, { target: inside("", entry.linkName) });
  else if (entry.type === "symlink")
    members.set(name, { target: inside(name.slice(0, Math.max(0, name.lastIndexOf("/"))), entry.linkName) });
}

/** Where a name leads from a directory of the archive, by its words alone; undefined above the top. */
function inside(from: string, name: string): string | undefined {
  const parts = from === "" || name.startsWith("/") ? [] : from.split("/");
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}
