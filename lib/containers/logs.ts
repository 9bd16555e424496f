/**
 * What a container wrote: read back from its log, from all of its files, and followed over restarts.
 * @module
 */
import { checkOptions, type Kind } from "../options/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { recordOf } from "./find.ts";
import { Following } from "./follow.ts";
import type { Home } from "./home.ts";
import { LogCursor, type Damage } from "./log-cursor.ts";
import { STDERR, STDOUT, type RecordVisitor } from "./log-format.ts";
import { Lines, Pieces, Prefixed, timestamp, type Chosen, type Span, type TakePiece } from "./log-lines.ts";
import { moveToTail } from "./log-tail.ts";
import { notFound } from "./names.ts";
import { isUp } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";

export interface LogsOptions {
  /** What comes later as well, until the container has ended and is not started again. */
  follow?: boolean;
  /** So many lines from the end. */
  tail?: number;
  /** Milliseconds since 1970, or nanoseconds as a bigint: lines that began then or later. */
  since?: number | bigint;
  until?: number | bigint;
  stdout?: boolean;
  stderr?: boolean;
  signal?: AbortSignal;
  /** Is told of bytes of the log that cannot be understood; what is behind them is read. */
  onDamage?: Damage;
}
const LOGS_OPTIONS: Record<keyof LogsOptions, Kind> = {
  follow: "flag",
  tail: "number",
  since: "time",
  until: "time",
  stdout: "flag",
  stderr: "flag",
  signal: "signal",
  onDamage: "callback",
};

/** A line with its end, or a part of one that is longer than a megabyte, or what there is of the last one. */
export interface LogEntry {
  stream: "stdout" | "stderr";
  /** Nanoseconds since 1970, when its first byte came. */
  time: bigint;
  bytes: Uint8Array;
}

/** Where log options name labels and variables, what the container has of them is before each line. */
export interface WriteLogsOptions extends LogsOptions {
  timestamps?: boolean;
  details?: boolean;
}

/** So many megabytes are read before others get their turn. */
const BUSY = 16;

export async function* logs(home: Home, id: string, options: LogsOptions): AsyncGenerator<LogEntry, void, void> {
  checkOptions("logs", options, LOGS_OPTIONS);
  const entries: LogEntry[] = [];
  const chosen = { streams: streamsOf(options), leftOut: {} };
  const lines = new Lines(chosen, spanOf(options), (stream, time, memory, start, end) => {
    entries.push({ stream: stream === STDERR ? "stderr" : "stdout", time, bytes: memory.slice(start, end) });
  });
  for await (const _ of steps(home, id, options, chosen, lines)) yield* entries.splice(0);
  lines.end();
  yield* entries;
}

/**
 * The same in large pieces, which is quicker.
 * @param take gets bytes that are there as long as it works
 */
export async function writeLogs(home: Home, id: string, options: WriteLogsOptions, take: TakePiece): Promise<void> {
  checkOptions("writeLogs", options, { ...LOGS_OPTIONS, timestamps: "flag", details: "flag" });
  const { timestamps, details, since, until } = options;
  const chosen = { streams: streamsOf(options), leftOut: {} };
  const isPlain = !timestamps && !details && since === undefined && until === undefined;
  if (isPlain) {
    for await (const _ of steps(home, id, options, chosen, new Pieces(chosen, take)));
    return;
  }
  const more = details ? `${detailsOf(recordOf(home, id))} ` : "";
  const prefixed = new Prefixed((time) => (timestamps ? `${timestamp(time)} ` : "") + more, take);
  const lines = new Lines(chosen, spanOf(options), prefixed.line);
  for await (const _ of steps(home, id, options, chosen, lines)) prefixed.flush();
  lines.end();
  prefixed.flush();
}

/** Reads; each step is what there is by now, up to a megabyte. */
async function* steps(
  home: Home,
  id: string,
  options: LogsOptions,
  chosen: Chosen,
  visitor: RecordVisitor & { isOver?: boolean },
): AsyncGenerator<void, void, void> {
  const record = recordOf(home, id);
  if (record.options.log?.driver === "none")
    throw new TsboxError("configured logging driver does not support reading", {
      code: "container_state",
      hint: 'it was made with the log driver "none"',
    });
  using directory = home.directory(id);
  if (!directory) throw notFound(id);
  const follows = options.follow === true && isUp(record);
  using following = follows ? new Following(home, id, directory, { ...options, log: record.options.log }) : undefined;
  using cursor = new LogCursor(directory, options.onDamage);
  if (!follows) cursor.stopHere();
  const { tail } = options;
  if (tail !== undefined)
    Object.assign(chosen.leftOut, moveToTail(cursor, tail, chosen.streams, spanOf(options).until));
  for (let turn = 1; !visitor.isOver; turn++) {
    options.signal?.throwIfAborted();
    if (cursor.read(visitor)) {
      yield;
      if (turn % BUSY === 0) await new Promise((resolve) => setImmediate(resolve));
    } else if (!(await following?.next())) return;
  }
}

const streamsOf = ({ stdout = true, stderr = true }: LogsOptions): number[] => [
  ...(stdout ? [STDOUT] : []),
  ...(stderr ? [STDERR] : []),
];

const nanoseconds = (time: number | bigint): bigint =>
  typeof time === "bigint" ? time : BigInt(Math.floor(time)) * 1_000_000n + BigInt(Math.round((time % 1) * 1_000_000));

const spanOf = ({ since, until }: LogsOptions): Span => ({
  ...(since === undefined ? {} : { since: nanoseconds(since) }),
  ...(until === undefined ? {} : { until: nanoseconds(until) }),
});

/** Docker's form: `"a=1,b=x+y"`, in the order of the names. */
function detailsOf({ options }: ContainerRecord): string {
  const { labels: named = [], env: variables = [] } = options.log ?? {};
  const { labels = {}, env = {} } = options;
  const chosen = [
    ...named.flatMap((name) => (Object.hasOwn(labels, name) ? [[name, labels[name]]] : [])),
    ...variables.flatMap((name) => (Object.hasOwn(env, name) ? [[name, env[name]]] : [])),
  ];
  const words = chosen.map((pair) =>
    pair.map((word) => encodeURIComponent(word ?? "").replaceAll("%20", "+")).join("="),
  );
  return words.toSorted().join(",");
}
