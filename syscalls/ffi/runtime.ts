/**
 * What the engine needs of a JavaScript runtime: calling machine code and seeing memory as bytes.
 * @module
 */

/** A function in memory that takes integers and returns one; addresses are numbers (below 2^53). */
export type Native = (...args: number[]) => number;

export interface Runtime {
  readonly name: "bun" | "deno";
  /** A worker may be ended at any time, without closing anything. */
  readonly isMainThread: boolean;
  /** Its own file, and the environment in which that runs any script; undefined where it cannot. */
  executable(): { path: string; env: Record<string, string> } | undefined;
  /** `long syscall(long nr, ...)` of the C library, only used to map the executor. Returns -1 on an error. */
  libcSyscall: Native;
  /** Makes a callable out of machine code at an address. */
  native(address: number, argumentCount: number): Native;
  /** The memory itself, not a copy; never freed by the garbage collector. */
  memory(address: number, length: number): ArrayBuffer;
  /** The bytes that arrive at a descriptor, without blocking the event loop. The descriptor stays the caller's. */
  readable(fd: number): ReadableStream<Uint8Array>;
  /** What arrives at a socket, in chunks that stay as they are; quicker than {@link readable}. Takes the descriptor over. */
  receive(fd: number, take: (chunk: Uint8Array) => void, ended: () => void): Receiver;
  /** Whether {@link readable} and {@link writer} want the descriptor of a terminal to be non-blocking. */
  readonly nonBlockingTerminals: boolean;
  /** Writes to a pipe or socket as fast as it is read, without blocking the event loop. The descriptor stays the caller's. */
  writer(fd: number): (bytes: Uint8Array) => Promise<void>;
  /** Answers requests at a Unix socket that it makes at a path. It does not keep the event loop running. */
  serve(path: string, answer: (request: Request) => Promise<Response>): { close(): void };
  /** `fetch`, over a connection of its own to a Unix socket. */
  fetchOver(path: string, request: Request): Promise<Response>;
}

export interface Receiver {
  /** Closes the descriptor; `ended` may be called, or not. */
  close(): void;
  /** From now on it does not keep the event loop running. */
  unref(): void;
}

export const LIBC_NAMES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];
