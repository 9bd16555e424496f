/**
 * The records of a log, in memory: where each begins, and where one begins after damage. Nothing is made for a record:
 * there may be millions.
 * @module
 */
import type { Arena } from "../../syscalls/index.ts";
import { LOG_CHUNK, LOG_HEADER } from "./layout.ts";

export const [STDOUT, STDERR] = [1, 2];
/** So much is enough to hold one, and the header of the next. */
export const LOG_RECORD_MAX = LOG_HEADER + LOG_CHUNK;

const [NANOSECONDS, LENGTH, STREAM] = [8, 16, 20];
const SECOND_NS = 1_000_000_000;
/** Until the year 2242. */
const MAX_SECONDS_HIGH = 1;

/** The length of the record whose header is there whole; -1 where it is none. */
export function lengthAt(view: DataView, at: number): number {
  const stream = view.getUint32(at + STREAM, true);
  const length = view.getUint32(at + LENGTH, true);
  const plausible =
    (stream === STDOUT || stream === STDERR) &&
    length > 0 &&
    length <= LOG_CHUNK &&
    view.getUint32(at + NANOSECONDS, true) < SECOND_NS &&
    view.getUint32(at + NANOSECONDS + 4, true) === 0 &&
    view.getUint32(at + 4, true) <= MAX_SECONDS_HIGH;
  return plausible ? length : -1;
}

/** Nanoseconds since 1970. */
export const timeAt = (view: DataView, at: number): bigint =>
  view.getBigUint64(at, true) * BigInt(SECOND_NS) + BigInt(view.getUint32(at + NANOSECONDS, true));

export const streamAt = (view: DataView, at: number): number => view.getUint32(at + STREAM, true);

/** What looks at records. */
export interface RecordVisitor {
  /** @param header where that is; the bytes are from `start` to `end`, and may be moved, but not before the header */
  record(memory: Arena, header: number, start: number, end: number): void;
  /** The memory is about to be used again. */
  flush?(): void;
}

/** Of memory that holds a part of a log. */
export interface Walked {
  /** Behind the last whole record. */
  at: number;
  /** Bytes that are none of any record, or that one lacks. */
  damaged: number;
}

/**
 * Visits the whole records between two places, the first of which begins one. Where no header follows one, it is searched
 * for the next two in a row.
 * @param last nothing comes behind, for now: what is cut there is left
 */
export function walkRecords(memory: Arena, from: number, to: number, last: boolean, visitor: RecordVisitor): Walked {
  const { view } = memory;
  let [at, damaged] = [from, 0];
  while (at + LOG_HEADER <= to) {
    const length = lengthAt(view, at);
    const bytes = at + LOG_HEADER;
    const end = length < 0 ? at : bytes + length;
    const isWhole = length >= 0 && end <= to;
    const isFollowed = end + LOG_HEADER <= to;
    if (isWhole && (isFollowed ? lengthAt(view, end) >= 0 : last)) {
      visitor.record(memory, at, bytes, end);
      at = end;
      continue;
    }
    if (length >= 0 && !isFollowed && !last) break;
    const next = nextRecord(view, length < 0 ? at + 1 : bytes, to);
    if (next === undefined && length >= 0 && !isWhole) break;
    // of what may be the beginning of a record, nothing is left out
    const stop = next ?? (last ? to : Math.max(end, to - LOG_RECORD_MAX));
    if (stop === at) break;
    if (length >= 0) visitor.record(memory, at, bytes, Math.min(end, stop));
    damaged += Math.abs(stop - end);
    at = stop;
  }
  return { at, damaged };
}

/** Where two records follow each other, or one ends where all ends. */
function nextRecord(view: DataView, from: number, to: number): number | undefined {
  for (let at = from; at + LOG_HEADER <= to; at++) {
    const length = lengthAt(view, at);
    if (length < 0) continue;
    const end = at + LOG_HEADER + length;
    if (end === to || (end + LOG_HEADER <= to && lengthAt(view, end) >= 0)) return at;
  }
  return undefined;
}
