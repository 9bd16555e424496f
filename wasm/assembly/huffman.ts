/**
 * Decoding tables for the canonical codes of deflate: what the next bits are is looked up in one load, codes longer
 * than the table is wide in two.
 *
 *      entry   31        16        8        0
 *              L│ value  │E S B  n │ length │     length  bits to drop: those of the code, and extra ones
 *                                                 n       bits of the code alone, and 2 that the loop has below;
 *                                                         of a subtable, its width
 *      L  a literal: value is the byte            E  an exception: one of
 *                                                 S  value is where a subtable begins
 *                                                 B  the end of the block, or, where value is 1, no code
 *
 * @see https://www.rfc-editor.org/rfc/rfc1951
 */
import { CODE_SET, GO } from "./stream";

export const LITERAL: u32 = 0x80000000;
export const EXCEPTION: u32 = 0x8000;
export const SUBTABLE: u32 = 0x4000;
export const END_OF_BLOCK: u32 = EXCEPTION | 0x2000;
const NO_CODE: u32 = END_OF_BLOCK | (1 << 16);
const MAX_BITS: u32 = 15;

const counts: usize = memory.data(16 * 2);
const starts: usize = memory.data(16 * 2);
const sorted: usize = memory.data(320 * 2);

/**
 * Builds a table of `width` bits out of the code lengths, a byte for each of `count` symbols. `results` has an entry
 * for each, with the value and the extra bits. As in zlib, a set that leaves codes unused is refused, unless
 * `mayBeSmall` and it has one code of one bit, or none.
 */
export function buildTable(
  lengths: usize,
  count: u32,
  results: usize,
  table: usize,
  width: u32,
  mayBeSmall: bool,
): i32 {
  memory.fill(counts, 0, 32);
  for (let symbol: u32 = 0; symbol < count; symbol++) {
    const at = counts + (<usize>load<u8>(lengths + symbol) << 1);
    store<u16>(at, load<u16>(at) + 1);
  }
  let longest = MAX_BITS;
  while (longest > 0 && load<u16>(counts + (longest << 1)) == 0) longest--;
  let unused: i32 = 1;
  let start: u32 = 0;
  for (let length: u32 = 1; length <= MAX_BITS; length++) {
    const used: i32 = load<u16>(counts + (length << 1));
    store<u16>(starts + (length << 1), <u16>start);
    start += used;
    unused = (unused << 1) - used;
    if (unused < 0) return CODE_SET;
  }
  if (unused > 0 && !(mayBeSmall && longest <= 1)) return CODE_SET;
  for (let symbol: u32 = 0; symbol < count; symbol++) {
    const length: u32 = load<u8>(lengths + symbol);
    if (length == 0) continue;
    const at = starts + (length << 1);
    const place = load<u16>(at);
    store<u16>(at, place + 1);
    store<u16>(sorted + (<usize>place << 1), <u16>symbol);
  }
  fillTable(results, table, width, longest);
  return GO;
}

/** Codes are counted up with their bits reversed, as the stream has them; each further length doubles the table. */
function fillTable(results: usize, table: usize, width: u32, longest: u32): void {
  let code: u32 = 0;
  let next: usize = sorted;
  store<u32>(table, NO_CODE);
  for (let length: u32 = 1; length <= width; length++) {
    const half: usize = 4 << (length - 1);
    memory.copy(table + half, table, half);
    const mask: u32 = (1 << length) - 1;
    for (let left: u32 = load<u16>(counts + (length << 1)); left > 0; left--) {
      const result = load<u32>(results + (<usize>load<u16>(next) << 2));
      next += 2;
      store<u32>(table + (<usize>code << 2), result + length * 0x101 + 0x200);
      code = following(code, mask);
    }
  }
  const prefixMask: u32 = (1 << width) - 1;
  let prefix: u32 = 0xffffffff;
  let subtable: usize = 0;
  let end: usize = 1 << width; // entries of the table so far
  for (let length = width + 1; length <= longest; length++) {
    const mask: u32 = (1 << length) - 1;
    for (let left: u32 = load<u16>(counts + (length << 1)); left > 0; left--) {
      if ((code & prefixMask) != prefix) {
        prefix = code & prefixMask;
        subtable = end;
        // as wide as the longest code with this prefix
        let bits = length - width;
        let space = left;
        while (space < <u32>1 << bits) space = (space << 1) + load<u16>(counts + ((width + ++bits) << 1));
        end += 1 << bits;
        store<u32>(table + (<usize>prefix << 2), (<u32>subtable << 16) | EXCEPTION | SUBTABLE | (bits << 8) | width);
      }
      const entry = load<u32>(results + (<usize>load<u16>(next) << 2)) + (length - width) * 0x101 + 0x200;
      next += 2;
      const stride: usize = 1 << (length - width);
      for (let at = subtable + (code >> width); at < end; at += stride) store<u32>(table + (at << 2), entry);
      code = following(code, mask);
    }
  }
}

/** The code after this one, both reversed: the highest bit that is 0 becomes 1, those above it 0. */
// @ts-ignore: decorator
@inline
function following(code: u32, mask: u32): u32 {
  if (code == mask) return code;
  const bit: u32 = 0x80000000 >>> clz(code ^ mask);
  return (code & (bit - 1)) | bit;
}
