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
const MALFORMED: i64 = i64.MIN_VALUE;

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
 * The number in the field of `length` bytes at `offset`; the lowest of all numbers when it is malformed.
 *
 * Like GNU tar: blanks in front are skipped, the first blank or NUL after the digits ends it, an empty field is 0.
 * A first byte of 0x80 announces base-256, one of 0xff a negative number in it (a time before 1970).
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
  let value: i64 = first & 0x3f;
  if ((first & 0x40) != 0) value -= 0x40;
  for (let at = offset + 1; at < end; at++) {
    const top = value >> 55;
    if (top != 0 && top != -1) return MALFORMED;
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

/** A header's numbers, f64: mode, uid, gid, size, mtime, device's major and minor, type, and the lengths of its texts. */
export const record: usize = memory.data(12 * 8, 8);
/** Room for a header that does not lie in a window. */
export const scratch: usize = memory.data(BLOCK, 16);

export const END_BLOCK: i32 = 0;
export const HEADER: i32 = 1;
export const NO_HEADER: i32 = 2;
export const BAD_SIZE: i32 = 3;

/**
 * Reads the header at `offset` into `record`. A number that is malformed is 0, but for the size, which decides where
 * the next header is. The lengths are those of name, link name and prefix, up to their NUL; the prefix counts in POSIX
 * archives only.
 */
export function scanHeader(offset: usize): i32 {
  if (load<u64>(offset) == 0 && isZero(offset)) return END_BLOCK;
  if (parseOctal(offset + CHKSUM, 8) != checksum(offset)) return NO_HEADER;
  const size = parseOctal(offset + 124, 12);
  if (size < 0) return BAD_SIZE;
  put(0, parseOctal(offset + 100, 8));
  put(1, parseOctal(offset + 108, 8));
  put(2, parseOctal(offset + 116, 8));
  put(3, size);
  put(4, parseOctal(offset + 136, 12));
  const type = load<u8>(offset, 156);
  const isDevice = type == 0x33 || type == 0x34;
  put(5, isDevice ? parseOctal(offset + 329, 8) : 0);
  put(6, isDevice ? parseOctal(offset + 337, 8) : 0);
  put(7, type);
  put(8, textLength(offset, 100));
  put(9, textLength(offset + 157, 100));
  // "ustar" and a NUL; GNU tar has a space there, and times where the prefix would be
  const isPosix = (load<u64>(offset, 257) & 0xffffffffffff) == 0x007261747375;
  put(10, isPosix ? textLength(offset + 345, 155) : 0);
  return HEADER;
}

// @ts-ignore: decorator
@inline
function put(index: usize, value: i64): void {
  store<f64>(record + (index << 3), value == MALFORMED ? 0 : <f64>value);
}

/** Up to the first NUL: eight bytes at a time, where a byte that is 0 borrows from the bit above it. */
function textLength(offset: usize, most: usize): i64 {
  let at: usize = 0;
  for (; at + 8 <= most; at += 8) {
    const bytes = load<u64>(offset + at);
    const zeros = (bytes - 0x0101010101010101) & ~bytes & 0x8080808080808080;
    if (zeros != 0) return <i64>(at + <usize>(ctz(zeros) >> 3));
  }
  while (at < most && load<u8>(offset + at) != 0) at++;
  return <i64>at;
}
