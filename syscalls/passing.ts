/** Descriptors that one process gives another. @module @see unix(7), cmsg(3) */
import { close } from "./calls.ts";
import { trySyscall } from "./kernel.ts";
import { scratch } from "./scratch.ts";
import { fillStruct, offsetOf, STRUCTS } from "./structs.ts";

const [SOL_SOCKET, SCM_RIGHTS, SO_PEERCRED] = [1, 1, 17];
const [MSG_DONTWAIT, MSG_NOSIGNAL, MSG_CMSG_CLOEXEC] = [0x40, 0x4000, 0x40000000];
/** At a time. */
export const MOST_PASSED = 16;
const INT_BYTES = 4;
const [IOVEC, CONTROL, DATA] = [64, 128, 512];
const CMSG = STRUCTS.cmsghdr.size;

/** `ssize_t sendmsg(int fd, …, MSG_NOSIGNAL | MSG_DONTWAIT)`: bytes, and descriptors with them; or -errno. @see sendmsg(2) */
export function sendPassing(socket: number, bytes: Uint8Array, fds: readonly number[]): number {
  prepare(bytes.length, fds.length === 0 ? 0 : CMSG + align(fds.length * INT_BYTES));
  fillStruct(scratch.view, CONTROL, "cmsghdr", {
    cmsg_len: CMSG + fds.length * INT_BYTES,
    cmsg_level: SOL_SOCKET,
    cmsg_type: SCM_RIGHTS,
  });
  fds.forEach((fd, index) => scratch.view.setInt32(CONTROL + CMSG + index * INT_BYTES, fd, true));
  scratch.bytes.set(bytes, DATA);
  return trySyscall("sendmsg", socket, scratch.address, MSG_NOSIGNAL | MSG_DONTWAIT);
}

export interface Passed {
  bytes: Uint8Array;
  /** The caller's from now on. */
  fds: number[];
}

/** `ssize_t recvmsg(int fd, …, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)`: or -errno. @see recvmsg(2) */
export function receivePassed(socket: number, limitBytes: number): Passed | number {
  prepare(Math.min(limitBytes, scratch.size - DATA), CMSG + MOST_PASSED * INT_BYTES);
  const n = trySyscall("recvmsg", socket, scratch.address, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0) return n;
  const end = CONTROL + Number(scratch.view.getBigUint64(offsetOf("msghdr", "msg_controllen"), true));
  const fds: number[] = [];
  for (let at = CONTROL; at + CMSG <= end;) {
    const length = Number(scratch.view.getBigUint64(at + offsetOf("cmsghdr", "cmsg_len"), true));
    const int = (field: "cmsg_level" | "cmsg_type") => scratch.view.getInt32(at + offsetOf("cmsghdr", field), true);
    if (length < CMSG) break;
    if (int("cmsg_level") === SOL_SOCKET && int("cmsg_type") === SCM_RIGHTS)
      for (let each = at + CMSG; each + INT_BYTES <= at + length; each += INT_BYTES)
        fds.push(scratch.view.getInt32(each, true));
    at += align(length);
  }
  return { bytes: scratch.bytes.slice(DATA, DATA + n), fds };
}

const align = (length: number) => (length + 7) & ~7;

function prepare(dataBytes: number, controlBytes: number): void {
  scratch.bytes.fill(0, 0, DATA);
  fillStruct(scratch.view, 0, "msghdr", {
    msg_iov: scratch.address + IOVEC,
    msg_iovlen: 1,
    msg_control: controlBytes === 0 ? 0 : scratch.address + CONTROL,
    msg_controllen: controlBytes,
  });
  fillStruct(scratch.view, IOVEC, "iovec", { iov_base: scratch.address + DATA, iov_len: dataBytes });
}

/** `int getsockopt(int fd, SOL_SOCKET, SO_PEERCRED, struct ucred *)`: whose the other end is, or -errno. @see unix(7) */
export function peerUser(socket: number): number {
  const size = STRUCTS.ucred.size;
  scratch.view.setUint32(size, size, true);
  const result = trySyscall("getsockopt", socket, SOL_SOCKET, SO_PEERCRED, scratch.address, scratch.address + size);
  return result < 0 ? result : scratch.view.getUint32(offsetOf("ucred", "uid"), true);
}

/** Those that were passed, and are not wanted. */
export const closeAll = (fds: readonly number[]): void => fds.forEach((fd) => close(fd));
