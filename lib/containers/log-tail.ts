/**
 * Where the last lines of a log begin. It is read from its end in windows of a megabyte. Within one, records are found
 * without reading what is before: wherever one begins in its first 64 KiB, following the lengths leads to its end. What a
 * container has written may look like records as well; but true ones are always among those that are found, so from where
 * all ways have met on, they are true.
 * @module
 */
import type { Arena, OpenFile } from "../../syscalls/index.ts";
import { LOG_HEADER } from "./layout.ts";
import type { LogCursor } from "./log-cursor.ts";
import { lengthAt, LOG_RECORD_MAX, streamAt, timeAt, walkRecords } from "./log-format.ts";

const NEWLINE = 10;
/** So many windows are searched for the beginning of a line of the other stream. */
const MORE_WINDOWS = 8;

/** Bytes of a stream, by its number, that are left out from where the cursor is. */
export type LeftOut = Record<number, number>;

interface Found {
  header: number;
  start: number;
  end: number;
  stream: number;
}

/**
 * Moves a cursor to where the last so many lines of some streams begin.
 * @param until nanoseconds since 1970: of what came by then
 */
export function moveToTail(cursor: LogCursor, lines: number, streams: readonly number[], until?: bigint): LeftOut {
  const search = new Search(lines, streams, until);
  for (let index = cursor.files.length - 1; index >= 0; index--) {
    const file = cursor.files[index] as OpenFile;
    for (const [from, records] of windowsOf(file, cursor.memory)) {
      for (const record of records.toReversed()) if (search.take(cursor.memory, record, index, from)) break;
      if (search.endWindow()) break;
    }
    if (search.isOver) break;
  }
  if (lines === 0) cursor.moveToEnd();
  else if (search.place) cursor.moveTo(search.place.index, search.place.at);
  return lines === 0 ? {} : search.leftOut;
}

/** Is shown records from the last one on. */
class Search {
  readonly #streams: readonly number[];
  readonly #until: bigint | undefined;
  #lines: number;
  readonly #seen = new Set<number>();
  /** The stream of the first line that is left out. */
  #cut: number | undefined;
  /** Of that stream, in records before the place. */
  #passed = 0;
  #windows = 0;
  #over = false;
  place: { index: number; at: number } | undefined;
  leftOut: LeftOut = {};

  constructor(lines: number, streams: readonly number[], until: bigint | undefined) {
    this.#lines = lines;
    this.#until = until;
    this.#streams = streams;
    this.#over = lines === 0;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** @returns whether no more is needed */
  take({ bytes, view }: Arena, { header, start, end, stream }: Found, index: number, from: number): boolean {
    if (this.#over || !this.#streams.includes(stream)) return this.#over;
    if (this.#until !== undefined && timeAt(view, header) > this.#until) return false;
    const place = { index, at: from + header };
    if (this.#cut !== undefined) {
      this.#takeOther(bytes, { header, start, end, stream }, place);
      return this.#over;
    }
    if (!this.#seen.has(stream) && bytes[end - 1] !== NEWLINE) {
      // what is behind the last line end of a stream is a line as well
      if (this.#lines === 0) {
        this.#cutAt(stream, place, end - start);
        return this.#over;
      }
      this.#lines--;
    }
    this.#seen.add(stream);
    for (let at = end; (at = bytes.lastIndexOf(NEWLINE, at - 1)) >= start;) {
      if (this.#lines-- > 0) continue;
      this.#cutAt(stream, place, at - start + 1);
      return this.#over;
    }
    return false;
  }

  #cutAt(stream: number, place: { index: number; at: number }, length: number): void {
    this.#cut = stream;
    this.place = place;
    this.leftOut = { [stream]: length };
    this.#over = [...this.#seen].every((seen) => seen === stream);
  }

  /** Before the cut: the line of the other stream that goes on behind it begins there. */
  #takeOther(bytes: Uint8Array, { start, end, stream }: Found, place: { index: number; at: number }): void {
    const cut = this.#cut as number;
    if (stream === cut) {
      this.#passed += end - start;
      return;
    }
    const newline = bytes.lastIndexOf(NEWLINE, end - 1);
    this.#over = newline >= start;
    if (newline === end - 1) return;
    this.place = place;
    this.leftOut = { [cut]: (this.leftOut[cut] ?? 0) + this.#passed, [stream]: Math.max(0, newline - start + 1) };
    this.#passed = 0;
  }

  /** @returns whether no more is needed */
  endWindow(): boolean {
    if (this.#cut !== undefined && this.#windows++ >= MORE_WINDOWS) this.#over = true;
    return this.#over;
  }
}

/** The records of each window, the last window first; and where in the file its memory is. */
function* windowsOf(file: OpenFile, memory: Arena): Generator<[from: number, records: Found[]]> {
  let starts: number[] | undefined;
  for (let end = file.sizeBytes, isLast = true; end > 0; isLast = false) {
    let from = starts?.findLast((at) => at < end) ?? Math.max(0, end - memory.size);
    let count = file.readAt(from, memory, 0, end - from);
    let first = starts || from === 0 ? 0 : firstRecord(memory.view, count, isLast);
    if (first === undefined) {
      starts = startsOf(file, memory);
      from = starts.findLast((at) => at < end) ?? 0;
      count = file.readAt(from, memory, 0, end - from);
      first = 0;
    }
    const records: Found[] = [];
    walkRecords(memory, first, count, true, {
      record: ({ view }, header, start, stop) =>
        void records.push({ header, start, end: stop, stream: streamAt(view, header) }),
    });
    yield [from, records];
    end = from + first;
  }
}

/** Where reading all of a file comes by, at least once in every window. */
function startsOf(file: OpenFile, memory: Arena): number[] {
  const starts: number[] = [];
  for (let at = 0; ;) {
    const count = file.readAt(at, memory);
    const last = count < memory.size;
    if (count > 0) starts.push(at);
    const walked = walkRecords(memory, 0, count, last, { record() {} });
    if (last || walked.at === 0) return starts;
    at += walked.at;
  }
}

/**
 * The first record of a window that is known to be one; undefined where that cannot be told.
 * @param isLast the last record may be cut; otherwise one ends where the window does
 */
function firstRecord(view: DataView, to: number, isLast: boolean): number | undefined {
  const leadsOn = (at: number) => at + LOG_HEADER <= to && lengthAt(view, at) >= 0;
  const next = (at: number) => at + LOG_HEADER + lengthAt(view, at);
  const isEnd = (at: number) => at === to || (isLast && (at > to || at + LOG_HEADER > to));
  let known: Set<number> | undefined;
  let first: number | undefined;
  for (let begin = 0; begin < LOG_RECORD_MAX && begin < to; begin++) {
    if (known?.has(begin) || !leadsOn(begin)) continue;
    const way: number[] = [];
    let at = begin;
    while (!known?.has(at) && leadsOn(at)) {
      way.push(at);
      at = next(at);
    }
    if (known?.has(at)) first = Math.max(first ?? 0, at);
    else if (isEnd(at)) {
      // another way to the end, which has never met the first one
      if (known) return undefined;
      known = new Set(way);
      first = begin;
    }
  }
  return first;
}
