/** What a container wrote. @module */
import type { Home } from "./home.ts";

export interface LogsOptions {
  follow?: boolean;
  /** So many lines from the end. */
  tail?: number;
  /** Milliseconds since 1970. */
  since?: number;
  until?: number;
  stdout?: boolean;
  stderr?: boolean;
  signal?: AbortSignal;
}

/** A line with its end, or what there is of the last one. */
export interface LogEntry {
  stream: "stdout" | "stderr";
  /** Nanoseconds since 1970, when its first byte came. */
  time: bigint;
  bytes: Uint8Array;
}

export async function* logs(_home: Home, _id: string, _options: LogsOptions): AsyncGenerator<LogEntry, void, void> {
  yield* [] as LogEntry[];
  throw new Error("todo");
}
