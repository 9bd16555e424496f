/**
 * Decodes xz: any number of streams and blocks of LZMA2, checksums compared.
 * @module
 * @see https://github.com/tukaani-project/xz/blob/master/doc/xz-file-format.txt
 */
import { Digester, hexOf } from "../../image/index.ts";
import { Input, Malformed } from "./input.ts";
import { Lzma2 } from "./lzma.ts";

export const XZ_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
const LZMA2 = 0x21;
const CHECK_BYTES: Record<number, number> = { 0: 0, 1: 4, 4: 8, 10: 32 };

/** Of bytes, the low bit first: 32 bits of it at a time, as there are no more in a number. */
const CRC32 = tableOf(0xedb88320, 0);
const CRC64 = tableOf(0xd7870f42, 0xc96c5795);

function tableOf(low: number, high: number): { low: Uint32Array; high: Uint32Array } {
  const table = { low: new Uint32Array(256), high: new Uint32Array(256) };
  for (let byte = 0; byte < 256; byte++) {
    let [a, b] = [byte, 0];
    for (let bit = 0; bit < 8; bit++) {
      const odd = a & 1;
      a = (a >>> 1) | (b << 31);
      b >>>= 1;
      if (odd) [a, b] = [a ^ low, b ^ high];
    }
    table.low[byte] = a;
    table.high[byte] = b;
  }
  return table;
}

interface Check {
  update(bytes: Uint8Array): void;
  /** As it is written. */
  digest(): Uint8Array;
}

function checkOf(kind: number): Check {
  if (kind === 0) return { update: () => {}, digest: () => new Uint8Array() };
  if (kind === 10) {
    const digester = new Digester();
    return { update: (bytes) => digester.update(bytes), digest: () => Uint8Array.fromHex(hexOf(digester.digest())) };
  }
  const table = kind === 1 ? CRC32 : CRC64;
  let [low, high] = [0xffffffff, kind === 1 ? 0 : 0xffffffff];
  return {
    update(bytes) {
      for (const byte of bytes) {
        const at = (low ^ byte) & 0xff;
        low = ((low >>> 8) | (high << 24)) ^ (table.low[at] as number);
        high = (high >>> 8) ^ (table.high[at] as number);
      }
    },
    digest() {
      const view = new DataView(new ArrayBuffer(8));
      view.setUint32(0, ~low, true);
      view.setUint32(4, ~high, true);
      return new Uint8Array(view.buffer, 0, CHECK_BYTES[kind]);
    },
  };
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

function crc32(bytes: Uint8Array): Uint8Array {
  const check = checkOf(1);
  check.update(bytes);
  return check.digest();
}

export function* unxz(pieces: Iterable<Uint8Array>): Generator<Uint8Array, void> {
  const input = new Input(pieces);
  for (let isFirst = true; ; isFirst = false) {
    // zeros between streams are padding
    if (!isFirst) {
      let first = 0;
      while (!input.isOver && (first = input.byte()) === 0);
      if (first === 0) return;
      if (first !== XZ_MAGIC[0]) throw new Malformed("something follows its end");
    }
    yield* stream(input, isFirst ? 0 : 1);
  }
}

/** @param skip bytes of the magic number that have been taken */
function* stream(input: Input, skip: number): Generator<Uint8Array, void> {
  const magic = input.bytes(XZ_MAGIC.length - skip);
  if (!isSame(magic, Uint8Array.from(XZ_MAGIC.slice(skip)))) throw new Malformed("it does not begin as xz does");
  const flags = input.bytes(2);
  const [none, kind] = flags as unknown as [number, number];
  if (!isSame(crc32(flags), input.bytes(4))) throw new Malformed("the checksum of the header is wrong");
  if (none !== 0 || CHECK_BYTES[kind] === undefined) throw new Malformed("a checksum of an unknown kind");
  let blocks = 0;
  for (let size; (size = input.byte()) !== 0; blocks++) yield* block(input, size, kind);
  checkIndex(input, blocks);
  const [sum, rest, end] = [input.bytes(4), input.bytes(6), input.bytes(2)];
  if (!isSame(crc32(rest), sum) || !isSame(rest.subarray(4), flags) || end[0] !== 0x59 || end[1] !== 0x5a)
    throw new Malformed("it does not end as xz does");
}

function* block(input: Input, size: number, kind: number): Generator<Uint8Array, void> {
  const header = new Uint8Array(size * 4);
  header[0] = size;
  header.set(input.bytes(header.length - 1), 1);
  if (!isSame(crc32(header), input.bytes(4))) throw new Malformed("the checksum of a block's header is wrong");
  const fields = new Input([header]);
  fields.byte();
  const flags = fields.byte();
  if (flags & 0x3f) throw new Malformed("a filter that is not LZMA2");
  const packed = flags & 0x40 ? number(fields) : undefined;
  const unpacked = flags & 0x80 ? number(fields) : undefined;
  if (number(fields) !== LZMA2 || number(fields) !== 1) throw new Malformed("a filter that is not LZMA2");
  const dictionary = fields.byte();
  if (dictionary > 40) throw new Malformed("malformed properties");
  const begin = input.taken;
  const check = checkOf(kind);
  let length = 0;
  for (const piece of new Lzma2(input, (2 | (dictionary & 1)) * 2 ** ((dictionary >> 1) + 11)).decode()) {
    check.update(piece);
    length += piece.length;
    yield piece;
  }
  const stored = input.taken - begin;
  if ((packed !== undefined && packed !== stored) || (unpacked !== undefined && unpacked !== length))
    throw new Malformed("a block that is not as long as it says");
  skipPadding(input, stored);
  if (!isSame(check.digest(), input.bytes(CHECK_BYTES[kind] as number))) throw new Malformed("the checksum is wrong");
}

function checkIndex(input: Input, blocks: number): void {
  const begin = input.taken - 1;
  if (number(input) !== blocks) throw new Malformed("an index of other blocks");
  // two of each block
  for (let left = 2 * blocks; left > 0; left--) number(input);
  skipPadding(input, input.taken - begin);
  input.bytes(4);
}

function skipPadding(input: Input, length: number): void {
  for (let left = (4 - (length % 4)) % 4; left > 0; left--)
    if (input.byte() !== 0) throw new Malformed("padding that is not zeros");
}

/** Seven bits to a byte, the lowest first. */
function number(input: Input): number {
  let value = 0;
  for (let at = 0; at < 7; at++) {
    const byte = input.byte();
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return value;
  }
  throw new Malformed("a number that is too large");
}
