/** A stream of bytes, taken in pieces of the size that is asked for. @module */
import { TsboxError } from "../../syscalls/index.ts";

export const refused = (message: string, hint?: string): TsboxError =>
  new TsboxError(`read the archive: ${message}`, { code: "archive_refused", ...(hint === undefined ? {} : { hint }) });

export class Bytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk = new Uint8Array() as Uint8Array;

  constructor(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#source = (async function* () {
      yield* source;
    })();
  }

  /** So many bytes; undefined at the end of the stream. @throws TsboxError `archive_refused` where it ends within them */
  async take(length: number): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(length);
    let filled = 0;
    for await (const part of this.parts(length, true)) {
      bytes.set(part, filled);
      filled += part.length;
    }
    if (filled === length) return bytes;
    if (filled === 0) return undefined;
    throw refused("it ends in the middle");
  }

  /** So many bytes, as they come. @throws TsboxError `archive_refused` where the stream ends before */
  async *parts(length: number, mayEnd = false): AsyncGenerator<Uint8Array, void> {
    for (let left = length; left > 0;) {
      if (this.#chunk.length === 0) {
        const next = await this.#source.next();
        if (next.done && mayEnd) return;
        if (next.done) throw refused("it ends in the middle");
        this.#chunk = next.value;
        continue;
      }
      const part = this.#chunk.subarray(0, left);
      this.#chunk = this.#chunk.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async skip(length: number): Promise<void> {
    for await (const _ of this.parts(length));
  }
}
