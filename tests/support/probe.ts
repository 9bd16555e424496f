/**
 * Executables that make system calls and tell what came of them: static, 8 KiB, from the project's own executor, so
 * that no compiler is needed and they run in any root filesystem.
 * @module
 */
import { ARCH, buffer, cstring, elfImage, errnoName, named, Program, ref } from "../../syscalls/index.ts";
import type { Op, SyscallName } from "../../syscalls/index.ts";

export const call = (name: SyscallName, ...args: Op["args"]): Op => ({ call: name, args });
/** Its result can be an argument of later calls, as `ref(out)`. */
export const kept = (out: string, op: Op): Op => ({ ...op, out });
export { buffer, cstring, named, ref };

/** Makes the calls one after the other, whether they fail or not, and writes their results to stdout. */
export function probe(...calls: Op[]): Uint8Array {
  const results = buffer("results", calls.length * 8);
  const ops = calls.flatMap((op, index): Op[] => {
    const out = op.out ?? `result ${index}`;
    return [
      { ...op, out, onError: "ignore" },
      { call: "store", args: [{ at: results, offset: index * 8 }, ref(out), 8] },
    ];
  });
  ops.push({ call: "write", args: [1, results, calls.length * 8] }, { call: "exit_group", args: [0] });
  return elfImage(new Program([{ action: "probe", ops }], ARCH));
}

/** What a probe wrote: a number, or the name of the errno, for each call. */
export function outcomes(stdout: Uint8Array): (number | string)[] {
  const words = new BigInt64Array(stdout.slice().buffer);
  return Array.from(words, Number).map((result) => (result < 0 && result > -4096 ? errnoName(-result) : result));
}
