/**
 * What a sandbox's processes tell their owner over the control socket: frames that begin with a 32-bit tag.
 *
 * ```
 * tag  n ≥ 1  a step failed, 16 bytes  u32 1 + step · i32 errno · i32 - · u32 op      (written by the executor)
 * tag -1      exit,         152 bytes  i32 tag · u32 wait status · struct rusage
 * tag -2      ready,         16 bytes
 * tag -3      passed,        16 bytes  a descriptor is on the socket for them
 * tag -4      disk full,     16 bytes  comes before the exit
 * tag -5      reached,       16 bytes  the process waits for a byte from the owner
 * tag -6      cloned,        16 bytes  i32 tag · i32 pid of a process that is the owner's child
 * ```
 * @module
 */
import { offsetOf, STRUCTS } from "../../syscalls/index.ts";

export const EXIT_TAG = -1;
export const READY_TAG = -2;
export const PASSED_TAG = -3;
export const DISK_FULL_TAG = -4;
export const REACHED_TAG = -5;
export const CLONED_TAG = -6;
const RUSAGE_AT = 8;
/** Fields of the frame. */
const inFrame = (field: keyof typeof STRUCTS.rusage.fields) => RUSAGE_AT + offsetOf("rusage", field);
const [USER_AT, SYSTEM_AT, MEMORY_AT] = [inFrame("ru_utime"), inFrame("ru_stime"), inFrame("ru_maxrss")];
const [READ_AT, WRITTEN_AT] = [inFrame("ru_inblock"), inFrame("ru_oublock")];
/** In which the kernel counts blocks, whatever the device has. */
const SECTOR_BYTES = 512;
export const EXIT_FRAME_BYTES = RUSAGE_AT + STRUCTS.rusage.size;
/** Of all frames but the exit. */
export const REPORT_BYTES = 16;

/** How a process ended. @see wait(2), getrusage(2) */
export interface ExitFrame {
  kind: "exit";
  /** 0 to 255, or null where a signal ended it. */
  exitCode: number | null;
  signal: number;
  userMs: number;
  systemMs: number;
  peakMemoryBytes: number;
  /** From and to block devices. */
  readBytes: number;
  writeBytes: number;
}

export type Frame =
  | ExitFrame
  | { kind: "ready" | "diskFull" | "passed" | "reached" }
  | { kind: "cloned"; pid: number }
  | { kind: "failed"; report: DataView };

/** Cuts a stream into frames, however its chunks fall. */
export class FrameReader {
  #rest = new Uint8Array();

  take(chunk: Uint8Array): Frame[] {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= 4) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at);
      const size = view.getInt32(0, true) === EXIT_TAG ? EXIT_FRAME_BYTES : REPORT_BYTES;
      if (bytes.length - at < size) break;
      frames.push(decode(view));
      at += size;
    }
    this.#rest = bytes.slice(at);
    return frames;
  }
}

function decode(view: DataView): Frame {
  const tag = view.getInt32(0, true);
  if (tag === READY_TAG) return { kind: "ready" };
  if (tag === PASSED_TAG) return { kind: "passed" };
  if (tag === DISK_FULL_TAG) return { kind: "diskFull" };
  if (tag === REACHED_TAG) return { kind: "reached" };
  if (tag === CLONED_TAG) return { kind: "cloned", pid: view.getInt32(4, true) };
  if (tag !== EXIT_TAG)
    return { kind: "failed", report: new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + REPORT_BYTES)) };
  const status = view.getUint32(4, true);
  const signal = status & 0x7f;
  return {
    kind: "exit",
    exitCode: signal === 0 ? (status >> 8) & 0xff : null,
    signal,
    userMs: timeMs(view, USER_AT),
    systemMs: timeMs(view, SYSTEM_AT),
    peakMemoryBytes: wordAt(view, MEMORY_AT) * 1024,
    readBytes: wordAt(view, READ_AT) * SECTOR_BYTES,
    writeBytes: wordAt(view, WRITTEN_AT) * SECTOR_BYTES,
  };
}

/** A signed 64-bit number, exact up to 2^53. */
const wordAt = (view: DataView, at: number): number => view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);

/** Of a `struct timeval`. */
const timeMs = (view: DataView, at: number): number => wordAt(view, at) * 1000 + wordAt(view, at + 8) / 1000;
