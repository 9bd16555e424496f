/**
 * How a container ended, as its supervisor wrote it down.
 * @see layout.ts
 * @module
 */
import { EXCEEDED, FrameReader } from "../plan/index.ts";
import { EXIT_BYTES } from "./layout.ts";

export interface ExitFile {
  exitCode: number;
  /** 0 where none ended it. */
  signal: number;
  oomKilled: boolean;
  /** Which limit it was killed for. */
  reason?: "timeout" | "output";
  error?: string;
  /** Milliseconds since 1970. */
  finishedAt: number;
}

const FRAME_BYTES = 152;
const SIGKILL = 9;

/** Undefined where it is no such file. */
export function parseExit(bytes: Uint8Array): ExitFile | undefined {
  if (bytes.length !== EXIT_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const tag = view.getInt32(0, true);
  // tag 0: init was killed, and everything with it
  const [frame] = tag === 0 ? [] : new FrameReader().take(bytes.subarray(0, FRAME_BYTES));
  if (tag !== 0 && frame?.kind !== "exit") return undefined;
  const signal = frame?.kind === "exit" ? frame.signal : SIGKILL;
  const time = (at: number) => Number(view.getBigInt64(at, true));
  const events = new TextDecoder().decode(bytes.subarray(FRAME_BYTES + 24));
  // what has ended by itself meanwhile was not killed
  const exceeded = signal === SIGKILL ? time(FRAME_BYTES + 16) : 0;
  return {
    exitCode: (frame?.kind === "exit" ? frame.exitCode : null) ?? 128 + signal,
    signal,
    oomKilled: Number(/^oom_kill (\d+)/m.exec(events)?.[1] ?? 0) > 0,
    ...(exceeded === EXCEEDED.time && { reason: "timeout", error: "killed: its time is over (limits.time)" }),
    ...(exceeded === EXCEEDED.output && { reason: "output", error: "killed: it has written too much (limits.output)" }),
    finishedAt: time(FRAME_BYTES) * 1000 + Math.floor(time(FRAME_BYTES + 8) / 1e6),
  };
}
