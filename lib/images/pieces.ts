/** Archives and layers as bytes that come in pieces: where they come from, how they are compressed. @module */
import type { Compression } from "../image/index.ts";
import { TsboxError, turns } from "../../syscalls/index.ts";
import { FormatError, Inflate, Zstd } from "../../wasm/index.ts";

export type Pieces = AsyncIterable<Uint8Array>;

/** A file by its path, or bytes from anywhere. */
export type ArchiveSource =
  string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array> | { stream(): ReadableStream<Uint8Array> };

const PIECE_BYTES = 1024 * 1024;

/** @throws TsboxError `invalid_option` for what is no source */
export function piecesOf(source: Exclude<ArchiveSource, string>): Pieces {
  if (source instanceof Uint8Array) return iterate([source]);
  if (typeof source === "object" && source !== null) {
    if ("stream" in source && typeof source.stream === "function") return iterate(source.stream());
    if (Symbol.asyncIterator in source || Symbol.iterator in source) return iterate(source as Pieces);
  }
  throw new TsboxError("read an archive: not a source", {
    code: "invalid_option",
    hint: "a path, bytes, a Blob, a ReadableStream, or an iterable of bytes",
  });
}

async function* iterate(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Pieces {
  const turn = turns();
  for await (const piece of source) {
    if (!(piece instanceof Uint8Array))
      throw new TsboxError("read an archive: not bytes", { code: "invalid_option", hint: "pieces of Uint8Array" });
    for (let at = 0; at < piece.length; at += PIECE_BYTES) {
      await turn();
      yield piece.subarray(at, at + PIECE_BYTES);
    }
  }
}

/** Ends at once where it is aborted, also while the next piece does not come. */
export async function* abortable(pieces: Pieces, signal: AbortSignal | undefined): Pieces {
  if (!signal) return yield* pieces;
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {}); // it may be that nobody waits
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const iterator = pieces[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await Promise.race([iterator.next(), aborted.promise]);
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // who waits for a piece that does not come would wait for this, too
    const ended = iterator.return?.();
    if (!signal.aborted) await ended;
    else ended?.catch(() => {});
  }
}

/** What the runtime says of a file, in this library's words. */
export const unreadable = (file: string, error: unknown): unknown => unusable("read", file, error);

function unusable(action: string, file: string, error: unknown): unknown {
  const { code, errno, syscall } = error as { code?: unknown; errno?: unknown; syscall?: unknown };
  if (error instanceof TsboxError || typeof code !== "string" || typeof errno !== "number") return error;
  return new TsboxError(`${action} ${JSON.stringify(file)}: ${code}`, {
    code: code === "ENOENT" ? "file_not_found" : "system",
    errno: Math.abs(errno),
    path: file,
    ...(typeof syscall === "string" ? { syscall } : {}),
    cause: error,
  });
}

/** A part of an open file. Each piece is a view that is good until the next one is asked for. */
export async function* filePieces(fd: number, start: number, end: number, signal?: AbortSignal): Pieces {
  const { readSync } = process.getBuiltinModule("node:fs");
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, Math.max(1, end - start)));
  const turn = turns(signal);
  for (let at = start; at < end;) {
    await turn();
    const length = readSync(fd, buffer, 0, Math.min(buffer.length, end - at), at);
    if (length === 0) throw new TsboxError("read the archive: it was cut short", { code: "image_invalid" });
    yield buffer.subarray(0, length);
    at += length;
  }
}

/** Opens what somebody has named: a pipe waits for its other end, which is not to hold up signals. */
export function openNamed(file: string, flags: "r" | "w", signal?: AbortSignal): Promise<number> {
  const { close, open } = process.getBuiltinModule("node:fs");
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal?.reason as Error);
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    open(file, flags, (error, fd) => {
      signal?.removeEventListener("abort", onAbort);
      if (error) reject(unusable(flags === "r" ? "read" : "write", file, error) as Error);
      else if (signal?.aborted) close(fd);
      else resolve(fd);
    });
  });
}

/** A file's bytes, or those that come from anywhere. */
export async function* sourcePieces(source: ArchiveSource, signal?: AbortSignal): Pieces {
  if (typeof source !== "string") return yield* abortable(piecesOf(source), signal);
  const { closeSync, createReadStream, fstatSync } = process.getBuiltinModule("node:fs");
  const fd = await openNamed(source, "r", signal);
  try {
    const stat = fstatSync(fd);
    if (stat.isFile()) return yield* filePieces(fd, 0, stat.size, signal);
    const stream = createReadStream("", { fd, autoClose: false });
    yield* abortable(piecesOf(stream as AsyncIterable<Uint8Array>), signal);
  } catch (error) {
    throw unreadable(source, error);
  } finally {
    closeSync(fd);
  }
}

const MAGIC: { name: string; bytes: number[]; at?: number }[] = [
  { name: "gzip", bytes: [0x1f, 0x8b] },
  { name: "zstd", bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "xz", bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: "bzip2", bytes: [0x42, 0x5a, 0x68] },
];
const LONGEST_MAGIC = 6;
const isSkippable = (head: Uint8Array) =>
  head.length >= 4 && ((head[0] as number) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;

/** How bytes are compressed, by what they begin with. @throws TsboxError `image_invalid` for what is not read here */
export function compressionOfBytes(head: Uint8Array): Compression {
  if (isSkippable(head)) return "zstd";
  const found = MAGIC.find(({ bytes }) => bytes.every((byte, at) => head[at] === byte))?.name;
  // a tar's name may begin with any letter: "BZh" is one that has to go on with a digit
  if (found === "bzip2" && !(head[3] !== undefined && head[3] >= 0x31 && head[3] <= 0x39)) return "none";
  if (found === "xz" || found === "bzip2")
    throw new TsboxError(`read the archive: it is compressed with ${found}`, {
      code: "image_invalid",
      hint: `pipe it through "${found} -dc"`,
    });
  return (found ?? "none") as Compression;
}

/** Looks at the first bytes, and gives them out again in front of the others. */
export async function sniff(pieces: Pieces): Promise<{ compression: Compression; pieces: Pieces }> {
  const iterator = pieces[Symbol.asyncIterator]();
  let head = new Uint8Array();
  while (head.length < LONGEST_MAGIC) {
    const { done, value } = await iterator.next();
    if (done) break;
    // a copy: the view may not outlive the next piece
    head = head.length === 0 ? value.slice() : Buffer.concat([head, value]);
  }
  try {
    return { compression: compressionOfBytes(head), pieces: rejoined(head, iterator) };
  } catch (error) {
    await iterator.return?.();
    throw error;
  }
}

async function* rejoined(head: Uint8Array, iterator: AsyncIterator<Uint8Array>): Pieces {
  try {
    if (head.length > 0) yield head;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  } finally {
    await iterator.return?.();
  }
}

/** What compressed bytes stand for; views that are good until the next one is asked for. @throws TsboxError `image_invalid` */
export async function* decompress(pieces: Pieces, compression: Compression): Pieces {
  if (compression === "none") return yield* pieces;
  const decoder = compression === "gzip" ? new Inflate() : new Zstd();
  try {
    for await (const piece of pieces) yield* decoder.push(piece);
    yield* decoder.end();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new TsboxError(error.message, { code: "image_invalid", cause: error });
  }
}

/** All of them, where there are not more than so many bytes; undefined otherwise. */
export async function collect(pieces: Pieces, maxBytes: number): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    if ((length += piece.length) > maxBytes) return undefined;
    parts.push(piece.slice());
  }
  return Buffer.concat(parts);
}

/** Tells how many bytes have passed, and leaves turns to others where all are there at once. */
export async function* counted(pieces: Pieces, told: (bytes: number) => void): Pieces {
  const turn = turns();
  let bytes = 0;
  for await (const piece of pieces) {
    yield piece;
    told((bytes += piece.length));
    await turn();
  }
}
