/**
 * The image placement: a program laid out as a tiny static ELF executable, for processes that must not share the
 * parent's memory.
 * @module
 * @see elf(5)
 */
import { EXECUTOR_BLOB } from "./executor/blob.ts";
import { stringsAt, type Program } from "./program.ts";

// A loader wants file offset and address to agree modulo the page size, which is up to 64 KiB on aarch64; with these
// addresses they do, although the file is packed to 4 KiB.
const CODE_ADDRESS = 0x401000;
/** `IMAGE_PROGRAM` of executor.c. */
export const PROGRAM_ADDRESS = 0x602000;
const PAGE = 4096;
const LARGEST_PAGE = 65536;
const [PT_LOAD, PT_GNU_STACK] = [1, 0x6474e551];
const [PF_X, PF_W, PF_R] = [1, 2, 4];
const ENTRY = 16;

/**
 * For the program's architecture, whatever this machine is. Slots and the descriptor that a failure is told to are
 * bound as in {@link Program.write}; strings are laid behind the program, and their array is bound as `argv`.
 * ```
 * file 0      ELF header, 3 program headers      (not mapped)
 * file 4096   the executor          → 0x401000   read, execute
 * file 8192   the program           → 0x602000   read, write
 * ```
 */
export function elfImage(
  program: Program,
  bound: Record<string, number> = {},
  reportFd = -1,
  argv?: string[],
): Uint8Array {
  const code = Uint8Array.fromBase64(EXECUTOR_BLOB[program.arch]);
  const end = Math.ceil(program.size / 8) * 8;
  const strings = argv && stringsAt(PROGRAM_ADDRESS + end, argv);
  const sizeBytes = strings ? end + strings.length : program.size;
  const file = new Uint8Array(2 * PAGE + sizeBytes);
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
    const words = [offset, address, address, size, size, type === PT_LOAD ? LARGEST_PAGE : 16];
    words.forEach((value, i) => view.setBigUint64(at + 8 + i * 8, BigInt(value), true));
  };
  segment(0, PT_LOAD, PF_R | PF_X, PAGE, CODE_ADDRESS, code.length);
  segment(1, PT_LOAD, PF_R | PF_W, 2 * PAGE, PROGRAM_ADDRESS, sizeBytes);
  segment(2, PT_GNU_STACK, PF_R | PF_W, 0, 0, 0);
  file.set(code, PAGE);
  const bytes = file.subarray(2 * PAGE);
  const slots = strings ? { ...bound, argv: PROGRAM_ADDRESS + end } : bound;
  program.write(bytes, new DataView(file.buffer, 2 * PAGE), PROGRAM_ADDRESS, slots, reportFd);
  if (strings) bytes.set(strings, end);
  return file;
}
