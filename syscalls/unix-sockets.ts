/** Unix sockets: pairs, those with an address, and descriptors that are passed over them. @module */
import { aboveStdio, close } from "./calls.ts";
import { TsboxError } from "./error.ts";
import { syscall, systemError, trySyscall } from "./kernel.ts";
import { path, scratch } from "./scratch.ts";
import { fillStruct, offsetOf, STRUCTS } from "./structs.ts";

const [O_NONBLOCK, O_CLOEXEC] = [0o4000, 0o2000000];
const EINVAL = 22;

/** `int socketpair(AF_UNIX, SOCK_STREAM, 0, int sv[2])` @see socketpair(2) */
export function socketPair(): [number, number] {
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  syscall("make a socket pair", "socketpair", AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, scratch.address);
  return [aboveStdio(scratch.view.getInt32(0, true)), aboveStdio(scratch.view.getInt32(4, true))];
}

/** `ssize_t sendto(int fd, …, MSG_NOSIGNAL | MSG_DONTWAIT)`: bytes sent, or -errno. @see send(2) */
export function send(fd: number, bytes: Uint8Array): number {
  scratch.bytes.set(bytes);
  const MSG_NOSIGNAL_DONTWAIT = 0x4000 | 0x40;
  return trySyscall("sendto", fd, scratch.address, bytes.length, MSG_NOSIGNAL_DONTWAIT);
}

/** `ssize_t recvmsg(int fd, …, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)`: the descriptor that has been passed, or -errno. @see recvmsg(2) */
export function receiveDescriptor(socket: number): number {
  const [fd = -EINVAL, ...more] = receiveDescriptors(socket, 1);
  more.forEach(close);
  return fd;
}

/** The same of several in one message; -errno as the only one. @param most that are taken; the kernel closes the others */
export function receiveDescriptors(socket: number, most: number): number[] {
  const [iovec, byte, control] = [64, 96, 128];
  const [SOL_SOCKET, SCM_RIGHTS, MSG_FLAGS] = [1, 1, 0x40000000 | 0x40];
  const length = STRUCTS.cmsghdr.size + Math.ceil(most / 2) * 8;
  scratch.bytes.fill(0, 0, control + length);
  const word = (at: number, value: number) => scratch.view.setBigUint64(at, BigInt(value), true);
  word(offsetOf("msghdr", "msg_iov"), scratch.address + iovec);
  word(offsetOf("msghdr", "msg_iovlen"), 1);
  word(offsetOf("msghdr", "msg_control"), scratch.address + control);
  word(offsetOf("msghdr", "msg_controllen"), length);
  word(iovec + offsetOf("iovec", "iov_base"), scratch.address + byte);
  word(iovec + offsetOf("iovec", "iov_len"), 1);
  const n = trySyscall("recvmsg", socket, scratch.address, MSG_FLAGS);
  if (n < 0) return [n];
  const is = (field: "cmsg_level" | "cmsg_type", value: number) =>
    scratch.view.getInt32(control + offsetOf("cmsghdr", field), true) === value;
  if (!is("cmsg_level", SOL_SOCKET) || !is("cmsg_type", SCM_RIGHTS)) return [-EINVAL];
  const count = (scratch.view.getUint32(control, true) - STRUCTS.cmsghdr.size) / 4;
  return Array.from({ length: Math.min(count, length / 4) }, (_, index) =>
    scratch.view.getInt32(control + STRUCTS.cmsghdr.size + index * 4, true),
  );
}

const [SOCK_STREAM, SOCK_DGRAM] = [1, 2];

/** A new socket at an address. */
function unixSocket(action: string, file: string, call: "bind" | "connect", type = SOCK_STREAM): number {
  const [AF_UNIX, PATH_MAX] = [1, 107];
  const isAbstract = file.startsWith("@");
  const name = new TextEncoder().encode(isAbstract ? `\0${file.slice(1)}` : file);
  if (name.length > PATH_MAX)
    throw new TsboxError(`${action}: a socket's path has ${PATH_MAX} bytes at most`, { code: "invalid_option" });
  const fd = aboveStdio(syscall("make a socket", "socket", AF_UNIX, type | O_CLOEXEC, 0));
  scratch.bytes.fill(0, 0, 128);
  scratch.view.setUint16(0, AF_UNIX, true);
  scratch.bytes.set(name, 2);
  const result = trySyscall(call, fd, scratch.address, 2 + name.length + (isAbstract ? 0 : 1));
  if (result === 0) return fd;
  close(fd);
  throw systemError(action, call, -result);
}

/** `int connect(int fd, const struct sockaddr_un *addr, …)` of a new stream socket. @see unix(7) */
export const connectSocket = (file: string): number =>
  unixSocket(`connect to ${JSON.stringify(file)}`, file, "connect");

/** The same, which does not block, now or later: `EAGAIN` where too many wait to be accepted. */
export const connectSocketNow = (file: string): number =>
  unixSocket(`connect to ${JSON.stringify(file)}`, file, "connect", SOCK_STREAM | O_NONBLOCK);

/** `int listen(int fd, int backlog)` of a new stream socket in a directory, however long its path is. @see unix(7) */
export function listenIn(directory: number, name: string): number {
  const fd = unixSocket(`make the socket "${name}"`, `/proc/self/fd/${directory}/${name}`, "bind");
  syscall(`listen at the socket "${name}"`, "listen", fd, 16);
  return fd;
}

/** The same of a new datagram socket; an address that begins with `@` is an abstract one. @see unix(7) */
export const connectDatagrams = (file: string): number =>
  unixSocket(`connect to ${JSON.stringify(file)}`, file, "connect", SOCK_DGRAM);

/** `int bind(int fd, const struct sockaddr_un *addr, …)` of a new datagram socket in a directory. @see unix(7) */
export function bindDatagramsIn(directory: number, name: string, mode: number): number {
  const fd = unixSocket(`make the socket "${name}"`, `/proc/self/fd/${directory}/${name}`, "bind", SOCK_DGRAM);
  const result = trySyscall("fchmodat", directory, path(name), mode);
  if (result === 0) return fd;
  close(fd);
  throw systemError(`set the mode of the socket "${name}"`, "fchmodat", -result);
}

/** `ssize_t recvfrom(int fd, …, MSG_DONTWAIT)`: a datagram; undefined where there is none yet. @see recv(2) */
export function receiveNow(fd: number): Uint8Array | undefined {
  const MSG_DONTWAIT = 0x40;
  const n = trySyscall("recvfrom", fd, scratch.address, scratch.size, MSG_DONTWAIT);
  return n < 0 ? undefined : scratch.bytes.slice(0, n);
}

/** `ssize_t sendmsg(int fd, …, MSG_NOSIGNAL)`: bytes, and a descriptor with them; or -errno. @see sendmsg(2) */
export function sendDescriptor(socket: number, bytes: Uint8Array, fd: number): number {
  const [iovec, control, data] = [64, 128, 192];
  const [SOL_SOCKET, SCM_RIGHTS, MSG_NOSIGNAL] = [1, 1, 0x4000];
  scratch.bytes.fill(0, 0, data);
  const at = scratch.address;
  fillStruct(scratch.view, 0, "msghdr", {
    msg_iov: at + iovec,
    msg_iovlen: 1,
    msg_control: at + control,
    msg_controllen: STRUCTS.cmsghdr.size + 8,
  });
  fillStruct(scratch.view, iovec, "iovec", { iov_base: at + data, iov_len: bytes.length });
  const cmsg_len = STRUCTS.cmsghdr.size + 4;
  fillStruct(scratch.view, control, "cmsghdr", { cmsg_len, cmsg_level: SOL_SOCKET, cmsg_type: SCM_RIGHTS });
  scratch.view.setInt32(control + STRUCTS.cmsghdr.size, fd, true);
  scratch.bytes.set(bytes, data);
  return trySyscall("sendmsg", socket, at, MSG_NOSIGNAL);
}
