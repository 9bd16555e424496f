/** The runtime adapter for Bun. @module */
import { LIBC_NAMES, type Native, type Runtime } from "./runtime.ts";

const args = (count: number) => Array.from({ length: count }, () => "i64" as const);

export function openBun(): Runtime {
  // not imported: Deno has no such module, and to wait for one takes a millisecond (measured)
  const { dlopen, CFunction, FFIType, toArrayBuffer } = process.getBuiltinModule(
    "bun:ffi",
  ) as unknown as typeof import("bun:ffi");
  let libcSyscall: Native | undefined;
  for (const name of LIBC_NAMES) {
    try {
      libcSyscall = dlopen(name, { syscall: { args: args(7), returns: FFIType.i64_fast } }).symbols
        .syscall as unknown as Native;
      break;
    } catch {
      // the other C library
    }
  }
  if (!libcSyscall) throw new Error(`open the C library: none of ${LIBC_NAMES.join(", ")}`);
  return {
    name: "bun",
    isMainThread: Bun.isMainThread,
    // it takes others for files, and reads at an offset: ESPIPE
    nonBlockingTerminals: true,
    // a compiled program is Bun as well, when it is told so
    executable() {
      const env: Record<string, string> = Bun.isStandaloneExecutable ? { BUN_BE_BUN: "1" } : {};
      return { path: process.execPath, env };
    },
    libcSyscall,
    native: (address, argumentCount) =>
      CFunction({ ptr: address as never, args: args(argumentCount), returns: FFIType.i64_fast }) as unknown as Native,
    memory: (address, length) => toArrayBuffer(address as never, 0, length) as ArrayBuffer,
    readable: (fd) => Bun.file(fd).stream() as ReadableStream<Uint8Array>,
    receive(fd, take, ended) {
      let socket: { terminate(): void; unref(): void } | undefined;
      // it is open when the call returns, as the descriptor is
      const opened = Bun.connect({
        fd,
        socket: {
          open: (connected: typeof socket) => void (socket = connected),
          // its memory is used again, and `slice` of a Buffer is no copy
          data: (_: unknown, chunk: Uint8Array) => take(new Uint8Array(chunk)),
          error: () => {}, // ECONNRESET: the other end has ended without reading all; close follows
          close: ended,
        },
      } as never);
      opened.catch(ended);
      return { close: () => socket?.terminate(), unref: () => socket?.unref() };
    },
    writer(fd) {
      return async (bytes) => {
        // the sink duplicates the descriptor: one that is kept would keep the reader from its end of file
        const sink = Bun.file(fd).writer();
        try {
          await sink.write(bytes);
        } finally {
          await sink.end();
        }
      };
    },
    serve(path, answer) {
      // what fails shows nothing of this program
      const failed = () => new Response(null, { status: 500 });
      const server = Bun.serve({ unix: path, development: false, fetch: answer, error: failed });
      server.unref();
      return { close: () => void server.stop(true) };
    },
    // a connection that is kept would be found by its path, which may be another socket's by then; nor by a proxy
    fetchOver: (path, request) => fetch(request, { unix: path, keepalive: false, proxy: "" }),
  };
}
