/** Decoders run to their end over input in pieces. @module */
import type { FormatError, Inflate, Zstd } from "../../wasm/index.ts";

/** All output, copied out as it comes. @param sizes of the pieces, by turns */
export function decode(decoder: Inflate | Zstd, input: Uint8Array, sizes = [input.length || 1]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < input.length; turn++) {
    const end = at + (sizes[turn % sizes.length] as number);
    for (const part of decoder.push(input.subarray(at, end))) parts.push(part.slice());
    at = end;
  }
  for (const part of decoder.end()) parts.push(part.slice());
  return Buffer.concat(parts);
}

/** The decoder's number for what is wrong with the input, or its output. */
export function outcome(decoder: Inflate | Zstd, input: Uint8Array, sizes?: number[]): number | Uint8Array {
  decoder.reset();
  try {
    return decode(decoder, input, sizes);
  } catch (error) {
    const { status, offset, name } = error as FormatError;
    if (name !== "FormatError" || offset < 0 || offset > input.length) throw error;
    return status;
  }
}

/** Bits as deflate has them, from the lowest of each byte on. */
export class Bits {
  readonly #bits: number[] = [];

  /** A number, its lowest bit first. */
  number(value: number, count: number): this {
    for (let bit = 0; bit < count; bit++) this.#bits.push((value >> bit) & 1);
    return this;
  }

  /** A code, as a text of its bits in the order of the stream. */
  code(text: string): this {
    for (const bit of text.replaceAll(" ", "")) this.#bits.push(Number(bit));
    return this;
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.#bits.length / 8));
    this.#bits.forEach((bit, at) => (bytes[at >> 3]! |= bit << (at & 7)));
    return bytes;
  }
}

/** Bytes of several kinds: text, noise, runs, short periods, far repetitions. */
export function mixed(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  const random = (below: number) => ((state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8) % below;
  for (let at = 0; at < length;) {
    const count = Math.min(length - at, 1 + random(400));
    const kind = random(5);
    const distance = 1 + random(kind === 1 ? 9 : Math.max(1, Math.min(at, 40_000)));
    for (let index = 0; index < count; index++, at++) {
      if (kind > 2 || at < distance) bytes[at] = kind === 3 ? 97 + random(20) : random(256);
      else bytes[at] = bytes[at - distance] as number;
    }
  }
  return bytes;
}
