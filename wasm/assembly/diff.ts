/**
 * Two states of a directory: what is different between them, and what a layer makes of one.
 *
 * A state is a table of records of 32 bytes, whose texts lie where they say. It is sorted here, so that a directory
 * comes before what is in it, and all that is in it before anything else: a slash counts as less than any other byte.
 * So both states are read once, side by side, and what is below a path is what follows it.
 *
 *      record   0      4         8            12                 16       20             24
 *               │ path │ its     │ attributes │ their length     │ digest │ its length,  │ 1: a directory │ its number
 *               │      │ length  │            │ without a digest │        │ 0: not known │                │ for the host
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
const RECORD: usize = 32;
const SLASH: u8 = 0x2f;
/** `.wh.`, and what follows it in the name of an opaque whiteout: `.wh..opq`. */
const WHITEOUT: u32 = 0x2e68772e;
const OPAQUE: u64 = 0x71706f2e2e68772e;

/** How many numbers a call wrote to each of its two lists. */
export let firstCount: u32 = 0;
export let secondCount: u32 = 0;

// @ts-ignore: decorator
@inline
function pathOf(record: usize): usize {
  return load<u32>(record);
}

// @ts-ignore: decorator
@inline
function lengthOf(record: usize): usize {
  return load<u32>(record, 4);
}

// @ts-ignore: decorator
@inline
function isDirectory(record: usize): bool {
  return load<u32>(record, 24) != 0;
}

// @ts-ignore: decorator
@inline
function numberOf(record: usize): u32 {
  return load<u32>(record, 28);
}

// @ts-ignore: decorator
@inline
function rank(byte: u8): i32 {
  return byte == SLASH ? -1 : <i32>byte;
}

/** How many bytes from two places on are the same, eight at a time; `most` at most. */
function sameBytes(a: usize, b: usize, most: usize): usize {
  let at: usize = 0;
  for (; at + 8 <= most; at += 8) {
    const different = load<u64>(a + at) ^ load<u64>(b + at);
    if (different != 0) return at + <usize>(ctz(different) >> 3);
  }
  while (at < most && load<u8>(a + at) == load<u8>(b + at)) at++;
  return at;
}

/** Less than, equal to or more than 0, as the path comes before, is, or comes behind the other. */
function order(a: usize, aLength: usize, b: usize, bLength: usize): i32 {
  const most = min(aLength, bLength);
  const at = sameBytes(a, b, most);
  if (at == most) return <i32>(aLength - bLength);
  return rank(load<u8>(a + at)) - rank(load<u8>(b + at));
}

function orderOf(a: usize, b: usize): i32 {
  return order(pathOf(a), lengthOf(a), pathOf(b), lengthOf(b));
}

/** Whether a path is below another; all but itself is below the empty one. */
function isBelow(path: usize, length: usize, above: usize, aboveLength: usize): bool {
  if (aboveLength == 0) return length > 0;
  if (length <= aboveLength || load<u8>(path + aboveLength) != SLASH) return false;
  return sameBytes(path, above, aboveLength) == aboveLength;
}

/** Of the directory that a path is in: where its slash is, 0 at the top. */
function parentLength(path: usize, length: usize): usize {
  while (length > 0) if (load<u8>(path + --length) == SLASH) return length;
  return 0;
}

/**
 * Sorts `count` records by their paths, with room for as many behind them. Of those with one path the last stays, unless
 * `keepsAll`. Returns how many are left.
 */
export function sortRecords(records: usize, count: u32, keepsAll: bool): u32 {
  const size = <usize>count * RECORD;
  if (isSorted(records, size)) return count;
  let from = records;
  let to = records + size;
  for (let width = RECORD; width < size; width <<= 1) {
    for (let start: usize = 0; start < size; start += width << 1) {
      const middle = from + min(start + width, size);
      const end = from + min(start + (width << 1), size);
      let left = from + start;
      let right = middle;
      for (let out = to + start; out < to + (end - from); out += RECORD) {
        const takesLeft = left < middle && (right >= end || orderOf(left, right) <= 0);
        memory.copy(out, takesLeft ? left : right, RECORD);
        if (takesLeft) left += RECORD;
        else right += RECORD;
      }
    }
    const other = from;
    from = to;
    to = other;
  }
  let out = records;
  for (let at = from; at < from + size; at += RECORD) {
    if (!keepsAll && at + RECORD < from + size && orderOf(at, at + RECORD) == 0) continue;
    if (out != at) memory.copy(out, at, RECORD);
    out += RECORD;
  }
  return <u32>((out - records) / RECORD);
}

/** As most states are. */
function isSorted(records: usize, size: usize): bool {
  for (let at = RECORD; at < size; at += RECORD) if (orderOf(records + at - RECORD, records + at) >= 0) return false;
  return true;
}

function isChanged(old: usize, now: usize): bool {
  const length = load<u32>(old, 12);
  if (length != load<u32>(now, 12)) return true;
  if (sameBytes(load<u32>(old, 8), load<u32>(now, 8), length) != length) return true;
  const digestLength = load<u32>(old, 20);
  if (digestLength == 0 || load<u32>(now, 20) == 0) return false;
  return digestLength != load<u32>(now, 20) || sameBytes(load<u32>(old, 16), load<u32>(now, 16), digestLength) != digestLength;
}

/** A path of the lower state below which nothing is left: what it was a directory for is gone, or is hidden. */
let over: usize = 0;
let overLength: usize = 0;

function cover(record: usize): void {
  if (isCovered(record)) return;
  over = pathOf(record);
  overLength = lengthOf(record);
}

function isIn(record: usize, directory: usize): bool {
  return isBelow(pathOf(record), lengthOf(record), pathOf(directory), lengthOf(directory));
}

function isCovered(record: usize): bool {
  return over != 0 && isBelow(pathOf(record), lengthOf(record), over, overLength);
}

/**
 * What the walk through the lower state is in: a directory's path and its length, whether it keeps anything, where its
 * losses begin, and one more than the number of something in it that is gone, or 0.
 */
const FRAME: usize = 24;
let frames: usize = 0;
let top: usize = 0;
let gone: usize = 0;

/** Goes into the directory that a path is in, level by level, out of those that it is not in. */
function enter(path: usize, length: usize, opaque: bool): void {
  const above = parentLength(path, length);
  while (top > frames && !isWithin(path, above)) leave(opaque);
  if (top == frames) push(path, 0);
  for (let at: usize = load<u32>(top - FRAME, 4) + 1; at <= above; at++) {
    if (at == above || load<u8>(path + at) == SLASH) push(path, at);
  }
}

function push(path: usize, length: usize): void {
  store<u32>(top, <u32>path);
  store<u32>(top, <u32>length, 4);
  store<u32>(top, 0, 8);
  store<u32>(top, <u32>gone, 12);
  store<u32>(top, 0, 16);
  top += FRAME;
}

function isWithin(path: usize, above: usize): bool {
  const own: usize = load<u32>(top - FRAME, 4);
  const directory: usize = load<u32>(top - FRAME);
  return own == above ? sameBytes(path, directory, own) == own : isBelow(path, above, directory, own);
}

/** A directory below the top that has lost all it had: its losses, the last of all, become one opaque whiteout. */
function leave(opaque: bool): void {
  top -= FRAME;
  if (load<u32>(top, 8) != 0) {
    if (top > frames) store<u32>(top - FRAME, 1, 8);
    return;
  }
  const start: usize = load<u32>(top, 12);
  const lost = load<u32>(top, 16);
  if (!opaque || load<u32>(top, 4) == 0 || lost == 0) return;
  store<u32>(start, (lost - 1) | 0x80000000);
  gone = start + 4;
}

/**
 * Compares two sorted states. The first list, at `out`, has the numbers of the upper one's records that are new, or
 * changed, the latter with the highest bit; the second, behind `upperCount` numbers, those of the lower one's records
 * that are gone, with the highest bit where all of their directory is. `stack` has room for 24 bytes for each directory
 * of the longest path.
 */
// oxlint-disable-next-line max-params
export function compareStates(
  lower: usize,
  lowerCount: u32,
  upper: usize,
  upperCount: u32,
  out: usize,
  stack: usize,
  opaque: bool,
): void {
  const lowerEnd = lower + <usize>lowerCount * RECORD;
  const upperEnd = upper + <usize>upperCount * RECORD;
  const losses = out + (<usize>upperCount << 2);
  frames = top = stack;
  gone = losses;
  let next = out;
  over = 0;
  while (lower < lowerEnd || upper < upperEnd) {
    const which = lower == lowerEnd ? 1 : upper == upperEnd ? -1 : orderOf(lower, upper);
    if (which <= 0 && !isCovered(lower)) {
      enter(pathOf(lower), lengthOf(lower), opaque);
      // a directory that is not told of, but has something in it, is there
      if (which == 0 || (isDirectory(lower) && upper < upperEnd && isIn(upper, lower))) store<u32>(top - FRAME, 1, 8);
      else {
        cover(lower);
        store<u32>(top - FRAME, numberOf(lower) + 1, 16);
        store<u32>(gone, numberOf(lower));
        gone += 4;
      }
    }
    if (which <= 0) lower += RECORD;
    if (which < 0) continue;
    if (which > 0 || isChanged(lower - RECORD, upper)) {
      store<u32>(next, which > 0 ? numberOf(upper) : numberOf(upper) | 0x80000000);
      next += 4;
    }
    if (!isDirectory(upper)) cover(upper);
    upper += RECORD;
  }
  while (top > frames) leave(opaque);
  firstCount = <u32>((next - out) >> 2);
  secondCount = <u32>((gone - losses) >> 2);
}

/**
 * Sorts the records of a layer apart: its `entries`, and its whiteouts, each with the path that it hides, and 1 instead
 * of a directory's where it hides only what is in it. The top, which is no entry, and whiteouts of no name are left out.
 */
export function splitWhiteouts(records: usize, count: u32, entries: usize, whiteouts: usize): void {
  firstCount = secondCount = 0;
  for (let at = records; at < records + <usize>count * RECORD; at += RECORD) {
    const path = pathOf(at);
    const length = lengthOf(at);
    if (length == 0) continue;
    const parent = parentLength(path, length);
    const name = path + parent + (load<u8>(path + parent) == SLASH ? 1 : 0);
    const nameLength = path + length - name;
    if (nameLength < 4 || load<u32>(name) != WHITEOUT) {
      memory.copy(entries + <usize>firstCount * RECORD, at, RECORD);
      firstCount++;
      continue;
    }
    if (nameLength == 4) continue;
    const mark = whiteouts + <usize>secondCount * RECORD;
    secondCount++;
    const isOpaque = nameLength == 12 && load<u64>(name, 4) == OPAQUE;
    // the name without its prefix: what is before it moves up
    if (!isOpaque) memory.copy(path + 4, path, name - path);
    store<u32>(mark, <u32>(isOpaque ? path : path + 4));
    store<u32>(mark, <u32>(isOpaque ? parent : length - 4), 4);
    store<u32>(mark, isOpaque ? 1 : 0, 24);
  }
}

/**
 * What a layer makes of a state, all three sorted: at `out` the numbers of the records that are there, of the layer's
 * own with the highest bit.
 */
// oxlint-disable-next-line max-params
export function applyStates(
  lower: usize,
  lowerCount: u32,
  own: usize,
  ownCount: u32,
  marks: usize,
  markCount: u32,
  out: usize,
): void {
  const lowerEnd = lower + <usize>lowerCount * RECORD;
  const ownEnd = own + <usize>ownCount * RECORD;
  const marksEnd = marks + <usize>markCount * RECORD;
  let next = out;
  over = 0;
  while (lower < lowerEnd || own < ownEnd) {
    const which = lower == lowerEnd ? 1 : own == ownEnd ? -1 : orderOf(lower, own);
    const first = which <= 0 ? lower : own;
    let isHidden = false;
    for (; marks < marksEnd && orderOf(marks, first) <= 0; marks += RECORD) {
      cover(marks);
      isHidden = isHidden || (!isDirectory(marks) && orderOf(marks, first) == 0);
    }
    if (which >= 0) {
      if (!isDirectory(own)) cover(own);
      store<u32>(next, numberOf(own) | 0x80000000);
      next += 4;
      own += RECORD;
    } else if (!isHidden && !isCovered(lower)) {
      store<u32>(next, numberOf(lower));
      next += 4;
    }
    if (which <= 0) lower += RECORD;
  }
  firstCount = <u32>((next - out) >> 2);
}
