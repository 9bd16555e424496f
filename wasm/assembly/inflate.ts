/**
 * Inflate: raw deflate (RFC 1951), zlib (RFC 1950) and gzip (RFC 1952, any number of members), as the bytes come.
 *
 * Each call goes on where the last one stopped, and stops where input is missing or the window is full. While more
 * input is to come, a block's header and its codes are read only with enough bytes ahead of them, so that one loop
 * without a test for each bit does it all; behind the last byte the loop reads zeros, and what used them is truncated.
 *
 * The loop has the shape of libdeflate's: 64 bits of input refilled by one load, the next entry of the table loaded
 * before the last one is dealt with, up to three literals for each refill. All of it in 64-bit numbers, of which 54 bits
 * at least are input after a refill; the two lowest are used ones, so that a lookup is one mask and one load.
 */
import { buildTable, END_OF_BLOCK, EXCEPTION, LITERAL, SUBTABLE } from "./huffman";
import {
  stream,
  hasBytes,
  GO,
  NEED_INPUT,
  WINDOW_FULL,
  MEMBER,
  END,
  TRUNCATED,
  NO_MAGIC,
  TRAILING,
  RESERVED,
  DICTIONARY,
  GZIP_METHOD,
  GZIP_HEADER_CHECKSUM,
  ZLIB_HEADER,
  BLOCK_TYPE,
  STORED_LENGTH,
  TOO_MANY_CODES,
  CODE_LENGTHS,
  NO_END_OF_BLOCK,
  UNUSED_CODE,
  DISTANCE,
} from "./stream";
import { crc32 } from "./checksums";

const FORMAT_RAW: i32 = 0;
const FORMAT_ZLIB: i32 = 1;
const FORMAT_GZIP: i32 = 2;

// Phases, in the order of a gzip member.
const GZIP_HEADER: i32 = 0;
const GZIP_EXTRA_LENGTH: i32 = 1;
const GZIP_EXTRA: i32 = 2;
const GZIP_NAME: i32 = 3;
const GZIP_COMMENT: i32 = 4;
const GZIP_CHECKSUM: i32 = 5;
const ZLIB: i32 = 6;
const BLOCK: i32 = 7;
const STORED: i32 = 8;
const CODES: i32 = 9;
const TRAILER: i32 = 10;
const BETWEEN: i32 = 11;
const PADDING: i32 = 12;

const FHCRC: u32 = 2;
const FEXTRA: u32 = 4;
const FNAME: u32 = 8;
const FCOMMENT: u32 = 16;

const LITLEN_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 8;
const PRECODE_BITS: u32 = 7;
/** What is looked up: the loop has two used bits below the next ones, as entries of the tables have four bytes. */
const LITLEN_MASK: u64 = ((1 << LITLEN_BITS) - 1) << 2;
const DISTANCE_MASK: u64 = ((1 << DISTANCE_BITS) - 1) << 2;
/** Entries that the worst set of codes needs, for these widths (zlib's `enough` counts them). */
const litlenTable: usize = memory.data(2342 * 4, 8);
const distanceTable: usize = memory.data(402 * 4, 8);
const precodeTable: usize = memory.data(128 * 4, 8);
const litlenResults: usize = memory.data(288 * 4, 8);
const distanceResults: usize = memory.data(32 * 4, 8);
const precodeResults: usize = memory.data(19 * 4, 8);
/** Code lengths: up to 286 + 30, and the run that is written before its end is compared. */
const lengths: usize = memory.data(320 + 138 + 8, 8);
const precodeOrder: usize = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);

/** The longest header of a block: 17 + 19 * 3 + 316 * (7 + 7) bits, and what a refill reads ahead. */
const BLOCK_HEADER_BYTES: usize = 1024;
/** What one round of the loop reads at most, and the loads that run ahead. */
const ROUND_INPUT_BYTES: usize = 32;

let format: i32 = 0;
let phase: i32 = 0;
let flags: u32 = 0;
let headerSum: u32 = 0;
let pending: usize = 0; // bytes of the extra field or the stored block that are left
let isLastBlock: bool = false;
let isFixed: bool = false; // the tables are those of the fixed codes
let bits: u64 = 0; // between calls less than a byte
let bitCount: u64 = 0;

/** What the trailer says: CRC-32 (gzip) or Adler-32 (zlib), and the length modulo 2^32. */
export let wantedSum: u32 = 0;
export let wantedSize: u32 = 0;

export function startInflate(wanted: i32): void {
  format = wanted;
  phase = wanted == FORMAT_GZIP ? GZIP_HEADER : wanted == FORMAT_ZLIB ? ZLIB : BLOCK;
  bits = bitCount = 0;
  isFixed = false;
  for (let symbol: u32 = 0; symbol < 256; symbol++) store<u32>(litlenResults + (symbol << 2), LITERAL | (symbol << 16));
  store<u32>(litlenResults + (256 << 2), END_OF_BLOCK);
  // lengths 3 to 258: eight codes of no extra bits, then four for each number of them; 258 has one of its own
  let base: u32 = 3;
  for (let symbol: u32 = 257; symbol < 285; symbol++) {
    const extra: u32 = symbol < 265 ? 0 : (symbol - 261) >> 2;
    store<u32>(litlenResults + (symbol << 2), (base << 16) | extra);
    base += 1 << extra;
  }
  store<u32>(litlenResults + (285 << 2), 258 << 16);
  base = 1;
  for (let symbol: u32 = 0; symbol < 30; symbol++) {
    const extra: u32 = symbol < 4 ? 0 : (symbol >> 1) - 1;
    store<u32>(distanceResults + (symbol << 2), (base << 16) | extra);
    base += 1 << extra;
  }
  for (let symbol: u32 = 286; symbol < 288; symbol++) store<u32>(litlenResults + (symbol << 2), END_OF_BLOCK | (1 << 16));
  for (let symbol: u32 = 30; symbol < 32; symbol++) store<u32>(distanceResults + (symbol << 2), END_OF_BLOCK | (1 << 16));
  for (let symbol: u32 = 0; symbol < 19; symbol++) store<u32>(precodeResults + (symbol << 2), symbol << 16);
}

export function inflate(): i32 {
  if (stream.isLast) memory.fill(stream.end, 0, 64);
  let status = GO;
  while (status == GO) status = step();
  giveBack();
  if (stream.next <= stream.end) return status;
  // what zeros behind the end led to is not worth a word of its own
  stream.next = stream.end;
  return TRUNCATED;
}

function step(): i32 {
  switch (phase) {
    case BLOCK:
      return blockHeader();
    case STORED:
      return stored();
    case CODES:
      return codes();
    case TRAILER:
      return trailer();
    case BETWEEN:
      return between();
    case PADDING:
      return padding();
    case ZLIB:
      return zlibHeader();
    default:
      return gzipHeader();
  }
}

function gzipHeader(): i32 {
  switch (phase) {
    case GZIP_HEADER: {
      if (!hasBytes(10)) return NEED_INPUT;
      if (stream.end - stream.next < 10) return TRUNCATED;
      if (load<u16>(stream.next) != 0x8b1f) return NO_MAGIC;
      if (load<u8>(stream.next + 2) != 8) return GZIP_METHOD;
      flags = load<u8>(stream.next + 3);
      if ((flags & 0xe0) != 0) return RESERVED;
      headerSum = 0;
      takeHeader(10);
      phase = GZIP_EXTRA_LENGTH;
      return GO;
    }
    case GZIP_EXTRA_LENGTH:
      phase = GZIP_EXTRA;
      pending = 0;
      if ((flags & FEXTRA) == 0) return GO;
      phase = GZIP_EXTRA_LENGTH;
      if (!hasBytes(2)) return NEED_INPUT;
      if (stream.end - stream.next < 2) return TRUNCATED;
      pending = load<u16>(stream.next);
      takeHeader(2);
      phase = GZIP_EXTRA;
      return GO;
    case GZIP_EXTRA: {
      const count = min(pending, stream.end - stream.next);
      takeHeader(count);
      pending -= count;
      if (pending > 0) return stream.isLast ? TRUNCATED : NEED_INPUT;
      phase = GZIP_NAME;
      return GO;
    }
    case GZIP_NAME:
      return gzipText(FNAME, GZIP_COMMENT);
    case GZIP_COMMENT:
      return gzipText(FCOMMENT, GZIP_CHECKSUM);
    default: {
      history();
      phase = BLOCK;
      if ((flags & FHCRC) == 0) return GO;
      phase = GZIP_CHECKSUM;
      if (!hasBytes(2)) return NEED_INPUT;
      if (stream.end - stream.next < 2) return TRUNCATED;
      if (load<u16>(stream.next) != (headerSum & 0xffff)) return GZIP_HEADER_CHECKSUM;
      stream.next += 2;
      phase = BLOCK;
      return GO;
    }
  }
}

/** Past a text that ends with a NUL, if the flags announce it. */
function gzipText(flag: u32, following: i32): i32 {
  if ((flags & flag) != 0) {
    let at = stream.next;
    while (at < stream.end && load<u8>(at) != 0) at++;
    const found = at < stream.end;
    takeHeader(at + (found ? 1 : 0) - stream.next);
    if (!found) return stream.isLast ? TRUNCATED : NEED_INPUT;
  }
  phase = following;
  return GO;
}

function takeHeader(count: usize): void {
  if ((flags & FHCRC) != 0) headerSum = crc32(headerSum, stream.next, count);
  stream.next += count;
}

function zlibHeader(): i32 {
  if (!hasBytes(2)) return NEED_INPUT;
  if (stream.end - stream.next < 2) return TRUNCATED;
  const header: u32 = bswap(load<u16>(stream.next));
  if ((header & 0x0f00) != 0x0800 || header >> 12 > 7 || header % 31 != 0) return ZLIB_HEADER;
  if ((header & 0x20) != 0) return DICTIONARY;
  stream.next += 2;
  history();
  phase = BLOCK;
  return GO;
}

/** What comes now refers to nothing before. */
function history(): void {
  stream.history = stream.out;
}

function trailer(): i32 {
  align();
  if (stream.next > stream.end) return TRUNCATED;
  const length: usize = format == FORMAT_GZIP ? 8 : format == FORMAT_ZLIB ? 4 : 0;
  if (!hasBytes(length)) return NEED_INPUT;
  if (stream.end - stream.next < length) return TRUNCATED;
  if (format == FORMAT_GZIP) {
    wantedSum = load<u32>(stream.next);
    wantedSize = load<u32>(stream.next + 4);
  } else if (format == FORMAT_ZLIB) {
    wantedSum = bswap(load<u32>(stream.next));
  }
  stream.next += length;
  phase = BETWEEN;
  return MEMBER;
}

function between(): i32 {
  if (stream.next == stream.end) return stream.isLast ? END : NEED_INPUT;
  if (format != FORMAT_GZIP) return TRAILING;
  const byte = load<u8>(stream.next);
  if (byte != 0x1f && byte != 0) return TRAILING;
  phase = byte == 0 ? PADDING : GZIP_HEADER;
  return GO;
}

/** Tapes end in zeros; like gzip(1), this takes them for nothing. */
function padding(): i32 {
  while (stream.next < stream.end && load<u8>(stream.next) == 0) stream.next++;
  if (stream.next < stream.end) return TRAILING;
  return stream.isLast ? END : NEED_INPUT;
}

/** Whole bytes that the bit buffer holds are input again: the host moves what is not used, and tells offsets. */
function giveBack(): void {
  stream.next -= <usize>(bitCount >> 3);
  bitCount &= 7;
  bits &= (<u64>1 << bitCount) - 1;
}

/** Drops the rest of the current byte. */
function align(): void {
  giveBack();
  bits = bitCount = 0;
}

function blockHeader(): i32 {
  if (!hasBytes(BLOCK_HEADER_BYTES)) return NEED_INPUT;
  if (stream.next > stream.end) return TRUNCATED;
  refill();
  isLastBlock = (bits & 1) != 0;
  const type: u32 = <u32>(bits >> 1) & 3;
  if (type == 0) return storedHeader();
  if (type == 3) return BLOCK_TYPE;
  drop(3);
  const status = type == 1 ? fixedCodes() : dynamicCodes();
  giveBack();
  if (status != GO) return status;
  if (stream.next > stream.end) return TRUNCATED;
  phase = CODES;
  return GO;
}

function storedHeader(): i32 {
  drop(3);
  align();
  if (stream.next > stream.end || stream.end - stream.next < 4) return TRUNCATED;
  const both = load<u32>(stream.next);
  if ((both & 0xffff) != ~both >> 16) return STORED_LENGTH;
  stream.next += 4;
  pending = both & 0xffff;
  phase = STORED;
  return GO;
}

function stored(): i32 {
  const count = min(pending, min(stream.end - stream.next, stream.outEnd > stream.out ? stream.outEnd - stream.out : 0));
  memory.copy(stream.out, stream.next, count);
  stream.next += count;
  stream.out += count;
  pending -= count;
  if (pending == 0) {
    phase = isLastBlock ? TRAILER : BLOCK;
    return GO;
  }
  if (stream.out >= stream.outEnd) return WINDOW_FULL;
  return stream.isLast ? TRUNCATED : NEED_INPUT;
}

function fixedCodes(): i32 {
  if (isFixed) return GO;
  memory.fill(lengths, 8, 144);
  memory.fill(lengths + 144, 9, 112);
  memory.fill(lengths + 256, 7, 24);
  memory.fill(lengths + 280, 8, 8);
  buildTable(lengths, 288, litlenResults, litlenTable, LITLEN_BITS, false);
  memory.fill(lengths, 5, 32);
  buildTable(lengths, 32, distanceResults, distanceTable, DISTANCE_BITS, false);
  isFixed = true;
  return GO;
}

function dynamicCodes(): i32 {
  isFixed = false;
  const litlens: u32 = <u32>take(5) + 257;
  const distances: u32 = <u32>take(5) + 1;
  const precodes: u32 = <u32>take(4) + 4;
  if (litlens > 286 || distances > 30) return TOO_MANY_CODES;
  memory.fill(lengths, 0, 19);
  for (let index: u32 = 0; index < precodes; index++) {
    if (bitCount < 3) refill();
    store<u8>(lengths + load<u8>(precodeOrder + index), <u8>take(3));
  }
  let status = buildTable(lengths, 19, precodeResults, precodeTable, PRECODE_BITS, false);
  if (status != GO) return status;
  const total = litlens + distances;
  status = codeLengths(total);
  if (status != GO) return status;
  if (load<u8>(lengths + 256) == 0) return NO_END_OF_BLOCK;
  status = buildTable(lengths, litlens, litlenResults, litlenTable, LITLEN_BITS, true);
  if (status != GO) return status;
  return buildTable(lengths + litlens, distances, distanceResults, distanceTable, DISTANCE_BITS, true);
}

/** The lengths of all codes, themselves compressed: 16 repeats the last one, 17 and 18 are runs of zeros. */
function codeLengths(total: u32): i32 {
  for (let index: u32 = 0; index < total; ) {
    if (bitCount < 14) refill();
    const entry = load<u32>(precodeTable + (<usize>(bits & 127) << 2));
    if ((entry & EXCEPTION) != 0) return UNUSED_CODE;
    drop(entry & 0xff);
    const symbol = entry >> 16;
    if (symbol < 16) {
      store<u8>(lengths + index++, <u8>symbol);
      continue;
    }
    if (symbol == 16 && index == 0) return CODE_LENGTHS;
    const value = symbol == 16 ? load<u8>(lengths + index - 1) : 0;
    const count: u32 = symbol == 16 ? 3 + <u32>take(2) : symbol == 17 ? 3 + <u32>take(3) : 11 + <u32>take(7);
    if (index + count > total) return CODE_LENGTHS;
    memory.fill(lengths + index, value, count);
    index += count;
  }
  return GO;
}

/** At least 56 bits, of which those behind the end of the input are zeros. Never more than 16 bytes behind it. */
function refill(): void {
  if (stream.next > stream.end + 16) return;
  bits |= load<u64>(stream.next) << bitCount;
  stream.next += <usize>((63 - bitCount) >> 3);
  bitCount |= 56;
}

// @ts-ignore: decorator
@inline
function drop(count: u32): void {
  bits >>= count;
  bitCount -= count;
}

// @ts-ignore: decorator
@inline
function take(count: u32): u64 {
  const value = bits & ((<u64>1 << count) - 1);
  drop(count);
  return value;
}

/** The literals and matches of a block. */
function codes(): i32 {
  const inputStop: usize = stream.isLast ? stream.end + 9 : stream.end + 1 - ROUND_INPUT_BYTES;
  const outEnd = stream.outEnd;
  const first = stream.history;
  if (stream.out >= outEnd) return WINDOW_FULL;
  if (stream.next >= inputStop) return stream.isLast ? TRUNCATED : NEED_INPUT;
  let next = stream.next;
  let out = stream.out;
  let buffer = bits << 2;
  let count = bitCount + 2; // only the low byte counts: what is subtracted is a whole entry
  let status = GO;

  buffer |= load<u64>(next) << count;
  next += <usize>((~count >> 3) & 7);
  count |= 56;
  let entry: u64 = load<u32>(<usize>(buffer & LITLEN_MASK), litlenTable);
  while (true) {
    let saved = buffer;
    buffer >>= entry;
    count -= entry;
    if (<i32>entry < 0) {
      store<u8>(out, entry >> 16);
      entry = load<u32>(<usize>(buffer & LITLEN_MASK), litlenTable);
      saved = buffer;
      buffer >>= entry;
      count -= entry;
      out++;
      if (<i32>entry < 0) {
        store<u8>(out, entry >> 16);
        entry = load<u32>(<usize>(buffer & LITLEN_MASK), litlenTable);
        saved = buffer;
        buffer >>= entry;
        count -= entry;
        out++;
        if (<i32>entry < 0) {
          store<u8>(out, entry >> 16);
          out++;
          buffer |= load<u64>(next) << count;
          next += <usize>((~count >> 3) & 7);
          count |= 56;
          entry = load<u32>(<usize>(buffer & LITLEN_MASK), litlenTable);
          if (<i32>((next - inputStop) & (out - outEnd)) >= 0) break;
          continue;
        }
      }
    }
    if ((entry & EXCEPTION) != 0) {
      if ((entry & SUBTABLE) != 0) {
        const index = ((entry >> 16) << 2) + (buffer & ~(<u64>-4 << ((entry >> 8) & 0x3f)) & ~3);
        entry = load<u32>(<usize>index, litlenTable);
        saved = buffer;
        buffer >>= entry;
        count -= entry;
        if (<i32>entry < 0) {
          store<u8>(out, entry >> 16);
          out++;
          buffer |= load<u64>(next) << count;
          next += <usize>((~count >> 3) & 7);
          count |= 56;
          entry = load<u32>(<usize>(buffer & LITLEN_MASK), litlenTable);
          if (<i32>((next - inputStop) & (out - outEnd)) >= 0) break;
          continue;
        }
      }
      if ((entry & EXCEPTION) != 0) {
        if (entry >> 16 != 0) {
          status = UNUSED_CODE;
        } else {
          phase = isLastBlock ? TRAILER : BLOCK;
        }
        break;
      }
    }
    const length: usize = <usize>((entry >> 16) + ((saved & ~(<u64>-4 << entry)) >> (entry >> 8)));

    // a distance takes up to 28 bits, and 2 are used ones
    if ((count & 0xff) < 30) {
      buffer |= load<u64>(next) << count;
      next += <usize>((~count >> 3) & 7);
      count |= 56;
    }
    entry = load<u32>(<usize>(buffer & DISTANCE_MASK), distanceTable);
    if ((entry & EXCEPTION) != 0) {
      if ((entry & SUBTABLE) != 0) {
        buffer >>= DISTANCE_BITS;
        count -= DISTANCE_BITS;
        const index = ((entry >> 16) << 2) + (buffer & ~(<u64>-4 << ((entry >> 8) & 0x3f)) & ~3);
        entry = load<u32>(<usize>index, distanceTable);
      }
      if ((entry & EXCEPTION) != 0) {
        status = UNUSED_CODE;
        break;
      }
    }
    const distance: usize = <usize>((entry >> 16) + ((buffer & ~(<u64>-4 << entry)) >> (entry >> 8)));
    buffer >>= entry;
    count -= entry;
    let from = out - distance;
    if (from < first) {
      status = DISTANCE;
      break;
    }
    let to = out;
    out += length;
    buffer |= load<u64>(next) << count;
    next += <usize>((~count >> 3) & 7);
    count |= 56;
    entry = load<u32>(<usize>(buffer & LITLEN_MASK), litlenTable);
    if (distance >= 8) {
      store<u64>(to, load<u64>(from));
      store<u64>(to, load<u64>(from, 8), 8);
      to += 16;
      from += 16;
      while (to < out) {
        store<u64>(to, load<u64>(from));
        store<u64>(to, load<u64>(from, 8), 8);
        to += 16;
        from += 16;
      }
    } else if (distance == 1) {
      const run: u64 = <u64>load<u8>(from) * 0x0101010101010101;
      do {
        store<u64>(to, run);
        to += 8;
      } while (to < out);
    } else {
      do {
        store<u64>(to, load<u64>(from));
        to += distance;
        from += distance;
      } while (to < out);
    }
    if (<i32>((next - inputStop) & (out - outEnd)) >= 0) break;
  }
  stream.next = next;
  stream.out = out;
  bitCount = (count & 0xff) - 2;
  bits = buffer >> 2;
  giveBack();
  return status;
}
