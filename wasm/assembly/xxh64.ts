/**
 * XXH64 with seed 0, over bytes as they come: four sums over stripes of 32 bytes.
 *
 * @see https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 */

const PRIME_1: u64 = 0x9e3779b185ebca87;
const PRIME_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME_3: u64 = 0x165667b19e3779f9;
const PRIME_4: u64 = 0x85ebca77c2b2ae63;
const PRIME_5: u64 = 0x27d4eb2f165667c5;
const STRIPE: usize = 32;

/** The bytes behind the last whole stripe. */
const rest: usize = memory.data(32, 8);
let restBytes: usize = 0;
let total: u64 = 0;
let sum1: u64 = 0;
let sum2: u64 = 0;
let sum3: u64 = 0;
let sum4: u64 = 0;

export function startHash(): void {
  restBytes = 0;
  total = 0;
  sum1 = PRIME_1 + PRIME_2;
  sum2 = PRIME_2;
  sum3 = 0;
  sum4 = 0 - PRIME_1;
}

export function hash(offset: usize, length: usize): void {
  total += length;
  if (restBytes > 0) {
    const count = min(STRIPE - restBytes, length);
    memory.copy(rest + restBytes, offset, count);
    restBytes += count;
    offset += count;
    length -= count;
    if (restBytes < STRIPE) return;
    stripes(rest, rest + STRIPE);
    restBytes = 0;
  }
  const whole = length & ~(STRIPE - 1);
  stripes(offset, offset + whole);
  restBytes = length - whole;
  memory.copy(rest, offset + whole, restBytes);
}

function stripes(at: usize, end: usize): void {
  let a = sum1;
  let b = sum2;
  let c = sum3;
  let d = sum4;
  for (; at < end; at += STRIPE) {
    a = round(a, load<u64>(at));
    b = round(b, load<u64>(at, 8));
    c = round(c, load<u64>(at, 16));
    d = round(d, load<u64>(at, 24));
  }
  sum1 = a;
  sum2 = b;
  sum3 = c;
  sum4 = d;
}

// @ts-ignore: decorator
@inline
function round(sum: u64, value: u64): u64 {
  return rotl(sum + value * PRIME_2, 31) * PRIME_1;
}

// @ts-ignore: decorator
@inline
function merge(hash: u64, sum: u64): u64 {
  return (hash ^ round(0, sum)) * PRIME_1 + PRIME_4;
}

export function endHash(): u64 {
  let hash = sum3 + PRIME_5;
  if (total >= STRIPE) {
    hash = rotl(sum1, 1) + rotl(sum2, 7) + rotl(sum3, 12) + rotl(sum4, 18);
    hash = merge(merge(merge(merge(hash, sum1), sum2), sum3), sum4);
  }
  hash += total;
  let at = rest;
  const end = rest + restBytes;
  for (; at + 8 <= end; at += 8) hash = rotl(hash ^ round(0, load<u64>(at)), 27) * PRIME_1 + PRIME_4;
  if (at + 4 <= end) {
    hash = rotl(hash ^ (<u64>load<u32>(at) * PRIME_1), 23) * PRIME_2 + PRIME_3;
    at += 4;
  }
  for (; at < end; at++) hash = rotl(hash ^ (<u64>load<u8>(at) * PRIME_5), 11) * PRIME_1;
  hash = (hash ^ (hash >> 33)) * PRIME_2;
  hash = (hash ^ (hash >> 29)) * PRIME_3;
  return hash ^ (hash >> 32);
}
