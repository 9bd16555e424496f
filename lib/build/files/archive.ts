/**
 * Tar archives that are build contexts, or that ADD unpacks: however they are compressed, which their first bytes say.
 * They may be hostile: what they come to is bounded.
 * @module
 */
import { TsboxError } from "../../../syscalls/index.ts";
import { FormatError, Inflate, TarReader, Zstd, type TarPiece } from "../../../wasm/index.ts";
import { DEFAULT_LIMITS } from "../../layer/index.ts";
import { bunzip2 } from "./bzip2.ts";
import { Malformed } from "./input.ts";
import { unxz, XZ_MAGIC } from "./xz.ts";

type Pieces = Iterable<Uint8Array>;

interface Pushed {
  push(chunk: Uint8Array): Pieces;
  end(): Pieces;
}

function* through(decoder: Pushed, pieces: Pieces): Generator<Uint8Array, void> {
  for (const piece of pieces) yield* decoder.push(piece);
  yield* decoder.end();
}

const FORMATS: { magic: number[]; decode: (pieces: Pieces) => Pieces }[] = [
  { magic: [0x1f, 0x8b], decode: (pieces) => through(new Inflate(), pieces) },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], decode: (pieces) => through(new Zstd(), pieces) },
  { magic: [0x42, 0x5a, 0x68], decode: bunzip2 },
  { magic: XZ_MAGIC, decode: unxz },
];
export const MAGIC_BYTES = XZ_MAGIC.length;

/** Its bytes, as far as they are needed to know what they are; and all of them. */
function peek(pieces: Pieces): { first: Uint8Array; all: Pieces } {
  const iterator = pieces[Symbol.iterator]();
  let first = new Uint8Array();
  for (let next; first.length < MAGIC_BYTES && !(next = iterator.next()).done;)
    first = Uint8Array.from(Buffer.concat([first, next.value]));
  const all = function* () {
    yield first;
    for (let next; !(next = iterator.next()).done;) yield next.value;
  };
  return { first, all: all() };
}

/** @throws TsboxError `archive_refused` */
export function* entriesOf(pieces: Pieces, name: string): Generator<TarPiece, void> {
  const { bytes: limit, entries: maxEntries, ratio, ratioFromBytes } = DEFAULT_LIMITS;
  let [stored, bytes, entries, content] = [0, 0, 0, 0];
  const counted = function* () {
    for (const piece of pieces) {
      stored += piece.length;
      yield piece;
    }
  };
  const refuse = (why: string, cause?: unknown) =>
    new TsboxError(`unpack "${name}": ${why}`, { code: "archive_refused", path: name, cause });
  const reader = new TarReader();
  try {
    const { first, all } = peek(counted());
    const format = FORMATS.find(({ magic }) => magic.every((byte, at) => first[at] === byte));
    for (const part of format?.decode(all) ?? all) {
      bytes += part.length;
      if (bytes > limit || bytes > Math.max(ratioFromBytes, ratio * stored)) throw refuse(`more than ${bytes} bytes`);
      for (const piece of reader.push(part)) {
        if (piece.entry) content += piece.entry.size;
        if (piece.entry && ++entries > maxEntries) throw refuse(`more than ${maxEntries} entries`);
        if (content > limit) throw refuse(`files of more than ${limit} bytes`);
        yield piece;
      }
    }
    reader.end();
  } catch (error) {
    if (error instanceof FormatError || error instanceof Malformed) throw refuse(error.message, error);
    throw error;
  }
}

export const isPacked = (first: Uint8Array): boolean =>
  FORMATS.some(({ magic }) => magic.every((byte, at) => first[at] === byte));

/** What no text begins with. */
export const isBinary = (first: Uint8Array): boolean => first.includes(0) || isPacked(first);

/** The entries of what is an archive, from its first on; undefined for what is none. */
export function entriesIfArchive(pieces: Pieces, name: string): Generator<TarPiece, void> | undefined {
  const entries = entriesOf(pieces, name);
  let first: IteratorResult<TarPiece, void>;
  try {
    first = entries.next();
  } catch (error) {
    if (error instanceof TsboxError && error.code === "archive_refused") return undefined;
    throw error;
  }
  if (first.done) return undefined;
  const { value } = first;
  return (function* () {
    yield value;
    yield* entries;
  })();
}
