/** Pipes: made, and looked into without waiting. @module */
import { syscall, systemError, trySyscall } from "./kernel.ts";
import { scratch } from "./scratch.ts";

const O_CLOEXEC = 0o2000000;
const EAGAIN = 11;

/** `int pipe2(int fds[2], int flags)` @see pipe2(2) */
export function pipe(): [read: number, write: number] {
  syscall("make a pipe", "pipe2", scratch.address, O_CLOEXEC);
  return [scratch.view.getInt32(0, true), scratch.view.getInt32(4, true)];
}

/**
 * A pipe for a process with ids of its own, to whom `/dev/stdout` would otherwise be somebody else's file: opening it
 * again is opening that. It has no name but below the `/proc/PID/fd` of who has it.
 */
export function stdioPipe(): [read: number, write: number] {
  const ends = pipe();
  syscall("let a pipe be opened again", "fchmod", ends[0], 0o666);
  return ends;
}

/**
 * The same for a pipe of the caller's, which others have as well: it may be opened for what it is there for alone. What
 * is no pipe, one with a name and one of somebody else stay as they are.
 */
export function letReopen(fd: number, use: "read" | "write"): void {
  const PIPEFS_MAGIC = 0x50495045n;
  if (trySyscall("fstatfs", fd, scratch.address) < 0 || scratch.view.getBigInt64(0, true) !== PIPEFS_MAGIC) return;
  trySyscall("fchmod", fd, use === "read" ? 0o644 : 0o622);
}

/** `int fcntl(int fd, F_SETPIPE_SZ, int size)`: 0 or more, or -errno where the user may not have so much. @see F_SETPIPE_SZ(2const) */
export function resizePipe(fd: number, bytes: number): number {
  const F_SETPIPE_SZ = 1031;
  return trySyscall("fcntl", fd, F_SETPIPE_SZ, bytes);
}

/** `ssize_t write(int fd, const void *buf, size_t count)`: up to 64 KiB, how many it took, or -errno. @see write(2) */
export function writeNow(fd: number, bytes: Uint8Array): number {
  const part = bytes.subarray(0, scratch.size);
  scratch.bytes.set(part);
  return trySyscall("write", fd, scratch.address, part.length);
}

/**
 * `ssize_t preadv2(int fd, const struct iovec *iov, 1, -1, RWF_NOWAIT)`: what is in a pipe, up to 64 KiB, without
 * waiting; empty at its end, undefined where there is nothing yet. @see preadv2(2)
 */
export function readNow(fd: number): Uint8Array | undefined {
  const RWF_NOWAIT = 8;
  const iovec = scratch.size - 16;
  scratch.view.setBigUint64(iovec, BigInt(scratch.address), true);
  scratch.view.setBigUint64(iovec + 8, BigInt(iovec), true);
  const n = trySyscall("preadv2", fd, scratch.address + iovec, 1, -1, -1, RWF_NOWAIT);
  if (n === -EAGAIN) return undefined;
  if (n < 0) throw systemError("read a pipe", "preadv2", -n);
  return scratch.bytes.slice(0, n);
}

/** `int ioctl(int fd, FIONREAD, int *count)`: bytes that can be read from a pipe. @see FIONREAD(2const) */
export function bytesWaiting(fd: number): number {
  const FIONREAD = 0x541b;
  scratch.view.setInt32(0, 0, true);
  trySyscall("ioctl", fd, FIONREAD, scratch.address);
  return scratch.view.getInt32(0, true);
}

/** `int ppoll({fd, POLLOUT}, 1, 0)`: whether something can be written now. @see poll(2) */
export function takesMore(fd: number): boolean {
  const POLLOUT = 4;
  scratch.view.setInt32(0, fd, true);
  scratch.view.setInt32(4, POLLOUT, true);
  scratch.view.setBigInt64(8, 0n, true);
  scratch.view.setBigInt64(16, 0n, true);
  return trySyscall("ppoll", scratch.address, 1, scratch.address + 8, 0, 8) > 0;
}
