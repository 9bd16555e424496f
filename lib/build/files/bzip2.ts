/**
 * Decodes bzip2: any number of streams, checksums compared. Archives may be hostile: every length is bounded by that of
 * a block, which is 900 kB.
 * @module
 * @see https://github.com/dsnet/compress/blob/master/doc/bzip2-format.pdf
 */
import { Input, Malformed } from "./input.ts";

const [BLOCK_HIGH, BLOCK_LOW] = [0x314159, 0x265359];
const [END_HIGH, END_LOW] = [0x177245, 0x385090];
/** Symbols that stand for runs. */
const [RUN_A, RUN_B] = [0, 1];
const GROUP = 50;
const [MAX_CODE_BITS, SHORT_BITS] = [20, 10];
const OUTPUT_BYTES = 64 * 1024;

/** Of bzip2, the high bit first. */
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit++) value = value & 0x80000000 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value >>> 0;
});

class Bits {
  readonly #input: Input;
  #value = 0;
  #count = 0;

  constructor(input: Input) {
    this.#input = input;
  }

  /** At most 24. */
  take(count: number): number {
    while (this.#count < count) {
      this.#value = ((this.#value << 8) | this.#input.byte()) >>> 0;
      this.#count += 8;
    }
    this.#count -= count;
    const bits = (this.#value >>> this.#count) & ((1 << count) - 1);
    this.#value &= (1 << this.#count) - 1;
    return bits;
  }

  /** As many as there are of those that are asked for, in their places; zeros at the end of the input. */
  peek(count: number): number {
    while (this.#count < count && !this.#input.isOver) {
      this.#value = ((this.#value << 8) | this.#input.byte()) >>> 0;
      this.#count += 8;
    }
    const missing = count - this.#count;
    const bits = missing > 0 ? this.#value << missing : this.#value >>> -missing;
    return bits & ((1 << count) - 1);
  }

  /** 32 bits. */
  word(): number {
    return ((this.take(16) << 16) | this.take(16)) >>> 0;
  }

  align(): void {
    this.#count = 0;
    this.#value = 0;
  }
}

/** Codes by their lengths: of each length the first code, and where its symbols are. */
class Codes {
  readonly #limits = new Int32Array(MAX_CODE_BITS + 2).fill(-1);
  readonly #bases = new Int32Array(MAX_CODE_BITS + 2);
  readonly #symbols: Uint16Array;
  /** By the first bits: a symbol, and the length of its code; 0 where that is longer. */
  readonly #short = new Uint16Array(1 << SHORT_BITS);

  constructor(lengths: Uint8Array) {
    const order = Array.from(lengths.keys()).toSorted(
      (a, b) => (lengths[a] as number) - (lengths[b] as number) || a - b,
    );
    this.#symbols = Uint16Array.from(order);
    let [code, at] = [0, 0];
    for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
      this.#bases[bits] = at - code;
      while (at < order.length && lengths[order[at] as number] === bits) {
        if (bits <= SHORT_BITS) {
          const from = code << (SHORT_BITS - bits);
          this.#short.fill(((order[at] as number) << 5) | bits, from, from + (1 << (SHORT_BITS - bits)));
        }
        at++;
        code++;
      }
      this.#limits[bits] = code - 1;
      if (code > 1 << bits) throw new Malformed("code lengths that make no code");
      code <<= 1;
    }
  }

  next(bits: Bits): number {
    const short = this.#short[bits.peek(SHORT_BITS)] as number;
    if (short !== 0) {
      bits.take(short & 31);
      return short >>> 5;
    }
    let code = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length++) {
      code = (code << 1) | bits.take(1);
      if (code > (this.#limits[length] as number)) continue;
      const symbol = this.#symbols[code + (this.#bases[length] as number)];
      if (symbol !== undefined) return symbol;
    }
    throw new Malformed("a code that stands for nothing");
  }
}

export function* bunzip2(pieces: Iterable<Uint8Array>): Generator<Uint8Array, void> {
  const input = new Input(pieces);
  for (let isFirst = true; isFirst || !input.isOver; isFirst = false) {
    const header = String.fromCharCode(input.byte(), input.byte(), input.byte());
    const level = input.byte() - 0x30;
    if (header !== "BZh" || level < 1 || level > 9) throw new Malformed("it does not begin as bzip2 does");
    yield* stream(new Bits(input), level * 100_000);
  }
}

function* stream(bits: Bits, blockBytes: number): Generator<Uint8Array, void> {
  const block = new Block(bits, blockBytes);
  let whole = 0;
  for (;;) {
    const [high, low, sum] = [bits.take(24), bits.take(24), bits.word()];
    if (high === END_HIGH && low === END_LOW) {
      if (sum !== whole) throw new Malformed("the checksum is wrong");
      bits.align();
      return;
    }
    if (high !== BLOCK_HIGH || low !== BLOCK_LOW) throw new Malformed("a block that does not begin as one");
    yield* block.decode(sum);
    whole = (((whole << 1) | (whole >>> 31)) ^ sum) >>> 0;
  }
}

class Block {
  readonly #bits: Bits;
  readonly #bytes: Uint32Array;

  constructor(bits: Bits, blockBytes: number) {
    this.#bits = bits;
    this.#bytes = new Uint32Array(blockBytes);
  }

  *decode(sum: number): Generator<Uint8Array, void> {
    const bits = this.#bits;
    if (bits.take(1) === 1) throw new Malformed("a block that is shuffled");
    const origin = bits.take(24);
    const length = this.#read(symbolsOf(bits));
    if (origin >= length) throw new Malformed("a block that begins behind its end");
    this.#sort(length);
    yield* this.#write(origin, length, sum);
  }

  /** Codes, what was used last first, and runs undone. @returns how many bytes */
  #read(symbols: Uint8Array): number {
    const [codes, selectors] = tablesOf(this.#bits, symbols.length + 2);
    const end = symbols.length + 1;
    const bytes = this.#bytes;
    let [length, run, weight] = [0, 0, 1];
    for (let count = 0; ; count++) {
      const code = codes[selectors[Math.floor(count / GROUP)] as number];
      if (!code) throw new Malformed("a block of more codes than it says");
      const symbol = code.next(this.#bits);
      if (symbol === RUN_A || symbol === RUN_B) {
        run += weight * (symbol + 1);
        weight *= 2;
        if (run > bytes.length) throw new Malformed("a block that is too long");
        continue;
      }
      if (length + run > bytes.length) throw new Malformed("a block that is too long");
      bytes.fill(symbols[0] as number, length, length + run);
      length += run;
      [run, weight] = [0, 1];
      if (symbol === end) return length;
      if (length >= bytes.length) throw new Malformed("a block that is too long");
      const byte = symbols[symbol - 1] as number;
      symbols.copyWithin(1, 0, symbol - 1);
      symbols[0] = byte;
      bytes[length++] = byte;
    }
  }

  /** Burrows and Wheeler's: above each byte, where the next one is. */
  #sort(length: number): void {
    const bytes = this.#bytes;
    const starts = new Uint32Array(257);
    for (let at = 0; at < length; at++) (starts[((bytes[at] as number) & 0xff) + 1] as number)++;
    for (let byte = 0; byte < 256; byte++) (starts[byte + 1] as number) += starts[byte] as number;
    for (let at = 0; at < length; at++) {
      const byte = (bytes[at] as number) & 0xff;
      const place = starts[byte] as number;
      starts[byte] = place + 1;
      bytes[place] = ((bytes[place] as number) & 0xff) | (at << 8);
    }
  }

  /** Four of the same, and how many more. */
  *#write(origin: number, length: number, sum: number): Generator<Uint8Array, void> {
    const bytes = this.#bytes;
    const output = new Uint8Array(OUTPUT_BYTES);
    let [filled, crc, same, last] = [0, 0xffffffff, 0, -1];
    let at = (bytes[origin] as number) >>> 8;
    for (let count = 0; count < length; count++) {
      const word = bytes[at] as number;
      at = word >>> 8;
      const byte = word & 0xff;
      const isCount = same === 4;
      const [value, times] = isCount ? [last, byte] : [byte, 1];
      same = isCount ? 0 : byte === last ? same + 1 : 1;
      last = isCount ? -1 : byte;
      for (let left = times; left > 0; left--) {
        if (filled === output.length) {
          yield output;
          filled = 0;
        }
        output[filled++] = value;
        crc = (crc << 8) ^ (CRC[((crc >>> 24) ^ value) & 0xff] as number);
      }
    }
    if (~crc >>> 0 !== sum) throw new Malformed("the checksum is wrong");
    yield output.subarray(0, filled);
  }
}

/** Which bytes there are in a block. */
function symbolsOf(bits: Bits): Uint8Array {
  const used = bits.take(16);
  const symbols: number[] = [];
  for (let row = 0; row < 16; row++) {
    if (!((used >> (15 - row)) & 1)) continue;
    const there = bits.take(16);
    for (let column = 0; column < 16; column++) if ((there >> (15 - column)) & 1) symbols.push(row * 16 + column);
  }
  if (symbols.length === 0) throw new Malformed("a block without bytes");
  return Uint8Array.from(symbols);
}

function tablesOf(bits: Bits, symbols: number): [codes: Codes[], selectors: Uint8Array] {
  const count = bits.take(3);
  const selectors = new Uint8Array(bits.take(15));
  if (count < 2 || count > 6 || selectors.length === 0) throw new Malformed("a block without codes");
  const recent = [0, 1, 2, 3, 4, 5].slice(0, count);
  for (let at = 0; at < selectors.length; at++) {
    let place = 0;
    while (bits.take(1) === 1) if (++place >= count) throw new Malformed("a code that is not there");
    const [table] = recent.splice(place, 1) as [number];
    recent.unshift(table);
    selectors[at] = table;
  }
  const codes = Array.from({ length: count }, () => {
    const lengths = new Uint8Array(symbols);
    let length = bits.take(5);
    for (let symbol = 0; symbol < symbols; symbol++) {
      for (;;) {
        if (length < 1 || length > MAX_CODE_BITS) throw new Malformed("malformed code lengths");
        if (bits.take(1) === 0) break;
        length += bits.take(1) === 0 ? 1 : -1;
      }
      lengths[symbol] = length;
    }
    return new Codes(lengths);
  });
  return [codes, selectors];
}
