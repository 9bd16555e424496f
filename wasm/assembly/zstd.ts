/**
 * Zstandard (RFC 8878) but for dictionaries: any number of frames, skippable ones among them, checksums compared.
 *
 * A block (128 KiB at most) is decoded when all of it is there and the window has room for what it can become, so
 * nothing in it is resumed. Literals are unpacked first; then each sequence is decoded and copied at once: some
 * literals, and a match in what is there already.
 *
 *      frame   magic │ header │ block │ block │ … │ XXH64 (4 bytes)
 *      block   head (3) │ literals │ sequences: how many, tables, bits read from their end
 */
import { accuracy, buildStates, probabilities, readBytes, readDistribution, symbolCount } from "./fse";
import { literals, literalsEnd, readLiterals, sectionEnd, startLiterals, first } from "./literals";
import {
  stream,
  hasBytes,
  GO,
  NEED_INPUT,
  WINDOW_FULL,
  NEED_WINDOW,
  END,
  TRUNCATED,
  NO_MAGIC,
  TRAILING,
  CHECKSUM,
  RESERVED,
  DICTIONARY,
  BLOCK_TYPE,
  WINDOW_TOO_LARGE,
  BLOCK_SIZE,
  NO_TABLE,
  SEQUENCES,
  SEQUENCE_STREAM,
  OFFSET,
  CONTENT_SIZE,
} from "./stream";
import { endHash, hash, startHash } from "./xxh64";

const MAGIC: u32 = 0xfd2fb528;
const SKIPPABLE: u32 = 0x184d2a50;
const MAX_BLOCK_BYTES: u32 = 128 * 1024;
const MAX_HEADER_BYTES: usize = 18;

const FRAME: i32 = 0;
const SKIP: i32 = 1;
const BLOCK: i32 = 2;
const TRAILER: i32 = 3;
const BETWEEN: i32 = 4;

let phase: i32 = 0;
let skipped: usize = 0;
let hasChecksum: bool = false;
let isLastBlock: bool = false;
let contentBytes: u64 = 0; // as the frame's header has it; u64.MAX_VALUE where it does not
let producedBytes: u64 = 0;
let blockLimit: u32 = 0;
let literalBuffer: usize = 0;
let windowLimit: f64 = 0;
/** What the frame's matches may reach back over. */
export let windowBytes: u64 = 0;

// Offsets that were used last.
let recent1: usize = 1;
let recent2: usize = 4;
let recent3: usize = 8;

/** One of the three kinds of numbers that a sequence is made of. */
const LENGTHS: u32 = 0;
const OFFSETS: u32 = 1;
const MATCHES: u32 = 2;
const NO_STATES: i32 = -1;

const lengthStates: usize = memory.data(512 * 8, 8);
const offsetStates: usize = memory.data(256 * 8, 8);
const matchStates: usize = memory.data(512 * 8, 8);
const lengthValues: usize = memory.data(36 * 8, 8);
const offsetValues: usize = memory.data(32 * 8, 8);
const matchValues: usize = memory.data(53 * 8, 8);
/** Accuracies of the tables, or NO_STATES. */
let lengthLog: i32 = NO_STATES;
let offsetLog: i32 = NO_STATES;
let matchLog: i32 = NO_STATES;

/** Extra bits of the codes of lengths from 16 and of matches from 32; those before have none. */
const lengthExtra: usize = memory.data<u8>([1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const matchExtra: usize = memory.data<u8>([1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/** Distributions that the format defines, at the accuracies 6, 5 and 6. */
const defaultLengths: usize = memory.data<i8>([
  4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
]);
const defaultOffsets: usize = memory.data<i8>([
  1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
]);
const defaultMatches: usize = memory.data<i8>([
  1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
  1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
]);

/** `buffer` has room for 128 KiB of literals and 64 bytes; frames that need a larger window than `limit` are refused. */
export function startZstd(buffer: usize, limit: f64): void {
  literalBuffer = buffer;
  windowLimit = limit;
  windowBytes = 0;
  phase = FRAME;
  setValues(lengthValues, 16, 36, 0, lengthExtra);
  setValues(matchValues, 32, 53, 3, matchExtra);
  for (let code: u64 = 0; code < 32; code++) {
    store<u64>(offsetValues + <usize>(code << 3), (<u64>1 << (32 + code)) | (code << 24));
  }
}

function setValues(values: usize, plain: u32, count: u32, base: u64, extra: usize): void {
  for (let code: u32 = 0; code < count; code++) {
    const bits: u64 = code < plain ? 0 : load<u8>(extra + code - plain);
    store<u64>(values + (code << 3), (base << 32) | (bits << 24));
    base += <u64>1 << bits;
  }
}

export function zstd(): i32 {
  let status = GO;
  while (status == GO) status = step();
  return status;
}

function step(): i32 {
  switch (phase) {
    case FRAME:
      return frameHeader();
    case SKIP: {
      const count = min(skipped, stream.end - stream.next);
      stream.next += count;
      skipped -= count;
      if (skipped > 0) return stream.isLast ? TRUNCATED : NEED_INPUT;
      phase = BETWEEN;
      return GO;
    }
    case BLOCK:
      return block();
    case TRAILER:
      return trailer();
    default:
      if (stream.next == stream.end) return stream.isLast ? END : NEED_INPUT;
      if (!hasBytes(4)) return NEED_INPUT;
      if (stream.end - stream.next < 4 || !hasMagic(load<u32>(stream.next))) return TRAILING;
      phase = FRAME;
      return GO;
  }
}

function hasMagic(value: u32): bool {
  return value == MAGIC || (value & 0xfffffff0) == SKIPPABLE;
}

function frameHeader(): i32 {
  if (!hasBytes(MAX_HEADER_BYTES)) return NEED_INPUT;
  const there = stream.end - stream.next;
  if (there < 4) return TRUNCATED;
  let at = stream.next;
  const magic = load<u32>(at);
  if (!hasMagic(magic)) return NO_MAGIC;
  if (magic != MAGIC) {
    if (there < 8) return TRUNCATED;
    skipped = load<u32>(at, 4);
    stream.next += 8;
    phase = SKIP;
    return GO;
  }
  const flags: u32 = load<u8>(at, 4);
  const isSingle = (flags & 0x20) != 0;
  if ((flags & 0x08) != 0) return RESERVED;
  const idBytes: u32 = (1 << (flags & 3)) >> 1;
  const sizeForm = flags >> 6;
  const sizeBytes: u32 = sizeForm == 0 ? (isSingle ? 1 : 0) : 1 << sizeForm;
  if (there < 5 + (isSingle ? 0 : 1) + idBytes + sizeBytes) return TRUNCATED;
  at += 5;
  if (!isSingle) {
    const window: u32 = load<u8>(at++);
    const base: u64 = <u64>1 << (10 + (window >> 3));
    windowBytes = base + (base >> 3) * (window & 7);
  }
  if ((load<u32>(at) & <u32>(((<u64>1) << (idBytes << 3)) - 1)) != 0) return DICTIONARY;
  at += idBytes;
  const size = load<u64>(at);
  contentBytes =
    sizeBytes == 0
      ? u64.MAX_VALUE
      : sizeBytes == 8
        ? size
        : (size & ((<u64>1 << (sizeBytes << 3)) - 1)) + (sizeBytes == 2 ? 256 : 0);
  if (isSingle) windowBytes = contentBytes;
  if (<f64>windowBytes > windowLimit) return WINDOW_TOO_LARGE;
  stream.next = at + sizeBytes;
  hasChecksum = (flags & 4) != 0;
  startFrame();
  return NEED_WINDOW;
}

function startFrame(): void {
  blockLimit = <u32>min<u64>(windowBytes, MAX_BLOCK_BYTES);
  producedBytes = 0;
  recent1 = 1;
  recent2 = 4;
  recent3 = 8;
  lengthLog = offsetLog = matchLog = NO_STATES;
  startLiterals();
  startHash();
  stream.history = stream.out;
  phase = BLOCK;
}

function trailer(): i32 {
  if (contentBytes != u64.MAX_VALUE && producedBytes != contentBytes) return CONTENT_SIZE;
  phase = BETWEEN;
  if (!hasChecksum) return GO;
  phase = TRAILER;
  if (!hasBytes(4)) return NEED_INPUT;
  if (stream.end - stream.next < 4) return TRUNCATED;
  if (load<u32>(stream.next) != <u32>endHash()) return CHECKSUM;
  stream.next += 4;
  phase = BETWEEN;
  return GO;
}

function block(): i32 {
  if (!hasBytes(3)) return NEED_INPUT;
  if (stream.end - stream.next < 3) return TRUNCATED;
  const head = <u32>load<u16>(stream.next) | (<u32>load<u8>(stream.next, 2) << 16);
  const type = (head >> 1) & 3;
  const size = head >> 3;
  if (type == 3) return BLOCK_TYPE;
  if (size > blockLimit) return BLOCK_SIZE;
  const stored: u32 = type == 1 ? 1 : size;
  if (!hasBytes(3 + stored)) return NEED_INPUT;
  if (stream.end - stream.next < 3 + stored) return TRUNCATED;
  if (stream.out >= stream.outEnd) return WINDOW_FULL;
  const at = stream.next + 3;
  const out = stream.out;
  let status = GO;
  if (type == 0) {
    memory.copy(out, at, size);
    stream.out = out + size;
  } else if (type == 1) {
    memory.fill(out, load<u8>(at), size);
    stream.out = out + size;
  } else {
    status = compressedBlock(at, at + size);
  }
  if (status != GO) return status;
  producedBytes += stream.out - out;
  if (producedBytes > contentBytes) return CONTENT_SIZE;
  if (hasChecksum) hash(out, stream.out - out);
  stream.next = at + stored;
  if ((head & 1) != 0) phase = TRAILER;
  return GO;
}

function compressedBlock(at: usize, end: usize): i32 {
  let status = readLiterals(at, end, literalBuffer, blockLimit);
  if (status != GO) return status;
  at = sectionEnd;
  if (at >= end) return SEQUENCES;
  let count: u32 = load<u8>(at++);
  if (count >= 128) {
    const more: usize = count == 255 ? 2 : 1;
    if (end - at < more) return SEQUENCES;
    count = count == 255 ? load<u16>(at) + 0x7f00 : ((count - 128) << 8) + load<u8>(at);
    at += more;
  }
  if (count == 0) return at == end ? lastLiterals(literals) : SEQUENCES;
  if (at >= end) return SEQUENCES;
  const modes: u32 = load<u8>(at++);
  if ((modes & 3) != 0) return RESERVED;
  for (let kind = LENGTHS; kind <= MATCHES; kind++) {
    status = readStates(kind, (modes >> (6 - (kind << 1))) & 3, at, end);
    if (status != GO) return status;
    at += readTableBytes;
  }
  if (at >= end || load<u8>(end - 1) == 0) return SEQUENCE_STREAM;
  return sequences(at, end, count);
}

let readTableBytes: usize = 0;

/** The table of one kind: the format's own (0), one symbol (1), described here (2), or that of the last block (3). */
function readStates(kind: u32, mode: u32, at: usize, end: usize): i32 {
  const states = kind == LENGTHS ? lengthStates : kind == OFFSETS ? offsetStates : matchStates;
  const values = kind == LENGTHS ? lengthValues : kind == OFFSETS ? offsetValues : matchValues;
  const maxCode: u32 = kind == LENGTHS ? 35 : kind == OFFSETS ? 31 : 52;
  let log = kind == LENGTHS ? lengthLog : kind == OFFSETS ? offsetLog : matchLog;
  readTableBytes = 0;
  if (mode == 0) {
    const count: u32 = kind == LENGTHS ? 36 : kind == OFFSETS ? 29 : 53;
    const from = kind == LENGTHS ? defaultLengths : kind == OFFSETS ? defaultOffsets : defaultMatches;
    for (let code: u32 = 0; code < count; code++) store<i16>(probabilities + (code << 1), load<i8>(from + code));
    log = kind == OFFSETS ? 5 : 6;
    buildStates(states, count, log, values);
  } else if (mode == 1) {
    if (at >= end || load<u8>(at) > maxCode) return SEQUENCES;
    store<u64>(states, load<u64>(values + (<usize>load<u8>(at) << 3)));
    log = 0;
    readTableBytes = 1;
  } else if (mode == 2) {
    const status = readDistribution(at, end, maxCode, kind == OFFSETS ? 8 : 9);
    if (status != GO) return status;
    log = accuracy;
    buildStates(states, symbolCount, log, values);
    readTableBytes = readBytes;
  } else if (log == NO_STATES) {
    return NO_TABLE;
  }
  if (kind == LENGTHS) lengthLog = log;
  else if (kind == OFFSETS) offsetLog = log;
  else matchLog = log;
  return GO;
}

function lastLiterals(from: usize): i32 {
  const count = literalsEnd - from;
  memory.copy(stream.out, from, count);
  stream.out += count;
  return GO;
}

/**
 * The bits that are next are the upper ones of `bits`; below the last of them is a 1, whose place tells how many are
 * used up, as in the streams of literals. After a refill 56 are there: those of a sequence (30, or they are refilled
 * once more) and of three states (26).
 */
function sequences(start: usize, end: usize, count: u32): i32 {
  const historyStart = stream.history;
  const window = <usize>windowBytes;
  const limit = stream.out + blockLimit;
  const literalEnd = literalsEnd;
  let from = literals;
  let out = stream.out;
  let offset1 = recent1;
  let offset2 = recent2;
  let offset3 = recent3;
  let at = end - 8;
  let bits = first(end);
  let lengthState = highest(bits, lengthLog);
  bits <<= lengthLog;
  let offsetState = highest(bits, offsetLog);
  bits <<= offsetLog;
  let matchState = highest(bits, matchLog);
  bits <<= matchLog;
  while (true) {
    const lengthEntry = load<u64>(<usize>(lengthState << 3), lengthStates);
    const offsetEntry = load<u64>(<usize>(offsetState << 3), offsetStates);
    const matchEntry = load<u64>(<usize>(matchState << 3), matchStates);
    let used = ctz(bits);
    at -= <usize>(used >> 3);
    bits = (load<u64>(at) | 1) << (used & 7);
    if (at + 8 < start) return SEQUENCE_STREAM;

    // numbers of bits are below 64, so that entries can be shifted by without a mask
    const value = <usize>((offsetEntry >> 32) + highest(bits, offsetEntry >> 24));
    bits <<= offsetEntry >> 24;
    // what is below adds at most 2
    const isLong = (((offsetEntry + lengthEntry + matchEntry) >> 24) & 0xff) > 30;
    if (isLong) {
      used = ctz(bits);
      at -= <usize>(used >> 3);
      bits = (load<u64>(at) | 1) << (used & 7);
    }
    const matchLength = <usize>((matchEntry >> 32) + highest(bits, matchEntry >> 24));
    bits <<= matchEntry >> 24;
    const length = <usize>((lengthEntry >> 32) + highest(bits, lengthEntry >> 24));
    bits <<= lengthEntry >> 24;

    let offset: usize;
    if (value > 3) {
      offset = value - 3;
      offset3 = offset2;
      offset2 = offset1;
      offset1 = offset;
    } else {
      // 1 to 3: one of the last three; without literals the next one, and the last is the first less 1
      const which = value - (length != 0 ? 1 : 0);
      if (which == 0) {
        offset = offset1;
      } else {
        offset = which == 1 ? offset2 : which == 2 ? offset3 : offset1 - 1;
        if (which != 1) offset3 = offset2;
        offset2 = offset1;
        offset1 = offset;
      }
    }
    const outEnd = out + length + matchLength;
    if (<i32>((literalEnd - from - length) | (limit - outEnd)) < 0) return SEQUENCES;

    store<u64>(out, load<u64>(from));
    store<u64>(out, load<u64>(from, 8), 8);
    if (length > 16) {
      let to = out + 16;
      let source = from + 16;
      const stop = out + length;
      do {
        store<u64>(to, load<u64>(source));
        store<u64>(to, load<u64>(source, 8), 8);
        to += 16;
        source += 16;
      } while (to < stop);
    }
    from += length;
    out += length;
    // 0, and 2^31 and more, which are negative here, are no offsets
    if (<i32>((offset - 1) | (window - offset) | (out - historyStart - offset)) < 0) return OFFSET;

    let to = out;
    let source = out - offset;
    out = outEnd;
    if (offset >= 8) {
      store<u64>(to, load<u64>(source));
      store<u64>(to, load<u64>(source, 8), 8);
      while ((to += 16) < out) {
        source += 16;
        store<u64>(to, load<u64>(source));
        store<u64>(to, load<u64>(source, 8), 8);
      }
    } else {
      do {
        store<u64>(to, load<u64>(source));
        to += offset;
        source += offset;
      } while (to < out);
    }

    if (--count == 0) break;
    if (isLong) {
      used = ctz(bits);
      at -= <usize>(used >> 3);
      bits = (load<u64>(at) | 1) << (used & 7);
    }
    lengthState = (lengthEntry & 0xffff) + highest(bits, lengthEntry >> 16);
    bits <<= lengthEntry >> 16;
    matchState = (matchEntry & 0xffff) + highest(bits, matchEntry >> 16);
    bits <<= matchEntry >> 16;
    offsetState = (offsetEntry & 0xffff) + highest(bits, offsetEntry >> 16);
    bits <<= offsetEntry >> 16;
  }
  if ((<i32>(at - start) << 3) + 64 - <i32>ctz(bits) != 0) return SEQUENCE_STREAM;
  recent1 = offset1;
  recent2 = offset2;
  recent3 = offset3;
  stream.out = out;
  if (<usize>(limit - out) < literalEnd - from) return SEQUENCES;
  return lastLiterals(from);
}

/** The upper `count` bits, 0 to 63; of `count` itself only the lowest six bits count. */
// @ts-ignore: decorator
@inline
function highest(bits: u64, count: u64): u64 {
  return (bits >> 1) >> ~count;
}
