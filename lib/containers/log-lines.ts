/** What is made of the records of a log: large pieces of its streams, or lines. @module */
import type { Arena } from "../../syscalls/index.ts";
import { streamAt, timeAt, type RecordVisitor } from "./log-format.ts";
import type { LeftOut } from "./log-tail.ts";

const NEWLINE = 10;
/** A line that is longer comes in parts. */
const MAX_LINE = 1 << 20;

/** Gets bytes that are there as long as it works. */
export type TakePiece = (stream: number, memory: Uint8Array, start: number, end: number) => void;

/** Which records of which streams. */
export interface Chosen {
  streams: readonly number[];
  leftOut: LeftOut;
}

/** Where the bytes of a record begin that are chosen; its end where none are. */
function chosenStart({ streams, leftOut }: Chosen, stream: number, start: number, end: number): number {
  if (!streams.includes(stream)) return end;
  const left = leftOut[stream] ?? 0;
  if (left === 0) return start;
  const skipped = Math.min(left, end - start);
  leftOut[stream] = left - skipped;
  return start + skipped;
}

/** Streams as they are: what comes behind each other of one is one piece, moved together in memory. */
export class Pieces implements RecordVisitor {
  readonly #chosen: Chosen;
  readonly #take: TakePiece;
  #memory: Uint8Array = new Uint8Array(0);
  #stream = 0;
  #start = 0;
  #end = 0;

  constructor(chosen: Chosen, take: TakePiece) {
    this.#chosen = chosen;
    this.#take = take;
  }

  record({ bytes, view }: Arena, header: number, start: number, end: number): void {
    const stream = streamAt(view, header);
    const from = chosenStart(this.#chosen, stream, start, end);
    if (from === end) return;
    this.#memory = bytes;
    if (stream === this.#stream && this.#end > this.#start) {
      bytes.copyWithin(this.#end, from, end);
      this.#end += end - from;
      return;
    }
    this.flush();
    [this.#stream, this.#start, this.#end] = [stream, from, end];
  }

  flush(): void {
    if (this.#end > this.#start) this.#take(this.#stream, this.#memory, this.#start, this.#end);
    this.#start = this.#end = 0;
  }
}

export interface Span {
  /** Nanoseconds since 1970, of lines whose first byte came then or later, or earlier. */
  since?: bigint;
  until?: bigint;
}

/**
 * Gets a line with its end, or a part of one that is very long, or what there is of the last one.
 * @param isRest its beginning has come before
 */
export type TakeLine = (
  stream: number,
  time: bigint,
  memory: Uint8Array,
  start: number,
  end: number,
  isRest: boolean,
) => void;

/** What there is of a line, by now. */
interface Open {
  parts: Uint8Array[];
  length: number;
  time: bigint;
  isRest: boolean;
}

/** Lines, put together of each stream. */
export class Lines implements RecordVisitor {
  readonly #chosen: Chosen;
  readonly #span: Span;
  readonly #take: TakeLine;
  readonly #open = new Map<number, Open>();
  /** The first in memory behind what is known to have none. */
  #newline = -1;
  #over = false;

  constructor(chosen: Chosen, span: Span, take: TakeLine) {
    this.#chosen = chosen;
    this.#span = span;
    this.#take = take;
  }

  /** Something has come that is later than what is asked for. */
  get isOver(): boolean {
    return this.#over;
  }

  record({ bytes, view }: Arena, header: number, start: number, end: number): void {
    if (this.#over) return;
    const stream = streamAt(view, header);
    const time = timeAt(view, header);
    if (this.#span.until !== undefined && time > this.#span.until) {
      this.#over = true;
      return;
    }
    let at = chosenStart(this.#chosen, stream, start, end);
    const open = this.#open.get(stream);
    while (at < end) {
      if (this.#newline < at) {
        const found = bytes.indexOf(NEWLINE, at);
        this.#newline = found < 0 ? Infinity : found;
      }
      const isWhole = this.#newline < end;
      const stop = isWhole ? this.#newline + 1 : end;
      if (open && open.length + Number(open.isRest) > 0) this.#append(stream, open, bytes, at, stop, isWhole);
      else if (isWhole) this.#tell(stream, time, bytes, at, stop, false);
      else this.#begin(stream, time, bytes.slice(at, stop));
      at = stop;
    }
  }

  flush(): void {
    this.#newline = -1;
  }

  #begin(stream: number, time: bigint, part: Uint8Array): void {
    const open = this.#open.get(stream);
    const fresh: Open = { parts: [part], length: part.length, time, isRest: false };
    if (open) Object.assign(open, fresh);
    else this.#open.set(stream, fresh);
  }

  #append(stream: number, open: Open, bytes: Uint8Array, at: number, stop: number, isWhole: boolean): void {
    open.parts.push(bytes.slice(at, stop));
    open.length += stop - at;
    if (!isWhole && open.length < MAX_LINE) return;
    this.#tellOpen(stream, open);
    open.isRest = !isWhole;
  }

  #tellOpen(stream: number, open: Open): void {
    const line = new Uint8Array(open.length);
    open.parts.reduce((at, part) => (line.set(part, at), at + part.length), 0);
    this.#tell(stream, open.time, line, 0, line.length, open.isRest);
    open.parts = [];
    open.length = 0;
  }

  #tell(stream: number, time: bigint, memory: Uint8Array, start: number, end: number, isRest: boolean): void {
    if (this.#span.since !== undefined && time < this.#span.since) return;
    this.#take(stream, time, memory, start, end, isRest);
  }

  /** Nothing more comes: what there is of a last line is one. */
  end(): void {
    for (const [stream, open] of this.#open) if (open.length > 0) this.#tellOpen(stream, open);
    this.#open.clear();
  }
}

const OUTPUT_BYTES = 1 << 18;
const encoder = new TextEncoder();

/** Lines with something before each, as pieces. */
export class Prefixed {
  readonly #take: TakePiece;
  readonly #prefixOf: (time: bigint) => string;
  readonly #memory = new Uint8Array(OUTPUT_BYTES);
  #length = 0;
  #stream = 0;
  #time = -1n;
  #prefix = new Uint8Array(0);

  constructor(prefixOf: (time: bigint) => string, take: TakePiece) {
    this.#prefixOf = prefixOf;
    this.#take = take;
  }

  line: TakeLine = (stream, time, memory, start, end, isRest) => {
    if (time !== this.#time) {
      this.#prefix = encoder.encode(this.#prefixOf(time));
      this.#time = time;
    }
    const prefix = isRest ? 0 : this.#prefix.length;
    const length = prefix + end - start;
    if (stream !== this.#stream || this.#length + length > OUTPUT_BYTES) this.flush();
    this.#stream = stream;
    if (length > OUTPUT_BYTES) {
      if (!isRest) this.#take(stream, this.#prefix, 0, prefix);
      this.#take(stream, memory, start, end);
      return;
    }
    if (!isRest) this.#memory.set(this.#prefix, this.#length);
    this.#memory.set(memory.subarray(start, end), this.#length + prefix);
    this.#length += length;
  };

  flush(): void {
    if (this.#length > 0) this.#take(this.#stream, this.#memory, 0, this.#length);
    this.#length = 0;
  }
}

/** As Docker writes them: `"2026-11-25T23:34:19.123456789Z"`. */
export function timestamp(time: bigint): string {
  const [ms, rest] = [Number(time / 1_000_000n), String(time % 1_000_000n).padStart(6, "0")];
  return new Date(ms).toISOString().replace("Z", `${rest}Z`);
}
