/**
 * The owner's end of the socket to a sandbox's processes: signals go out, frames come in, and where it is closed they
 * end.
 * @module
 */
import { runtime, send, type Plan, type Receiver, type TsboxError } from "../../syscalls/index.ts";
import { FrameReader, type ExitFrame } from "../plan/index.ts";
import { failureOf } from "./failure.ts";

/** What was told: how the process ended, that everything stands, why a step failed; or nothing, where it just ended. */
export interface Told {
  exit?: ExitFrame;
  ready?: boolean;
  /** A process that was cloned for the owner, which is its parent. */
  cloned?: number;
  /** At the end of the process, the root filesystem was as full as its limit allows. */
  diskFull?: boolean;
  failure?: TsboxError;
}

export class Control {
  /** Resolves with the first thing that is told, or at the end. */
  readonly told: Promise<Told>;
  /** Resolves with all that was told, when nobody is left who could tell more. */
  readonly ended: Promise<Told>;
  /** The pid that is told first; undefined where none was. */
  readonly cloned: Promise<number | undefined>;
  /** What is done for the process from outside has failed; it is to end by itself. */
  readonly fail: (failure: TsboxError) => void;
  readonly #fd: number;
  readonly #receiver: Receiver;
  #open = true;

  /**
   * @param fd taken over
   * @param passed a descriptor is on the socket for them
   * @param reached the process waits for a byte, which {@link send} sends
   */
  constructor(fd: number, plan: Plan, passed?: () => void, reached?: () => void) {
    this.#fd = fd;
    const { promise, resolve } = Promise.withResolvers<Told>();
    this.told = promise;
    const end = Promise.withResolvers<Told>();
    this.ended = end.promise;
    const cloned = Promise.withResolvers<number | undefined>();
    this.cloned = cloned.promise;
    const told: Told = {};
    this.fail = (failure) => {
      told.failure ??= failure;
      resolve(told);
    };
    const cutter = new FrameReader();
    const take = (chunk: Uint8Array) => {
      for (const frame of cutter.take(chunk)) {
        if (frame.kind === "failed") told.failure ??= failureOf(frame.report, plan);
        else if (frame.kind === "ready") told.ready = true;
        else if (frame.kind === "passed") passed?.();
        else if (frame.kind === "reached") reached?.();
        else if (frame.kind === "cloned") cloned.resolve((told.cloned = frame.pid));
        else if (frame.kind === "diskFull") told.diskFull = true;
        else if (frame.kind === "exit") told.exit = frame;
      }
      if (told.exit || told.ready || told.failure) resolve(told);
    };
    this.#receiver = runtime.receive(fd, take, () => {
      this.#open = false;
      resolve(told);
      cloned.resolve(told.cloned);
      end.resolve(told);
    });
  }

  /** A signal for the process; nothing where the socket is closed. */
  send(signal: number): void {
    if (this.#open) send(this.#fd, Uint8Array.of(signal));
  }

  /** Whoever has it as well keeps the process when this program ends. */
  get descriptor(): number {
    return this.#fd;
  }

  /** From now on it does not keep a script from ending. */
  unref(): void {
    this.#receiver.unref();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#receiver.close();
  }
}
