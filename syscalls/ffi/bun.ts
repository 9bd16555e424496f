/** The runtime adapter for Bun. @module */
import { LIBC_NAMES, type Native, type Runtime } from "./runtime.ts";

const args = (count: number) => Array.from({ length: count }, () => "i64" as const);

export async function openBun(): Promise<Runtime> {
  const { dlopen, CFunction, FFIType, toArrayBuffer } = await import("bun:ffi");
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
    libcSyscall,
    native: (address, argumentCount) =>
      CFunction({ ptr: address as never, args: args(argumentCount), returns: FFIType.i64_fast }) as unknown as Native,
    memory: (address, length) => toArrayBuffer(address as never, 0, length) as ArrayBuffer,
    readable: (fd) => Bun.file(fd).stream() as ReadableStream<Uint8Array>,
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
  };
}
