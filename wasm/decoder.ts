/**
 * Decompression as the bytes come: gzip, zlib, raw deflate and zstd, with their checksums compared.
 *
 * A decoder has a memory of its own, which is bounded, and used again after `reset`. What it gives out are views of its
 * window there: nothing is copied, and each is good until the next one is asked for.
 *
 *      64 KiB    │ 129 KiB  │ 256 KiB + 64 │ history, then room
 *      tables    │ literals │ input        │ window
 *
 * @module
 */
import { HeaderScanner } from "./headers.ts";
import { FREE_OFFSET, growTo, instantiate, type Exports } from "./module.ts";
import { END, FormatError, MALFORMED, MEMBER, NEED_INPUT, NEED_WINDOW, WINDOW_FULL } from "./status.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

/** Where zstd's literals go. */
export const LITERALS = FREE_OFFSET;
const INPUT = LITERALS + 129 * 1024;
/** More than a block of zstd: input that is there always gets further. */
const INPUT_BYTES = 256 * 1024;
const WINDOW = INPUT + INPUT_BYTES + 1024;
/** Loads and stores may run over by so much. */
const SPARE_BYTES = 1024;
/** What a block of zstd may become behind the end of the window; deflate goes over it by a match at most. */
const LAST_BYTES = 128 * 1024;

/** What gzip and zstd have in common: input that is copied into memory, and a window that slides over the output. */
export abstract class Decoder {
  protected readonly wasm: Exports;
  protected memory: Bytes;
  /** Reads tar headers where they lie in the output. */
  readonly headers: HeaderScanner;
  readonly #action: string;
  #state: "ready" | "busy" | "ended" | "failed" = "ready";
  #inputEnd = INPUT;
  /** Bytes of input before `INPUT`. */
  #inputOffset = 0;
  #outEnd = WINDOW;
  /** Where the output begins that has not been given out, and that has not been summed up. */
  #given = WINDOW;
  #summed = WINDOW;

  protected constructor(action: string) {
    this.#action = action;
    this.wasm = instantiate(WINDOW + SPARE_BYTES);
    this.headers = new HeaderScanner(this.wasm);
    this.memory = this.#view();
  }

  protected abstract start(): void;
  protected abstract step(): number;
  /** So much of the output is kept, as matches may refer to it. */
  protected abstract get historyBytes(): number;
  /** So much can be put out before the history is moved to the front again. */
  protected abstract get roomBytes(): number;
  /** Output that is new. */
  protected sum(_output: Bytes): void {}
  /** The status of a member that is not what it should be, or 0. */
  protected compare(): number {
    return 0;
  }

  /**
   * Takes a piece of any size. What is iterated are views of the decoder's memory, each good until the next one is
   * asked for; they have to be iterated to their end. The last kibibyte of input may stay inside until `end`.
   * @throws FormatError
   */
  push(chunk: Uint8Array): Iterable<Bytes> {
    return this.#begin(chunk, false);
  }

  /** No more input: the rest of the output. @throws FormatError where the input is not complete */
  end(): Iterable<Bytes> {
    return this.#begin(new Uint8Array(), true);
  }

  /** Begins anew, in the same memory. */
  reset(): void {
    this.#state = "ready";
    this.#inputEnd = INPUT;
    this.#inputOffset = 0;
    this.start();
    this.wasm.setInput(INPUT, INPUT, false);
    this.#makeRoom();
  }

  /** Bytes of input that are used up. */
  get offset(): number {
    return this.#inputOffset + this.wasm.inputNext() - INPUT;
  }

  #begin(chunk: Uint8Array, isLast: boolean): Iterable<Bytes> {
    // of other views, elements would be taken for bytes
    if (!(chunk instanceof Uint8Array)) throw new TypeError(`${this.#action}: a piece that is no Uint8Array`);
    if (this.#state === "busy") throw new Error(`${this.#action}: the output of the last piece was not taken`);
    if (this.#state !== "ready") throw new Error(`${this.#action}: it has ${this.#state}`);
    this.#state = "busy";
    return this.#run(chunk, isLast);
  }

  *#run(chunk: Uint8Array, isLast: boolean): Generator<Bytes, void> {
    let taken = this.#feed(chunk, isLast);
    for (;;) {
      const status = this.step();
      const out = this.wasm.outputNext();
      if (MALFORMED[status] !== undefined) this.#fail(status);
      this.sum(this.memory.subarray(this.#summed, out));
      this.#summed = out;
      if (status === MEMBER) {
        const wrong = this.compare();
        if (wrong !== 0) this.#fail(wrong);
      } else if (status === NEED_INPUT && taken < chunk.length) {
        taken += this.#feed(chunk.subarray(taken), isLast);
      } else {
        if (out > this.#given) yield this.memory.subarray(this.#given, out);
        this.#given = out;
        if (status === WINDOW_FULL) this.#slide(out);
        else if (status === NEED_WINDOW) this.#makeRoom();
        else {
          this.#state = status === END ? "ended" : "ready";
          return;
        }
      }
    }
  }

  #fail(status: number): never {
    this.#state = "failed";
    throw new FormatError(this.#action, this.offset, status);
  }

  /** Copies what there is room for behind the input that is not used up. */
  #feed(chunk: Uint8Array, isLast: boolean): number {
    const next = this.wasm.inputNext();
    let start = next;
    if (this.#inputEnd + chunk.length > INPUT + INPUT_BYTES) {
      this.memory.copyWithin(INPUT, next, this.#inputEnd);
      this.#inputOffset += next - INPUT;
      this.#inputEnd -= next - INPUT;
      start = INPUT;
    }
    const part = chunk.subarray(0, INPUT + INPUT_BYTES - this.#inputEnd);
    this.memory.set(part, this.#inputEnd);
    this.#inputEnd += part.length;
    this.wasm.setInput(start, this.#inputEnd, isLast && part.length === chunk.length);
    return part.length;
  }

  /** Moves the history to the front. */
  #slide(out: number): void {
    const kept = Math.min(this.historyBytes, out - WINDOW);
    this.memory.copyWithin(WINDOW, out - kept, out);
    this.#continueAt(WINDOW + kept, Math.max(WINDOW, this.wasm.historyStart() - (out - WINDOW - kept)));
  }

  /** Begins a window without history. */
  #makeRoom(): void {
    this.#outEnd = WINDOW + this.historyBytes + this.roomBytes;
    growTo(this.wasm.memory, this.#outEnd + LAST_BYTES + SPARE_BYTES);
    this.memory = this.#view();
    this.#continueAt(WINDOW, WINDOW);
  }

  #continueAt(out: number, history: number): void {
    this.wasm.setOutput(out, this.#outEnd, history);
    this.#given = this.#summed = out;
  }

  #view(): Bytes {
    return new Uint8Array(this.wasm.memory.buffer as ArrayBuffer);
  }
}
