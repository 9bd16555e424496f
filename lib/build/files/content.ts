/** Bytes of files that are open: those of many short ones are read by one call of this program. @module */
import { mapArena, systemError, unmapArena } from "../../../syscalls/index.ts";
import type { Looked, Looker } from "../../layer/index.ts";
import { textOf } from "./names.ts";

const BYTES = 4 * 1024 * 1024;
/** Holes in what is shorter are read like anything else. */
const SPARSE_FROM_BYTES = 1024 * 1024;
const [SEEK_DATA, SEEK_HOLE] = [3, 4];

/** Where bytes belong; those between are zeros. Good until the next is asked for. */
export interface Piece {
  bytes: Uint8Array;
  offset: number;
}

const ZEROS = new Uint8Array(65536);

/** All bytes of a file, one after the other. */
export function* withZeros(pieces: Iterable<Piece>, size: number): Generator<Uint8Array, void> {
  let done = 0;
  const zeros = function* (end: number) {
    for (; done < end; done += ZEROS.length) yield ZEROS.subarray(0, Math.min(end - done, ZEROS.length));
    done = end;
  };
  for (const { bytes, offset } of pieces) {
    yield* zeros(offset);
    yield bytes;
    done = offset + bytes.length;
  }
  yield* zeros(size);
}

export class Content implements Disposable {
  readonly #memory = mapArena(BYTES);
  readonly #looker: Looker;

  constructor(looker: Looker) {
    this.#looker = looker;
  }

  [Symbol.dispose](): void {
    unmapArena(this.#memory);
  }

  /** Files, each with its pieces, in their order. Each file's pieces are to be taken before the next file is asked for. */
  *read(files: readonly Looked[]): Generator<{ file: Looked; pieces: Iterable<Piece> }, void> {
    let waiting: Looked[] = [];
    let filled = 0;
    for (const file of files) {
      if (filled + file.size > BYTES) {
        yield* this.#readTogether(waiting);
        waiting = [];
        filled = 0;
      }
      if (file.size > BYTES) yield { file, pieces: this.#long(file) };
      else {
        waiting.push(file);
        filled += file.size;
      }
    }
    yield* this.#readTogether(waiting);
  }

  *#readTogether(files: readonly Looked[]): Generator<{ file: Looked; pieces: Iterable<Piece> }, void> {
    const { batch } = this.#looker;
    let at = 0;
    files.forEach(({ fd, size }, index) => {
      if (size > 0) batch.add("pread64", index + 1, 0, fd, this.#memory.address + at, size, 0);
      at += size;
    });
    batch.run();
    const lengths = files.map(({ size }, index) => (size > 0 ? batch.result(index + 1) : 0));
    at = 0;
    for (const [index, file] of files.entries()) {
      const length = lengths[index] as number;
      if (length < 0) throw this.#failed(file, -length);
      // what it has no more is zeros
      yield { file, pieces: length > 0 ? [{ bytes: this.#memory.bytes.subarray(at, at + length), offset: 0 }] : [] };
      at += file.size;
    }
  }

  *#long(file: Looked): Generator<Piece, void> {
    const { size, allocated } = file;
    const isSparse = allocated < size - SPARSE_FROM_BYTES;
    for (let offset = 0; offset < size;) {
      if (isSparse) offset = this.#edge(file, offset, SEEK_DATA);
      const end = isSparse ? this.#edge(file, offset, SEEK_HOLE) : size;
      while (offset < end) {
        const length = this.#one(file, offset, Math.min(BYTES, end - offset));
        if (length === 0) return;
        yield { bytes: this.#memory.bytes.subarray(0, length), offset };
        offset += length;
      }
      // somebody fills what was a hole, and the other way round
      if (end <= offset && end < size && !isSparse) return;
    }
  }

  #one(file: Looked, offset: number, length: number): number {
    const { batch } = this.#looker;
    batch.add("pread64", 1, 0, file.fd, this.#memory.address, length, offset);
    batch.run();
    const result = batch.result(1);
    if (result < 0) throw this.#failed(file, -result);
    return result;
  }

  /** Where data or a hole begins; the end where there is none more. */
  #edge({ fd, size }: Looked, offset: number, whence: number): number {
    const { batch } = this.#looker;
    batch.add("lseek", 1, 0, fd, offset, whence);
    batch.run();
    const result = batch.large(1);
    return result < 0 ? size : Math.min(size, Math.max(offset, result));
  }

  #failed({ name }: Looked, errno: number): Error {
    return systemError(`read ${JSON.stringify(textOf(name))}`, "pread64", errno);
  }
}
