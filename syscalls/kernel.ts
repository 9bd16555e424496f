/**
 * The kernel as TypeScript calls it: raw system calls, and the executor that walks a program of them.
 * @module
 */
import { TOO_MANY_FILES, TsboxError, type ErrorCode } from "./error.ts";
import { ERRNO, errnoName } from "./errno.ts";
import { EXECUTOR_BLOB } from "./executor/blob.ts";
import { runtime } from "./ffi/index.ts";
import { ARCH, numberOf, type SyscallName } from "./numbers.ts";

function mapExecutor(): number {
  const size = 4096;
  const [PROT_READ, PROT_WRITE, PROT_EXEC, MAP_PRIVATE_ANONYMOUS] = [1, 2, 4, 0x22];
  const address = runtime.libcSyscall(numberOf("mmap"), 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (address === -1) throw new TsboxError("map the executor", { code: "system", syscall: "mmap" });
  new Uint8Array(runtime.memory(address, size)).set(Uint8Array.fromBase64(EXECUTOR_BLOB[ARCH]));
  if (runtime.libcSyscall(numberOf("mprotect"), address, size, PROT_READ | PROT_EXEC, 0, 0, 0) === -1) {
    throw new TsboxError("make the executor executable", {
      code: "permission_denied",
      syscall: "mprotect",
      hint: "a security module forbids executable anonymous memory",
    });
  }
  return address;
}

const executor = mapExecutor();
const rawSyscall = runtime.native(executor, 7);
/** Walks a program in the calling thread; 0 or -errno. */
export const runProgram = runtime.native(executor + 8, 2);

/** One system call; -errno on failure, never throws. */
export function trySyscall(name: SyscallName, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  return rawSyscall(numberOf(name), a, b, c, d, e, f);
}

/** One system call; a failure is a {@link TsboxError} that says what was tried. */
export function syscall(action: string, name: SyscallName, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  const result = trySyscall(name, a, b, c, d, e, f);
  if (result < 0) throw systemError(action, name, -result);
  return result;
}

export function systemError(action: string, name: string, errno: number, code: ErrorCode = "system"): TsboxError {
  const hint = errno === ERRNO.EMFILE ? { hint: TOO_MANY_FILES } : {};
  return new TsboxError(`${action}: ${errnoName(errno)}`, { code, errno, syscall: name, ...hint });
}

/** Memory outside the JavaScript heap, at an address that does not move. */
export interface Arena {
  readonly address: number;
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** @see mmap(2) */
export function mapArena(size: number): Arena {
  const address = syscall("map memory", "mmap", 0, size, 3, 0x22, -1, 0);
  const buffer = runtime.memory(address, size);
  return { address, size, bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}

/** @see munmap(2) */
export function unmapArena(arena: Arena): void {
  trySyscall("munmap", arena.address, arena.size);
}
