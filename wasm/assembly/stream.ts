/**
 * Where a decoder reads and writes. The host owns both areas: it fills the first and empties the second between calls.
 *
 *      input   ├─ read ─┼─ next … end ─┼─ room ─┤ 64 spare bytes
 *      window  ├─ history … out ─┼─ room … outEnd ─┤ 512 spare bytes
 *
 * Loads and stores of eight bytes run over `end` and `out` a little; the spare bytes are for them.
 */

export namespace stream {
  /** The next byte of input. */
  export let next: usize = 0;
  /** The end of what is there of the input. */
  export let end: usize = 0;
  /** Whether nothing comes behind `end`. */
  export let isLast: bool = false;
  /** Where the next byte of output goes. */
  export let out: usize = 0;
  /** No output begins behind this. */
  export let outEnd: usize = 0;
  /** The first byte of output that may be referred to. */
  export let history: usize = 0;
}

export function setInput(next: usize, end: usize, isLast: bool): void {
  stream.next = next;
  stream.end = end;
  stream.isLast = isLast;
}

export function setOutput(out: usize, outEnd: usize, history: usize): void {
  stream.out = out;
  stream.outEnd = outEnd;
  stream.history = history;
}

export function inputNext(): usize {
  return stream.next;
}
export function outputNext(): usize {
  return stream.out;
}
export function historyStart(): usize {
  return stream.history;
}

/** Nothing to tell: the next phase begins. Never leaves the module. */
export const GO: i32 = -1;
export const NEED_INPUT: i32 = 0;
export const WINDOW_FULL: i32 = 1;
/** A member of a gzip file has ended; the host compares its checksum. */
export const MEMBER: i32 = 2;
export const END: i32 = 3;
/** A frame of zstd that needs a window of `windowBytes`; the host makes room and calls again. */
export const NEED_WINDOW: i32 = 4;

// What is from here on is malformed; the host has a text for each.
export const TRUNCATED: i32 = 16;
export const NO_MAGIC: i32 = 17;
export const TRAILING: i32 = 18;
export const CHECKSUM: i32 = 19;
export const RESERVED: i32 = 20;
export const DICTIONARY: i32 = 21;

export const GZIP_METHOD: i32 = 32;
export const GZIP_HEADER_CHECKSUM: i32 = 33;
export const ZLIB_HEADER: i32 = 34;
export const BLOCK_TYPE: i32 = 35;
export const STORED_LENGTH: i32 = 36;
export const TOO_MANY_CODES: i32 = 37;
export const CODE_LENGTHS: i32 = 38;
export const NO_END_OF_BLOCK: i32 = 39;
export const CODE_SET: i32 = 40;
export const UNUSED_CODE: i32 = 41;
export const DISTANCE: i32 = 42;

export const WINDOW_TOO_LARGE: i32 = 64;
export const BLOCK_SIZE: i32 = 65;
export const LITERALS: i32 = 66;
export const WEIGHTS: i32 = 67;
export const NO_TABLE: i32 = 68;
export const HUFFMAN_STREAM: i32 = 69;
export const SEQUENCES: i32 = 70;
export const DISTRIBUTION: i32 = 71;
export const SEQUENCE_STREAM: i32 = 72;
export const OFFSET: i32 = 73;
export const CONTENT_SIZE: i32 = 74;

/** Whether so many bytes are there, or all that will ever be. */
// @ts-ignore: decorator
@inline
export function hasBytes(count: usize): bool {
  return stream.isLast || stream.end - stream.next >= count;
}
