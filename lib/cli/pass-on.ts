/** What a command writes to pipes of tsbox's becomes tsbox's own output. @module */
import type { SandboxProcess } from "../index.ts";
import { printPieces } from "./print-pieces.ts";

/** Whoever has got away from an ended command, and has its output, is not waited for. */
const QUIET_MS = 100;
/** Nor is who reads nothing, where a signal has ended the command: it was probably to end all of this. */
const STUCK_MS = 1000;

/** All of it; nothing is done for streams that the command has as they are. @param ended settles when the command has ended */
export async function passOn(process: SandboxProcess, ended: Promise<unknown>): Promise<void> {
  const over = ended.then(
    () => {},
    () => {},
  );
  const written = async (stream: ReadableStream<Uint8Array> | undefined, fd: number) => {
    if (!stream) return;
    const stuck = new AbortController();
    const isStuck = (ms: number) => process.killed && ms >= STUCK_MS && stuck.abort();
    try {
      await printPieces(untilQuiet(stream, over, isStuck), stuck.signal, fd);
    } catch (error) {
      if (!stuck.signal.aborted) throw error;
    }
  };
  await Promise.all([written(process.stdout, 1), written(process.stderr, 2)]);
}

/**
 * What comes, and once it is over, what is there yet.
 * @param waits is told for how long by then nothing of it has been taken
 */
async function* untilQuiet(
  stream: ReadableStream<Uint8Array>,
  over: Promise<void>,
  waits: (ms: number) => void,
): AsyncGenerator<Uint8Array, void> {
  const reader = stream.getReader();
  let [reads, isReading, open] = [0, false, true];
  const next = async () => {
    reads++;
    isReading = true;
    const read = await reader.read();
    isReading = false;
    return read;
  };
  void over.then(async () => {
    for (let [before, ms] = [reads, 0]; open; before = reads) {
      await Bun.sleep(QUIET_MS);
      ms = reads === before ? ms + QUIET_MS : 0;
      if (isReading && ms > 0) void reader.cancel();
      else waits(ms);
    }
  });
  try {
    for (let read = await next(); !read.done; read = await next()) yield read.value;
  } finally {
    open = false;
  }
}
