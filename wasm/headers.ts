/** Tar headers as records of numbers, read where they lie in WebAssembly's memory. @module */
import { FREE_OFFSET, instantiate, type Exports } from "./module.ts";

export const END_BLOCK = 0;
export const HEADER = 1;
export const BAD_SIZE = 3;

/** Places of the numbers in a record. */
export const [MODE, UID, GID, SIZE, MTIME, MAJOR, MINOR, TYPE, NAME_LENGTH, LINK_LENGTH, PREFIX_LENGTH] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
] as const;

const BLOCK_BYTES = 512;

export class HeaderScanner {
  readonly #wasm: Exports;
  readonly #scratch: number;
  #buffer: ArrayBufferLike;
  #record: Float64Array;

  constructor(wasm: Exports = instantiate(FREE_OFFSET)) {
    this.#wasm = wasm;
    this.#scratch = wasm.scratch.value as number;
    this.#buffer = wasm.memory.buffer;
    this.#record = this.#view();
  }

  /** What the last header said, by the places above. */
  get record(): Float64Array {
    if (this.#buffer !== this.#wasm.memory.buffer) this.#record = this.#view();
    return this.#record;
  }

  /** Reads the header that begins at `at`; what is not in the module's memory is copied there. */
  scan(bytes: Uint8Array, at: number): number {
    if (bytes.buffer === this.#wasm.memory.buffer) return this.#wasm.scanHeader(bytes.byteOffset + at);
    new Uint8Array(this.#wasm.memory.buffer, this.#scratch, BLOCK_BYTES).set(bytes.subarray(at, at + BLOCK_BYTES));
    return this.#wasm.scanHeader(this.#scratch);
  }

  #view(): Float64Array {
    this.#buffer = this.#wasm.memory.buffer;
    return new Float64Array(this.#buffer, this.#wasm.record.value as number, PREFIX_LENGTH + 1);
  }
}
