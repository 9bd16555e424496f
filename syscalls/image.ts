/**
 * The image placement: a program laid out as a tiny static ELF executable, for processes that must not share the
 * parent's memory.
 * @module
 * @see elf(5)
 */
import { executorCode } from "./kernel.ts";
import type { Program } from "./program.ts";

const CODE_ADDRESS = 0x400000;
/** `IMAGE_PROGRAM` of executor.c. */
const PROGRAM_ADDRESS = 0x600000;
const PAGE = 4096;
const [PT_LOAD, PT_GNU_STACK] = [1, 0x6474e551];
const [PF_X, PF_W, PF_R] = [1, 2, 4];
const ENTRY = 24;

/**
 * ```
 * file 0      ELF header, 3 program headers      (not mapped)
 * file 4096   the executor          → 0x400000   read, execute
 * file 8192   the program           → 0x600000   read, write
 * ```
 */
export function elfImage(program: Program): Uint8Array {
  const file = new Uint8Array(2 * PAGE + program.size);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, program.arch === "x64" ? 62 : 183, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(CODE_ADDRESS + ENTRY), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  const segment = (index: number, type: number, flags: number, offset: number, address: number, size: number) => {
    const at = 64 + index * 56;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, flags, true);
    [offset, address, address, size, size, PAGE].forEach((v, i) => view.setBigUint64(at + 8 + i * 8, BigInt(v), true));
  };
  segment(0, PT_LOAD, PF_R | PF_X, PAGE, CODE_ADDRESS, executorCode.length);
  segment(1, PT_LOAD, PF_R | PF_W, 2 * PAGE, PROGRAM_ADDRESS, program.size);
  segment(2, PT_GNU_STACK, PF_R | PF_W, 0, 0, 0);
  file.set(executorCode, PAGE);
  const bytes = file.subarray(2 * PAGE);
  program.write(bytes, new DataView(file.buffer, 2 * PAGE), PROGRAM_ADDRESS, {}, -1);
  return file;
}
