/**
 * Decodes LZMA2, as xz has it. What is put out is kept in a window, to which matches refer; it may be hostile, and every
 * distance and length is compared with what there is.
 * @module
 * @see https://github.com/tukaani-project/xz/blob/master/doc/xz-file-format.txt
 */
import { Malformed, type Input } from "./input.ts";

const [STATES, POSITIONS, LENGTH_STATES] = [12, 16, 4];
const HALF = 1024;
/** So much is put out before the window is moved again. */
const ROOM_BYTES = 256 * 1024;
const MAX_DICTIONARY_BYTES = 1 << 28;
/** More than a chunk comes to. */
const CHUNK_BYTES = 2 ** 21;

/** Probabilities of a tree of so many bits. */
const tree = (bits: number): Uint16Array => new Uint16Array(1 << bits).fill(HALF);
const trees = (count: number, bits: number): Uint16Array[] => Array.from({ length: count }, () => tree(bits));

interface Lengths {
  choice: Uint16Array;
  low: Uint16Array[];
  middle: Uint16Array[];
  high: Uint16Array;
}
const lengths = (): Lengths => ({
  choice: new Uint16Array(2).fill(HALF),
  low: trees(POSITIONS, 3),
  middle: trees(POSITIONS, 3),
  high: tree(8),
});

/** All that is learnt. */
function model(literalBits: number) {
  const probabilities = (count: number) => new Uint16Array(count).fill(HALF);
  return {
    isMatch: probabilities(STATES * POSITIONS),
    isRepeated: probabilities(STATES),
    isRepeated0: probabilities(STATES),
    isRepeated1: probabilities(STATES),
    isRepeated2: probabilities(STATES),
    isRepeated0Long: probabilities(STATES * POSITIONS),
    slots: trees(LENGTH_STATES, 6),
    special: probabilities(128),
    align: tree(4),
    match: lengths(),
    repeated: lengths(),
    literals: probabilities(0x300 << literalBits),
  };
}

/** A range coder over the bytes of a chunk. */
class Range {
  #bytes: Uint8Array = new Uint8Array();
  #at = 0;
  #range = 0;
  #code = 0;

  begin(bytes: Uint8Array): void {
    if (bytes.length < 5 || bytes[0] !== 0) throw new Malformed("a chunk that does not begin as one");
    this.#bytes = bytes;
    this.#at = 5;
    this.#range = 0xffffffff;
    this.#code =
      (((bytes[1] as number) << 24) |
        ((bytes[2] as number) << 16) |
        ((bytes[3] as number) << 8) |
        (bytes[4] as number)) >>>
      0;
  }

  /** Whether all has been used. */
  finish(): boolean {
    this.#normalize();
    return this.#at === this.#bytes.length && this.#code === 0;
  }

  #normalize(): void {
    if (this.#range >= 0x1000000) return;
    if (this.#at >= this.#bytes.length) throw new Malformed("a chunk that is too short");
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | (this.#bytes[this.#at++] as number)) >>> 0;
  }

  bit(probabilities: Uint16Array, index: number): number {
    this.#normalize();
    const probability = probabilities[index] as number;
    const bound = (this.#range >>> 11) * probability;
    if (this.#code < bound) {
      this.#range = bound;
      probabilities[index] = probability + ((2048 - probability) >> 5);
      return 0;
    }
    this.#range -= bound;
    this.#code -= bound;
    probabilities[index] = probability - (probability >> 5);
    return 1;
  }

  /** Bits that are as likely the one as the other. */
  direct(count: number): number {
    let value = 0;
    for (let left = count; left > 0; left--) {
      this.#normalize();
      this.#range >>>= 1;
      const bit = this.#code >= this.#range ? 1 : 0;
      if (bit) this.#code -= this.#range;
      value = value * 2 + bit;
    }
    return value;
  }

  tree(probabilities: Uint16Array, bits: number): number {
    let node = 1;
    for (let left = bits; left > 0; left--) node = (node << 1) | this.bit(probabilities, node);
    return node - (1 << bits);
  }

  /** The lowest bit first; from `offset` on. */
  reverse(probabilities: Uint16Array, offset: number, bits: number): number {
    let [node, value] = [1, 0];
    for (let at = 0; at < bits; at++) {
      const bit = this.bit(probabilities, offset + node);
      node = (node << 1) | bit;
      value |= bit << at;
    }
    return value;
  }

  length({ choice, low, middle, high }: Lengths, position: number): number {
    if (this.bit(choice, 0) === 0) return 2 + this.tree(low[position] as Uint16Array, 3);
    if (this.bit(choice, 1) === 0) return 10 + this.tree(middle[position] as Uint16Array, 3);
    return 18 + this.tree(high, 8);
  }
}

export class Lzma2 {
  readonly #input: Input;
  readonly #range = new Range();
  readonly #window: Uint8Array;
  readonly #dictionaryBytes: number;
  /** Where the next byte goes, where what has not been given out begins, and how many there are that may be meant. */
  #end = 0;
  #given = 0;
  #history = 0;
  #model = model(0);
  #properties = { literalContext: 0, literalPosition: 0, position: 0 };
  #state = 0;
  #distances: [number, number, number, number] = [0, 0, 0, 0];
  #total = 0;

  /** @param dictionaryBytes as the header says; no more than 256 MiB */
  constructor(input: Input, dictionaryBytes: number) {
    if (dictionaryBytes > MAX_DICTIONARY_BYTES) throw new Malformed("it needs a larger window than is allowed");
    this.#input = input;
    this.#dictionaryBytes = Math.max(dictionaryBytes, 4096);
    this.#window = new Uint8Array(this.#dictionaryBytes + ROOM_BYTES + CHUNK_BYTES);
  }

  /** Pieces are good until the next is asked for. */
  *decode(): Generator<Uint8Array, void> {
    const input = this.#input;
    let [needsDictionary, needsProperties] = [true, true];
    for (let control; (control = input.byte()) !== 0;) {
      if (control >= 0xe0 || control === 1) {
        needsDictionary = false;
        this.#history = 0;
        this.#total = 0;
      } else if (needsDictionary) throw new Malformed("it refers to what is before its beginning");
      if (control >= 0x80) {
        const size = ((control & 0x1f) << 16) + input.byte() * 256 + input.byte() + 1;
        const packed = input.byte() * 256 + input.byte() + 1;
        if (control >= 0xc0) {
          this.#setProperties(input.byte());
          needsProperties = false;
        } else if (needsProperties) throw new Malformed("a chunk without properties");
        else if (control >= 0xa0) this.#reset();
        this.#chunk(size, input.bytes(packed));
      } else if (control <= 2) this.#copy(input.byte() * 256 + input.byte() + 1);
      else throw new Malformed("a chunk of an unknown kind");
      yield* this.#give();
    }
  }

  *#give(): Generator<Uint8Array, void> {
    if (this.#end > this.#given) yield this.#window.subarray(this.#given, this.#end);
    const kept = Math.min(this.#history, this.#dictionaryBytes);
    if (this.#end + CHUNK_BYTES > this.#window.length) {
      this.#window.copyWithin(0, this.#end - kept, this.#end);
      this.#end = kept;
    }
    this.#given = this.#end;
  }

  #setProperties(byte: number): void {
    const position = Math.floor(byte / 45);
    const literalPosition = Math.floor((byte % 45) / 9);
    const literalContext = byte % 9;
    if (byte >= 225 || literalContext + literalPosition > 4) throw new Malformed("malformed properties");
    this.#properties = { literalContext, literalPosition, position };
    this.#reset();
  }

  #reset(): void {
    const { literalContext, literalPosition } = this.#properties;
    this.#model = model(literalContext + literalPosition);
    this.#state = 0;
    this.#distances = [0, 0, 0, 0];
  }

  #copy(size: number): void {
    for (let left = size; left > 0;) {
      const part = this.#input.some(left);
      this.#window.set(part, this.#end);
      this.#end += part.length;
      left -= part.length;
    }
    this.#history += size;
    this.#total += size;
  }

  #chunk(size: number, bytes: Uint8Array): void {
    const range = this.#range;
    range.begin(bytes);
    const { position } = this.#properties;
    const mask = (1 << position) - 1;
    const stop = this.#end + size;
    while (this.#end < stop) {
      const at = this.#total & mask;
      const { isMatch } = this.#model;
      if (range.bit(isMatch, this.#state * POSITIONS + at) === 0) this.#literal();
      else this.#match(at, stop);
    }
    if (!range.finish()) throw new Malformed("a chunk that is longer than it says");
  }

  #put(byte: number): void {
    this.#window[this.#end++] = byte;
    this.#history++;
    this.#total++;
  }

  #literal(): void {
    const { literalContext, literalPosition } = this.#properties;
    const range = this.#range;
    const before = this.#history > 0 ? (this.#window[this.#end - 1] as number) : 0;
    const context = ((this.#total & ((1 << literalPosition) - 1)) << literalContext) + (before >> (8 - literalContext));
    const offset = 0x300 * context;
    const { literals } = this.#model;
    let symbol = 1;
    if (this.#state >= 7) {
      let byte = this.#window[this.#end - this.#distances[0] - 1] as number;
      while (symbol < 0x100) {
        const wanted = (byte >> 7) & 1;
        byte <<= 1;
        const bit = range.bit(literals, offset + ((1 + wanted) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (wanted !== bit) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | range.bit(literals, offset + symbol);
    this.#put(symbol & 0xff);
    const state = this.#state;
    this.#state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
  }

  #match(at: number, stop: number): void {
    const [range, all, state] = [this.#range, this.#model, this.#state];
    let length: number;
    if (range.bit(all.isRepeated, state) === 0) {
      length = range.length(all.match, at);
      this.#state = state < 7 ? 7 : 10;
      const [first, second, third] = this.#distances;
      this.#distances = [this.#distance(length), first, second, third];
    } else length = this.#repeated(at);
    const [distance] = this.#distances;
    if (distance >= Math.min(this.#history, this.#dictionaryBytes))
      throw new Malformed("a distance to before the beginning");
    if (this.#end + length > stop) throw new Malformed("a chunk that is longer than it says");
    const window = this.#window;
    for (let left = length; left > 0; left--) {
      window[this.#end] = window[this.#end - distance - 1] as number;
      this.#end++;
    }
    this.#history += length;
    this.#total += length;
  }

  /** One of the last distances, which becomes the first. */
  #repeated(at: number): number {
    const [range, all, state] = [this.#range, this.#model, this.#state];
    if (range.bit(all.isRepeated0, state) === 0) {
      if (range.bit(all.isRepeated0Long, state * POSITIONS + at) === 0) {
        this.#state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      const [first, second, third, fourth] = this.#distances;
      if (range.bit(all.isRepeated1, state) === 0) this.#distances = [second, first, third, fourth];
      else if (range.bit(all.isRepeated2, state) === 0) this.#distances = [third, first, second, fourth];
      else this.#distances = [fourth, first, second, third];
    }
    this.#state = state < 7 ? 8 : 11;
    return range.length(all.repeated, at);
  }

  #distance(length: number): number {
    const [range, { slots, special, align }] = [this.#range, this.#model];
    const slot = range.tree(slots[Math.min(length - 2, LENGTH_STATES - 1)] as Uint16Array, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = (2 | (slot & 1)) * 2 ** bits;
    if (slot < 14) return base + range.reverse(special, base - slot, bits);
    return base + range.direct(bits - 4) * 16 + range.reverse(align, 0, 4);
  }
}
