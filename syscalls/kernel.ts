/**
 * The kernel as TypeScript calls it: raw system calls, and the executor that walks a program of them.
 * @module
 */
import { TsboxError, type ErrorCode } from "./error.ts";
import { errnoName } from "./errno.ts";
import { EXECUTOR_BLOB } from "./executor/blob.ts";
import { runtime } from "./ffi/index.ts";
import { SYSCALLS, type Arch, type SyscallName } from "./numbers.ts";

export const ARCH: Arch = process.arch === "arm64" ? "arm64" : "x64";
const COLUMN = ARCH === "x64" ? 0 : 1;

/** The number of a system call here; -1 where this architecture lacks it. */
export function numberOf(name: SyscallName, arch: Arch = ARCH): number {
  return SYSCALLS[name][arch === "x64" ? 0 : 1];
}

export const executorCode: Uint8Array = Uint8Array.from(atob(EXECUTOR_BLOB[ARCH]), (c) => c.charCodeAt(0));

function mapExecutor(): number {
  const size = 4096;
  const [PROT_READ, PROT_WRITE, PROT_EXEC, MAP_PRIVATE_ANONYMOUS] = [1, 2, 4, 0x22];
  const address = runtime.libcSyscall(
    SYSCALLS.mmap[COLUMN],
    0,
    size,
    PROT_READ | PROT_WRITE,
    MAP_PRIVATE_ANONYMOUS,
    -1,
    0,
  );
  if (address === -1) throw new TsboxError("map the executor", { code: "system", syscall: "mmap" });
  new Uint8Array(runtime.memory(address, size)).set(executorCode);
  if (runtime.libcSyscall(SYSCALLS.mprotect[COLUMN], address, size, PROT_READ | PROT_EXEC, 0, 0, 0) === -1) {
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
/** clone3; the child walks the program from an op on. Returns the pid or -errno. */
export const spawnProgram = runtime.native(executor + 16, 4);

/** One system call; -errno on failure, never throws. */
export function trySyscall(name: SyscallName, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  return rawSyscall(SYSCALLS[name][COLUMN], a, b, c, d, e, f);
}

/** One system call; a failure is a {@link TsboxError} that says what was tried. */
export function syscall(action: string, name: SyscallName, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  const result = trySyscall(name, a, b, c, d, e, f);
  if (result < 0) throw systemError(action, name, -result);
  return result;
}

export function systemError(action: string, name: string, errno: number, code: ErrorCode = "system"): TsboxError {
  return new TsboxError(`${action}: ${errnoName(errno)}`, { code, errno, syscall: name });
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

const scratch = mapArena(65536);
const encoder = new TextEncoder();

function path(text: string): number {
  const { written } = encoder.encodeInto(text + "\0", scratch.bytes.subarray(0, 8192));
  if (scratch.bytes[written - 1] !== 0)
    throw new TsboxError("pass a path: longer than 8191 bytes", { code: "invalid_option" });
  return scratch.address;
}

/** @see close(2) */
export function close(fd: number): void {
  trySyscall("close", fd);
}

/** @see pipe2(2) */
export function pipe(): [read: number, write: number] {
  syscall("make a pipe", "pipe2", scratch.address, 0o2000000);
  return [scratch.view.getInt32(0, true), scratch.view.getInt32(4, true)];
}

/** A connected pair of stream sockets, close-on-exec. @see socketpair(2) */
export function socketPair(): [number, number] {
  syscall("make a socket pair", "socketpair", 1, 1 | 0o2000000, 0, scratch.address);
  return [scratch.view.getInt32(0, true), scratch.view.getInt32(4, true)];
}

/** Writes all bytes or returns -errno. @see write(2) */
export function write(fd: number, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) {
    const part = bytes.subarray(done, done + scratch.size);
    scratch.bytes.set(part);
    const n = trySyscall("write", fd, scratch.address, part.length);
    if (n < 0) return n;
    done += n;
  }
  return done;
}

/** The non-blocking `send(2)` that raises no SIGPIPE; bytes sent or -errno. */
export function send(fd: number, bytes: Uint8Array): number {
  scratch.bytes.set(bytes);
  const MSG_NOSIGNAL_DONTWAIT = 0x4000 | 0x40;
  return trySyscall("sendto", fd, scratch.address, bytes.length, MSG_NOSIGNAL_DONTWAIT);
}

/** @see openat(2) */
export function open(file: string, flags: number): number {
  return syscall(`open "${file}"`, "openat", -100, path(file), flags | 0o2000000, 0);
}

/** Whether the lock could be taken. @see flock(2) */
export function tryLock(fd: number): boolean {
  return trySyscall("flock", fd, 2 | 4) === 0;
}

/** True once the child is gone; it is reaped. @see wait4(2) */
export function reap(pid: number): boolean {
  const WNOHANG = 1;
  return trySyscall("wait4", pid, 0, WNOHANG) !== 0;
}

/** A detached copy of a mount, which a mount namespace can attach. @see open_tree(2) */
export function openTree(source: string, recursive: boolean): number {
  const flags = 1 | 0o2000000 | (recursive ? 0x8000 : 0);
  return syscall(`open "${source}" as a mount`, "open_tree", -100, path(source), flags);
}

/** @see mount_setattr(2) */
export function mountSetattr(fd: number, set: number, usernsFd: number): number {
  const [empty, attr] = [scratch.address + 1024, scratch.address];
  scratch.bytes.fill(0, 0, 2048);
  scratch.view.setBigUint64(0, BigInt(set), true);
  scratch.view.setBigUint64(24, BigInt(usernsFd), true);
  return trySyscall("mount_setattr", fd, empty, 0x1000, attr, 32);
}

/** A sealed, executable memory file. @see memfd_create(2) */
export function sealedFile(name: string, content: Uint8Array): number {
  const [MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_EXEC] = [1, 2, 16];
  let fd = trySyscall("memfd_create", path(name), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  // MFD_EXEC: since Linux 6.3
  if (fd === -22) fd = trySyscall("memfd_create", path(name), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw systemError(`make a memory file "${name}"`, "memfd_create", -fd);
  const written = write(fd, content);
  if (written < 0) throw systemError(`fill the memory file "${name}"`, "write", -written);
  const [F_ADD_SEALS, ALL_SEALS] = [1033, 15];
  syscall(`seal the memory file "${name}"`, "fcntl", fd, F_ADD_SEALS, ALL_SEALS);
  return fd;
}
