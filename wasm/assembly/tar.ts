/**
 * The numbers of a tar header, read and written where they lie.
 *
 * The host copies 512-byte blocks into linear memory and passes offsets; only numbers cross the border. Formats:
 * POSIX ustar and GNU tar (base-256 numbers). Names, PAX records and the order of entries are not looked at here.
 *
 *      0        100   108   116   124    136    148     156  157       257             512
 *      ├─ name ──┼ mode┼ uid ┼ gid ┼ size ┼ mtime┼ chksum ┼type┼ linkname ┼ magic … prefix ┤
 *
 * @see https://www.gnu.org/software/tar/manual/html_node/Standard.html
 */

const BLOCK: usize = 512;
const CHKSUM: usize = 148; // eight bytes, counted as if they were spaces
const SPACE: u8 = 0x20;
const MALFORMED: i64 = -1;

/** The checksum that the header at `offset` ought to carry: the sum of its bytes, the checksum field as spaces. */
export function checksum(offset: usize): u32 {
  // 32 rounds add at most 2 * 255 to a 16-bit lane: 16320, so the lanes cannot overflow before they are widened.
  let lanes = i16x8.splat(0);
  for (let at: usize = 0; at < BLOCK; at += 16) {
    lanes = i16x8.add(lanes, i16x8.extadd_pairwise_i8x16_u(v128.load(offset + at)));
  }
  const wide = i32x4.extadd_pairwise_i16x8_u(lanes);
  let sum: u32 =
    i32x4.extract_lane(wide, 0) + i32x4.extract_lane(wide, 1) + i32x4.extract_lane(wide, 2) + i32x4.extract_lane(wide, 3);
  for (let at = offset + CHKSUM; at < offset + CHKSUM + 8; at++) sum += <u32>SPACE - <u32>load<u8>(at);
  return sum;
}

/**
 * The number in the field of `length` bytes at `offset`; -1 when it is malformed.
 *
 * Like GNU tar: blanks in front are skipped, the first blank or NUL after the digits ends it, an empty field is 0.
 * A first byte of 0x80 announces base-256. Negative numbers (a time before 1970) and those above 2^63 - 1 are
 * malformed.
 */
export function parseOctal(offset: usize, length: u32): i64 {
  const end = offset + length;
  if (offset < end && (load<u8>(offset) & 0x80) != 0) return parseBase256(offset, end);
  let at = offset;
  while (at < end && isBlank(load<u8>(at))) at++;
  let value: i64 = 0;
  for (; at < end; at++) {
    const byte = load<u8>(at);
    if (isBlank(byte)) break;
    if ((byte & 0xf8) != 0x30) return MALFORMED; // not "0" to "7"
    if (value >> 60 != 0) return MALFORMED;
    value = (value << 3) | (byte & 7);
  }
  return value;
}

/** Big-endian, the top bit of the first byte being the mark and the next one the sign. */
function parseBase256(offset: usize, end: usize): i64 {
  const first = load<u8>(offset);
  if ((first & 0x40) != 0) return MALFORMED;
  let value: i64 = first & 0x3f;
  for (let at = offset + 1; at < end; at++) {
    if (value >> 55 != 0) return MALFORMED;
    value = (value << 8) | load<u8>(at);
  }
  return value;
}

/** Whether the block at `offset` is all zeros, as those at the end of an archive are. */
export function isZero(offset: usize): bool {
  let bits = i64x2.splat(0);
  for (let at: usize = 0; at < BLOCK; at += 16) bits = v128.or(bits, v128.load(offset + at));
  return !v128.any_true(bits);
}

/**
 * Writes a number of 0 or more into the field of `length` bytes at `offset`: in octal with a NUL at its end, or, where
 * that is too small for it, in base-256, as GNU tar does.
 */
export function putNumber(offset: usize, length: u32, value: i64): void {
  const digits = length - 1;
  const fits = digits >= 21 || value >> (3 * digits) == 0;
  let rest = value;
  if (fits) store<u8>(offset + digits, 0);
  for (let at: i32 = fits ? digits - 1 : length - 1; at >= 0; at--) {
    store<u8>(offset + at, <u8>(fits ? 0x30 | (rest & 7) : rest & 0xff));
    rest >>= fits ? 3 : 8;
  }
  if (!fits) store<u8>(offset, 0x80);
}

/** Writes the checksum of the header at `offset`: six digits, a NUL and a space. */
export function putChecksum(offset: usize): void {
  putNumber(offset + CHKSUM, 7, checksum(offset));
  store<u8>(offset + CHKSUM + 7, SPACE);
}

// @ts-ignore: decorator
@inline
function isBlank(byte: u8): bool {
  return byte == SPACE || byte == 0;
}
