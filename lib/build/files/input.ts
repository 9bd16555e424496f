/** Bytes that come in pieces, taken as they are needed. @module */

/** What is not as its format has it. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

export class Input {
  readonly #pieces: Iterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array();
  #at = 0;
  /** Bytes that have been taken. */
  taken = 0;

  constructor(pieces: Iterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.iterator]();
  }

  #fill(): boolean {
    while (this.#at === this.#piece.length) {
      const next = this.#pieces.next();
      if (next.done) return false;
      this.#piece = next.value;
      this.#at = 0;
    }
    return true;
  }

  get isOver(): boolean {
    return !this.#fill();
  }

  /** @throws Malformed at the end */
  byte(): number {
    if (this.#at === this.#piece.length && !this.#fill()) throw new Malformed("it ends in the middle");
    this.taken++;
    return this.#piece[this.#at++] as number;
  }

  /** At most so many. */
  some(count: number): Uint8Array {
    if (!this.#fill()) throw new Malformed("it ends in the middle");
    const part = this.#piece.subarray(this.#at, this.#at + count);
    this.#at += part.length;
    this.taken += part.length;
    return part;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let done = 0; done < count;) {
      const part = this.some(count - done);
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }
}
