/** The runtime adapter for Deno (`--allow-ffi`). @module */
import { LIBC_NAMES, type Native, type Runtime } from "./runtime.ts";

// deno-lint-ignore no-explicit-any
declare const Deno: any;

export function openDeno(): Runtime {
  const integers = (count: number) => Array.from({ length: count }, () => "i64");
  const toNumber =
    (call: (...args: bigint[]) => bigint): Native =>
    (...args) =>
      Number(call(...args.map(BigInt)));
  // deno-lint-ignore no-explicit-any
  let libc: any;
  for (const name of LIBC_NAMES) {
    try {
      libc = Deno.dlopen(name, {
        syscall: { parameters: integers(7), result: "i64" },
        read: { parameters: ["i32", "buffer", "usize"], result: "i64", nonblocking: true },
      });
      break;
    } catch {
      // the other C library
    }
  }
  if (!libc) throw new Error(`open the C library: none of ${LIBC_NAMES.join(", ")}`);
  return {
    name: "deno",
    libcSyscall: toNumber(libc.symbols.syscall),
    native(address, argumentCount) {
      const pointer = Deno.UnsafePointer.create(BigInt(address));
      const call = new Deno.UnsafeFnPointer(pointer, { parameters: integers(argumentCount), result: "i64" });
      return toNumber((...args) => call.call(...args));
    },
    memory: (address, length) =>
      Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(BigInt(address)), length),
    readable(fd) {
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          const buffer = new Uint8Array(65536);
          // blocks a thread of Deno's pool, not the event loop
          const length = Number(await libc.symbols.read(fd, buffer, BigInt(buffer.length)));
          if (length > 0) controller.enqueue(buffer.subarray(0, length));
          else controller.close();
        },
      });
    },
  };
}
