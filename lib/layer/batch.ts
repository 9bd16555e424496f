/**
 * System calls that are made together: their records are written straight into memory, without a plan, and the executor
 * walks them. A tree of files takes thousands of calls, which differ in nothing but their arguments.
 * @module
 */
import {
  HEAD_BYTES,
  mapArena,
  numberOf,
  OP_BYTES,
  runProgram,
  SLOTS_AT,
  unmapArena,
  type SyscallName,
} from "../../syscalls/index.ts";

/** Calls of one batch, and their results. */
export const MAX_CALLS = 480;
const WORDS = OP_BYTES / 4;
const [END, IGNORE] = [-1, 1 << 8];
const HIGH = 2 ** 32;

/** Walks the program at an address, from that op on. */
export type Walk = (address: number, first: number) => number;

export class Batch implements Disposable {
  readonly #arena = mapArena(HEAD_BYTES + (MAX_CALLS + 1) * OP_BYTES);
  readonly #words = new Int32Array(this.#arena.bytes.buffer);
  readonly #walk: Walk;
  #count = 0;

  constructor(walk: Walk = runProgram) {
    this.#walk = walk;
  }

  get isFull(): boolean {
    return this.#count >= MAX_CALLS;
  }

  /**
   * @param slot takes the result, of 1 to 255; 0 where nobody asks for it
   * @param refs bit i: argument i is the number of a slot, whose value counts
   */
  add(call: SyscallName, slot: number, refs: number, a = 0, b = 0, c = 0, d = 0, e = 0): void {
    if (this.#count >= MAX_CALLS) throw new RangeError(`batch: more than ${MAX_CALLS} calls`);
    const words = this.#words;
    const at = HEAD_BYTES / 4 + this.#count++ * WORDS;
    words[at] = numberOf(call);
    words[at + 1] = slot | IGNORE | (refs << 16);
    put(words, at + 4, a);
    put(words, at + 6, b);
    put(words, at + 8, c);
    put(words, at + 10, d);
    put(words, at + 12, e);
    put(words, at + 14, 0);
  }

  /** Makes the calls, each whatever became of the others. */
  run(): void {
    if (this.#count === 0) return;
    this.#words[HEAD_BYTES / 4 + this.#count * WORDS] = END;
    this.#count = 0;
    this.#walk(this.#arena.address, 0);
  }

  /** What a call returned, of those that return less than 2^31; or -errno. */
  result(slot: number): number {
    return this.#words[SLOTS_AT / 4 + slot * 2] as number;
  }

  /** One that may be larger. */
  large(slot: number): number {
    const at = SLOTS_AT / 4 + slot * 2;
    return ((this.#words[at] as number) >>> 0) + (this.#words[at + 1] as number) * HIGH;
  }

  [Symbol.dispose](): void {
    unmapArena(this.#arena);
  }
}

/** A word of 64 bits; an address is below 2^53. */
function put(words: Int32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = Math.floor(value / HIGH);
}
