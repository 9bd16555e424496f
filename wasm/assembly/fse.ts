/**
 * Finite state entropy: distributions as zstd writes them, and the tables that decode by them.
 *
 *      entry of 64 bits   63            32      24      16         0
 *                         │  base value │ extra │ count │ next     │    next + `count` bits: the state after this one
 *                                                                       base value + `extra` bits: what it stands for
 *
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-4.1
 */
import { DISTRIBUTION, GO } from "./stream";

/** Probabilities of up to 256 symbols, i16; -1 is "less than 1". */
export const probabilities: usize = memory.data(256 * 2, 8);
/** The last table of `readDistribution`: symbols, accuracy, and bytes that it took. */
export let symbolCount: u32 = 0;
export let accuracy: u32 = 0;
export let readBytes: usize = 0;

const nextStates: usize = memory.data(256 * 2, 8);

/** Reads the description of a distribution from `at`. Up to 8 bytes behind `end` are loaded, and not used. */
export function readDistribution(at: usize, end: usize, maxSymbol: u32, maxAccuracy: u32): i32 {
  if (at >= end) return DISTRIBUTION;
  const limit: u64 = <u64>(end - at) << 3;
  let position: u64 = 4;
  accuracy = (load<u8>(at) & 15) + 5;
  if (accuracy > maxAccuracy) return DISTRIBUTION;
  let left: i32 = (1 << accuracy) + 1; // one more than what is to be given out
  let symbol: u32 = 0;
  while (left > 1) {
    if (symbol > maxSymbol || position > limit) return DISTRIBUTION;
    // values below `left`, with one bit less where the longer form is not needed to tell them apart
    const width: u32 = 32 - clz(<u32>left);
    const read = peek(at, position, width);
    const threshold: u32 = 1 << (width - 1);
    const short: u32 = (1 << width) - 1 - left;
    let value: u32 = read & (threshold - 1);
    if (value < short) {
      position += width - 1;
    } else {
      value = read >= threshold ? read - short : read;
      position += width;
    }
    const probability: i32 = <i32>value - 1;
    left -= probability < 0 ? 1 : probability;
    store<i16>(probabilities + (symbol++ << 1), <i16>probability);
    if (left < 1) return DISTRIBUTION;
    if (probability != 0) continue;
    for (let repeat: u32 = 3; repeat == 3; ) {
      if (position > limit) return DISTRIBUTION;
      repeat = peek(at, position, 2);
      position += 2;
      if (symbol + repeat > maxSymbol + 1) return DISTRIBUTION;
      for (let count = repeat; count > 0; count--) store<i16>(probabilities + (symbol++ << 1), 0);
    }
  }
  if (position > limit) return DISTRIBUTION;
  symbolCount = symbol;
  readBytes = <usize>((position + 7) >> 3);
  return GO;
}

function peek(at: usize, position: u64, width: u32): u32 {
  return <u32>(load<u64>(at + <usize>(position >> 3)) >> (position & 7)) & ((1 << width) - 1);
}

/** Fills `table` for the probabilities that are set; `values` has the upper 48 bits of each symbol's entries. */
export function buildStates(table: usize, count: u32, log: u32, values: usize): void {
  const size: u32 = 1 << log;
  let high: usize = size - 1;
  for (let symbol: u32 = 0; symbol < count; symbol++) {
    const probability = load<i16>(probabilities + (symbol << 1));
    store<u16>(nextStates + (symbol << 1), probability < 0 ? 1 : <u16>probability);
    if (probability < 0) store<u64>(table + (high-- << 3), symbol);
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let position: usize = 0;
  for (let symbol: u32 = 0; symbol < count; symbol++) {
    for (let left: i32 = load<i16>(probabilities + (symbol << 1)); left > 0; left--) {
      store<u64>(table + (position << 3), symbol);
      do position = (position + step) & (size - 1);
      while (position > high);
    }
  }
  for (let state: u32 = 0; state < size; state++) {
    const at = table + (<usize>state << 3);
    const symbol = <usize>load<u64>(at);
    const next: u32 = load<u16>(nextStates + (symbol << 1));
    store<u16>(nextStates + (symbol << 1), <u16>(next + 1));
    const bits: u32 = log - (31 - clz(next));
    store<u64>(at, load<u64>(values + (symbol << 3)) | (bits << 16) | ((next << bits) - size));
  }
}
