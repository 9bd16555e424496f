/**
 * The literals of a block of zstd: as they are, a run, or Huffman codes in one stream or four.
 *
 * Codes are at most 11 bits, so one table of 2^11 entries serves for all. Streams are read from their ends. Of the four
 * each gets a register: its next bits from the top down, and a 1 behind the last one, whose place tells how many are
 * used up. They go in step, five codes from each (55 bits), then all are refilled.
 *
 *      entry of 16 bits   15      8       0
 *                         │ byte  │ bits  │
 *
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.3.1
 */
import { accuracy, buildStates, readBytes, readDistribution, symbolCount } from "./fse";
import { GO, HUFFMAN_STREAM, LITERALS, NO_TABLE, WEIGHTS } from "./stream";

const TABLE_BITS: u32 = 11;
const table: usize = memory.data(2048 * 2, 8);
const weights: usize = memory.data(256 + 8, 8);
const ranks: usize = memory.data(16 * 4, 8);
const weightStates: usize = memory.data(64 * 8, 8);
const weightValues: usize = memory.data(256 * 8, 8);
/** Five codes of 11 bits and what the last refill left: at most 62 bits, so a round moves back 7 bytes at most. */
const ROUND_BYTES: i32 = 7;

let hasTable: bool = false;
let treeBytes: usize = 0;
/** Where the literals of the block are, and the end of the section. */
export let literals: usize = 0;
export let literalsEnd: usize = 0;
export let sectionEnd: usize = 0;

export function startLiterals(): void {
  hasTable = false;
  for (let symbol: u32 = 0; symbol < 256; symbol++) store<u64>(weightValues + (symbol << 3), <u64>symbol << 32);
}

/** Reads the section at `at`. What is not there as it is goes to `buffer`. */
export function readLiterals(at: usize, end: usize, buffer: usize, most: u32): i32 {
  if (at >= end) return LITERALS;
  const head = load<u64>(at);
  const type: u32 = <u32>head & 3;
  const form: u32 = <u32>(head >> 2) & 3;
  if (type < 2) return plain(at, end, buffer, most, head, type, form);
  const headBytes: usize = form < 2 ? 3 : form == 2 ? 4 : 5;
  const width: u64 = form < 2 ? 10 : form == 2 ? 14 : 18;
  const mask: u64 = (<u64>1 << width) - 1;
  const size = <u32>((head >> 4) & mask);
  const packed = <u32>((head >> (4 + width)) & mask);
  if (headBytes > end - at || packed > <u32>(end - at - headBytes) || size > most) return LITERALS;
  at += headBytes;
  end = at + packed;
  sectionEnd = end;
  literals = buffer;
  literalsEnd = buffer + size;
  if (type == 2) {
    const status = readTree(at, end);
    if (status != GO) return status;
    at += treeBytes;
  } else if (!hasTable) {
    return NO_TABLE;
  }
  return form == 0 ? stream1(at, end, buffer, buffer + size) : streams4(at, end, buffer, size);
}

function plain(at: usize, end: usize, buffer: usize, most: u32, head: u64, type: u32, form: u32): i32 {
  const headBytes: usize = (form & 1) == 0 ? 1 : form == 1 ? 2 : 3;
  const size: u32 = (form & 1) == 0 ? <u32>(head & 0xff) >> 3 : <u32>(head & (form == 1 ? 0xffff : 0xffffff)) >> 4;
  const stored = type == 0 ? size : 1;
  if (size > most || headBytes > end - at || stored > <u32>(end - at - headBytes)) return LITERALS;
  at += headBytes;
  sectionEnd = at + stored;
  literals = type == 0 ? at : buffer;
  literalsEnd = literals + size;
  if (type == 1) memory.fill(buffer, load<u8>(at), size);
  return GO;
}

/** The weights of all bytes but the last, whose weight follows. `treeBytes` says what it took. */
function readTree(at: usize, end: usize): i32 {
  if (at >= end) return WEIGHTS;
  const head: u32 = load<u8>(at++);
  let count: u32 = head - 127;
  let bytes: u32 = head >= 128 ? (count + 1) >> 1 : head;
  if (bytes > <u32>(end - at)) return WEIGHTS;
  if (head >= 128) {
    for (let index: u32 = 0; index < count; index += 2) {
      const pair = load<u8>(at + (index >> 1));
      store<u8>(weights + index, pair >> 4);
      store<u8>(weights + index, pair & 15, 1);
    }
  } else {
    count = unpackWeights(at, at + bytes);
    if (count == 0) return WEIGHTS;
  }
  treeBytes = bytes + 1;
  return buildTable(count);
}

/** Weights by two states that take turns, to the end of their bits; how many, or 0. */
function unpackWeights(at: usize, end: usize): u32 {
  if (readDistribution(at, end, 255, 6) != GO) return 0;
  buildStates(weightStates, symbolCount, accuracy, weightValues);
  at += readBytes;
  if (at >= end || load<u8>(end - 1) == 0) return 0;
  // unread bits of the stream: those below the highest 1 of its last byte
  let left: i32 = (<i32>(end - at - 1) << 3) + 31 - clz(<u32>load<u8>(end - 1));
  let state: u32 = takeBits(at, (left -= accuracy), accuracy);
  let other: u32 = takeBits(at, (left -= accuracy), accuracy);
  if (left < 0) return 0;
  for (let count: u32 = 0; count < 254; ) {
    const entry = load<u64>(weightStates + (state << 3));
    store<u8>(weights + count++, <u8>(entry >> 32));
    const bits: u32 = <u32>(entry >> 16) & 0xff;
    left -= bits;
    if (left < 0) {
      store<u8>(weights + count++, <u8>(load<u64>(weightStates + (other << 3)) >> 32));
      return count;
    }
    state = other;
    other = <u32>(entry & 0xffff) + takeBits(at, left, bits);
  }
  return 0;
}

/** `count` bits from `position` on; 0 where they are before the stream. */
function takeBits(at: usize, position: i32, count: u32): u32 {
  if (position < 0) return 0;
  return (load<u32>(at + (position >> 3)) >> (position & 7)) & ((1 << count) - 1);
}

/** Codes in the order of their weights, from 0 on: each byte has a share of the table, the heavier the larger. */
function buildTable(count: u32): i32 {
  hasTable = false;
  memory.fill(ranks, 0, 64);
  let total: u32 = 0;
  for (let symbol: u32 = 0; symbol < count; symbol++) {
    const weight: u32 = load<u8>(weights + symbol);
    if (weight > TABLE_BITS) return WEIGHTS;
    total += (1 << weight) >> 1;
  }
  if (total == 0) return WEIGHTS;
  const bits: u32 = 32 - clz(total);
  const rest: u32 = (1 << bits) - total;
  if (bits > TABLE_BITS || popcnt(rest) != 1) return WEIGHTS;
  store<u8>(weights + count, <u8>(ctz(rest) + 1));
  for (let symbol: u32 = 0; symbol <= count; symbol++) {
    const at = ranks + (<usize>load<u8>(weights + symbol) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  // the longest codes come in pairs, or the tree would have a bare branch
  if (load<u32>(ranks, 4) < 2) return WEIGHTS;
  let next = table;
  for (let weight: u32 = 1; weight <= bits; weight++) {
    if (load<u32>(ranks + (weight << 2)) == 0) continue;
    const share: usize = <usize>1 << (TABLE_BITS - bits + weight - 1);
    for (let symbol: u32 = 0; symbol <= count; symbol++) {
      if (load<u8>(weights + symbol) != weight) continue;
      const entry: u16 = <u16>((symbol << 8) | (bits + 1 - weight));
      for (const end = next + (share << 1); next < end; next += 2) store<u16>(next, entry);
    }
  }
  hasTable = true;
  return GO;
}

/** The first bits of the stream that ends at `end`, its last byte being no zero. */
// @ts-ignore: decorator
@inline
export function first(end: usize): u64 {
  return (load<u64>(end - 8) | 1) << (clz(<u32>load<u8>(end - 1)) - 23);
}

function stream1(start: usize, end: usize, out: usize, outEnd: usize): i32 {
  if (start >= end || load<u8>(end - 1) == 0) return HUFFMAN_STREAM;
  return tail(start, end - 8, first(end), out, outEnd);
}

/** Decodes the rest of a stream, all of whose bits have to be used. */
function tail(start: usize, at: usize, bits: u64, out: usize, outEnd: usize): i32 {
  while (out < outEnd) {
    const used = ctz(bits);
    at -= <usize>(used >> 3);
    if (at + 8 < start) return HUFFMAN_STREAM;
    bits = (load<u64>(at) | 1) << (used & 7);
    for (const stop = min(outEnd, out + 5); out < stop; out++) {
      const entry = load<u16>(table + (<usize>(bits >> 53) << 1));
      bits <<= entry & 63;
      store<u8>(out, entry >> 8);
    }
  }
  const unread: i32 = (<i32>(at - start) << 3) + 64 - <i32>ctz(bits);
  return unread == 0 ? GO : HUFFMAN_STREAM;
}

function streams4(start: usize, end: usize, out: usize, size: u32): i32 {
  if (size < 6 || end - start < 10) return HUFFMAN_STREAM;
  const start1 = start + 6;
  const start2 = start1 + load<u16>(start);
  const start3 = start2 + load<u16>(start, 2);
  const start4 = start3 + load<u16>(start, 4);
  if (start1 == start2 || start2 == start3 || start3 == start4 || start4 >= end) return HUFFMAN_STREAM;
  if (load<u8>(start2 - 1) == 0 || load<u8>(start3 - 1) == 0 || load<u8>(start4 - 1) == 0 || load<u8>(end - 1) == 0) {
    return HUFFMAN_STREAM;
  }
  const share: usize = (size + 3) >> 2;
  const share2 = share << 1;
  const share3 = share2 + share;
  const stop = out + size - share3; // the fourth is the shortest
  let at1 = start2 - 8;
  let at2 = start3 - 8;
  let at3 = start4 - 8;
  let at4 = end - 8;
  let bits1 = first(start2);
  let bits2 = first(start3);
  let bits3 = first(start4);
  let bits4 = first(end);
  let to = out;
  while (true) {
    const nearest = min(min(<i32>(at1 - start1), <i32>(at2 - start2)), min(<i32>(at3 - start3), <i32>(at4 - start4)));
    let rounds = min(nearest / ROUND_BYTES, <i32>(stop - to) / 5);
    if (rounds <= 0) break;
    do {
      // once for each of the five codes
      let e1 = <u64>load<u16>(table + (<usize>(bits1 >> 53) << 1));
      let e2 = <u64>load<u16>(table + (<usize>(bits2 >> 53) << 1));
      let e3 = <u64>load<u16>(table + (<usize>(bits3 >> 53) << 1));
      let e4 = <u64>load<u16>(table + (<usize>(bits4 >> 53) << 1));
      bits1 <<= e1;
      bits2 <<= e2;
      bits3 <<= e3;
      bits4 <<= e4;
      store<u8>(to, e1 >> 8);
      store<u8>(to + share, e2 >> 8);
      store<u8>(to + share2, e3 >> 8);
      store<u8>(to + share3, e4 >> 8);
      e1 = load<u16>(table + (<usize>(bits1 >> 53) << 1));
      e2 = load<u16>(table + (<usize>(bits2 >> 53) << 1));
      e3 = load<u16>(table + (<usize>(bits3 >> 53) << 1));
      e4 = load<u16>(table + (<usize>(bits4 >> 53) << 1));
      bits1 <<= e1;
      bits2 <<= e2;
      bits3 <<= e3;
      bits4 <<= e4;
      store<u8>(to, e1 >> 8, 1);
      store<u8>(to + share, e2 >> 8, 1);
      store<u8>(to + share2, e3 >> 8, 1);
      store<u8>(to + share3, e4 >> 8, 1);
      e1 = load<u16>(table + (<usize>(bits1 >> 53) << 1));
      e2 = load<u16>(table + (<usize>(bits2 >> 53) << 1));
      e3 = load<u16>(table + (<usize>(bits3 >> 53) << 1));
      e4 = load<u16>(table + (<usize>(bits4 >> 53) << 1));
      bits1 <<= e1;
      bits2 <<= e2;
      bits3 <<= e3;
      bits4 <<= e4;
      store<u8>(to, e1 >> 8, 2);
      store<u8>(to + share, e2 >> 8, 2);
      store<u8>(to + share2, e3 >> 8, 2);
      store<u8>(to + share3, e4 >> 8, 2);
      e1 = load<u16>(table + (<usize>(bits1 >> 53) << 1));
      e2 = load<u16>(table + (<usize>(bits2 >> 53) << 1));
      e3 = load<u16>(table + (<usize>(bits3 >> 53) << 1));
      e4 = load<u16>(table + (<usize>(bits4 >> 53) << 1));
      bits1 <<= e1;
      bits2 <<= e2;
      bits3 <<= e3;
      bits4 <<= e4;
      store<u8>(to, e1 >> 8, 3);
      store<u8>(to + share, e2 >> 8, 3);
      store<u8>(to + share2, e3 >> 8, 3);
      store<u8>(to + share3, e4 >> 8, 3);
      e1 = load<u16>(table + (<usize>(bits1 >> 53) << 1));
      e2 = load<u16>(table + (<usize>(bits2 >> 53) << 1));
      e3 = load<u16>(table + (<usize>(bits3 >> 53) << 1));
      e4 = load<u16>(table + (<usize>(bits4 >> 53) << 1));
      bits1 <<= e1;
      bits2 <<= e2;
      bits3 <<= e3;
      bits4 <<= e4;
      store<u8>(to, e1 >> 8, 4);
      store<u8>(to + share, e2 >> 8, 4);
      store<u8>(to + share2, e3 >> 8, 4);
      store<u8>(to + share3, e4 >> 8, 4);
      const used1 = ctz(bits1);
      const used2 = ctz(bits2);
      const used3 = ctz(bits3);
      const used4 = ctz(bits4);
      at1 -= <usize>(used1 >> 3);
      at2 -= <usize>(used2 >> 3);
      at3 -= <usize>(used3 >> 3);
      at4 -= <usize>(used4 >> 3);
      bits1 = (load<u64>(at1) | 1) << (used1 & 7);
      bits2 = (load<u64>(at2) | 1) << (used2 & 7);
      bits3 = (load<u64>(at3) | 1) << (used3 & 7);
      bits4 = (load<u64>(at4) | 1) << (used4 & 7);
      to += 5;
    } while (--rounds > 0);
  }
  let status = tail(start1, at1, bits1, to, out + share);
  if (status == GO) status = tail(start2, at2, bits2, to + share, out + share2);
  if (status == GO) status = tail(start3, at3, bits3, to + share2, out + share3);
  if (status == GO) status = tail(start4, at4, bits4, to + share3, out + size);
  return status;
}
