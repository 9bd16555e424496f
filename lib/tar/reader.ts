/**
 * Entries of a tar archive from a stream, each with its body. What the bytes mean is `wasm/tar-reader.ts`'s business.
 * @module
 */
import { TsboxError } from "../../syscalls/index.ts";
import { FormatError, TarReader, type TarPiece, type TarRecord, type TarType } from "../../wasm/index.ts";

export type { TarType };

export interface TarEntry extends Omit<TarRecord, "nameBytes" | "linkNameBytes" | "segments"> {
  mtimeMs: number;
  /**
   * The bytes of a file, holes as zeros; to be read before the next entry is asked for. What is not read is skipped.
   */
  body: AsyncIterable<Uint8Array>;
}

type Source = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** A few bytes of archive can stand for any number of zeros: so many of them in an archive, and no more. */
const MAX_HOLE_BYTES = 2 ** 30;
const ZEROS = new Uint8Array(64 * 1024);

const refused = (message: string, hint?: string): TsboxError =>
  new TsboxError(`read the archive: ${message}`, { code: "archive_refused", ...(hint === undefined ? {} : { hint }) });

/** @throws TsboxError `archive_refused` */
export async function* readTar(source: Source): AsyncGenerator<TarEntry, void> {
  const pieces = piecesOf(source);
  let holeBytes = 0;
  let piece = (await pieces.next()).value as TarPiece | undefined;
  const advance = async () => (piece = (await pieces.next()).value as TarPiece | undefined);
  while (piece?.entry) {
    const { nameBytes, linkNameBytes, segments, ...entry }: TarRecord = piece.entry;
    if (nameBytes || linkNameBytes) throw refused("a name that is not UTF-8");
    if (segments) holeBytes += segments.reduce((left, { sizeBytes }) => left - sizeBytes, entry.size);
    if (holeBytes > MAX_HOLE_BYTES) throw refused(`"${entry.name}" has too many holes`, "1 GiB in an archive");
    const body = async function* (): AsyncGenerator<Uint8Array, void> {
      let at = 0;
      while ((await advance()) && piece?.bytes) {
        yield* zeros(piece.offset - at);
        at = piece.offset + piece.bytes.length;
        yield piece.bytes;
      }
      yield* zeros(entry.size - at);
    };
    const current: TarPiece = piece;
    yield { ...entry, mtimeMs: entry.mtime.seconds * 1000 + entry.mtime.nanoseconds / 1e6, body: body() };
    if (piece === current) await advance();
    while (piece?.bytes) await advance();
  }
}

function* zeros(count: number): Generator<Uint8Array, void> {
  for (let left = count; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}

async function* piecesOf(source: Source): AsyncGenerator<TarPiece, void> {
  const reader = new TarReader();
  try {
    for await (const chunk of source) {
      yield* reader.push(chunk);
      if (reader.isEnded) return;
    }
    reader.end();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new TsboxError(error.message, {
      code: "archive_refused",
      cause: error,
      ...(error.message.includes("but gzip")
        ? { hint: 'it is compressed: pipe it through new DecompressionStream("gzip")' }
        : {}),
    });
  }
}
