/**
 * Checksums: CRC-32 for headers of gzip, and for hosts without a native one; Adler-32 of zlib.
 *
 * @see https://www.rfc-editor.org/rfc/rfc1952#section-8
 */

const crcTable: usize = memory.data(256 * 4, 8);
const POLYNOMIAL: u32 = 0xedb88320;
/** Adler-32 counts modulo this. After 5552 bytes of 0xff the second sum still fits into 32 bits. */
const ADLER_BASE: u32 = 65521;
const ADLER_BYTES: usize = 5552;

export function crc32(sum: u32, offset: usize, length: usize): u32 {
  if (load<u32>(crcTable, 4) == 0) makeTable();
  sum = ~sum;
  const end = offset + length;
  for (let at = offset; at < end; at++) {
    sum = (sum >> 8) ^ load<u32>(crcTable + (<usize>((sum ^ load<u8>(at)) & 0xff) << 2));
  }
  return ~sum;
}

function makeTable(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) != 0 ? (value >> 1) ^ POLYNOMIAL : value >> 1;
    store<u32>(crcTable + (byte << 2), value);
  }
}

export function adler32(sum: u32, offset: usize, length: usize): u32 {
  let low = sum & 0xffff;
  let high = sum >> 16;
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const stop = min(end, at + ADLER_BYTES);
    for (; at < stop; at++) {
      low += load<u8>(at);
      high += low;
    }
    low %= ADLER_BASE;
    high %= ADLER_BASE;
  }
  return (high << 16) | low;
}
