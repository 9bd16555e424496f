/**
 * Sockets of TCP and UDP, for an event loop: none of them blocks, all are close-on-exec. An answer below zero is -errno;
 * addresses are 4 or 16 bytes in the order of the network.
 * @module
 * @see socket(7), ip(7), ipv6(7), tcp(7), udp(7)
 */
import { close } from "./calls.ts";
import { syscall, trySyscall } from "./kernel.ts";
import { scratch } from "./scratch.ts";
import { fillStruct, STRUCTS } from "./structs.ts";

const [AF_INET, AF_INET6] = [2, 10];
const SOCK_NONBLOCK_CLOEXEC = 0o2004000;
const SOCKETS = { tcp: [1, 6], udp: [2, 17] } as const;
export const SOCKADDR_BYTES = 28;

/** Levels and options of {@link setOption}. @see linux/in.h, linux/in6.h, asm-generic/socket.h, linux/tcp.h */
export const [SOL_SOCKET, SOL_IP, SOL_TCP, SOL_UDP, SOL_IPV6] = [1, 0, 6, 17, 41];
export const [SO_REUSEADDR, SO_ERROR, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_LINGER] = [2, 4, 7, 8, 9, 13];
export const [SO_REUSEPORT, SO_BINDTODEVICE, SO_MARK] = [15, 25, 36];
export const [IP_PKTINFO, IP_RECVERR, IP_FREEBIND, IP_TRANSPARENT, IP_RECVORIGDSTADDR] = [8, 11, 15, 19, 20];
export const [IPV6_RECVERR, IPV6_V6ONLY, IPV6_RECVPKTINFO, IPV6_PKTINFO] = [25, 26, 49, 50];
export const [IPV6_RECVORIGDSTADDR, IPV6_TRANSPARENT, IPV6_FREEBIND] = [74, 75, 78];
export const [TCP_NODELAY, TCP_DEFER_ACCEPT, TCP_USER_TIMEOUT] = [1, 9, 18];
export const [SHUT_RD, SHUT_WR, SHUT_RDWR] = [0, 1, 2];

export interface Peer {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  port: number;
  /** Index of the device that a link-local address is of. */
  scope?: number;
}

/** `int socket(int domain, int type | SOCK_NONBLOCK | SOCK_CLOEXEC, int protocol)` @see socket(2) */
export const openSocket = (protocol: keyof typeof SOCKETS, family: 4 | 6): number =>
  trySyscall("socket", ...socketArguments(protocol, family));

/** Of {@link openSocket}, for who has it made elsewhere. */
export function socketArguments(
  protocol: keyof typeof SOCKETS,
  family: 4 | 6,
): [domain: number, type: number, protocol: number] {
  const [type, number] = SOCKETS[protocol];
  return [family === 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK_CLOEXEC, number];
}

/** `int setsockopt(int fd, int level, int option, …)`: a number, or the bytes of a structure or a name. @see setsockopt(2) */
export function setOption(fd: number, level: number, option: number, value: number | Uint8Array): number {
  if (typeof value === "number") scratch.view.setInt32(0, value, true);
  else scratch.bytes.set(value);
  const length = typeof value === "number" ? 4 : value.length;
  return trySyscall("setsockopt", fd, level, option, scratch.address, length);
}

/** `int getsockopt(int fd, int level, int option, int *value, …)`; of {@link SO_ERROR}, what has failed. @see getsockopt(2) */
export function getOption(fd: number, level: number, option: number): number {
  scratch.view.setInt32(0, 0, true);
  scratch.view.setUint32(8, 4, true);
  const result = trySyscall("getsockopt", fd, level, option, scratch.address, scratch.address + 8);
  return result < 0 ? result : scratch.view.getInt32(0, true);
}

/** Writes a `struct sockaddr_in` or `sockaddr_in6`. @returns its length */
export function putAddress(view: DataView, at: number, { address, port, scope = 0 }: Peer): number {
  const isV6 = address.length === 16;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, SOCKADDR_BYTES);
  bytes.fill(0);
  view.setUint16(at, isV6 ? AF_INET6 : AF_INET, true);
  view.setUint16(at + 2, port);
  bytes.set(address, isV6 ? 8 : 4);
  if (isV6) view.setUint32(at + 24, scope, true);
  return isV6 ? SOCKADDR_BYTES : 16;
}

/** Reads one. @throws RangeError for one of another family, which a socket of TCP or UDP has none of */
export function getAddress(view: DataView, at: number): Peer {
  const family = view.getUint16(at, true);
  const port = view.getUint16(at + 2);
  const bytes = (offset: number, length: number) =>
    new Uint8Array(view.buffer, view.byteOffset + at + offset, length).slice();
  if (family === AF_INET) return { address: bytes(4, 4), port };
  if (family !== AF_INET6) throw new RangeError(`read an address: family ${family}`);
  const scope = view.getUint32(at + 24, true);
  return { address: bytes(8, 16), port, ...(scope !== 0 && { scope }) };
}

/** `int bind(int fd, const struct sockaddr *addr, …)` @see bind(2) */
export const bindSocket = (fd: number, peer: Peer): number =>
  trySyscall("bind", fd, scratch.address, putAddress(scratch.view, 0, peer));

/** `int connect(int fd, const struct sockaddr *addr, …)`: -EINPROGRESS as a rule. @see connect(2) */
export const connectTo = (fd: number, peer: Peer): number =>
  trySyscall("connect", fd, scratch.address, putAddress(scratch.view, 0, peer));

/** `int connect(int fd, const struct sockaddr_un *addr, …)` of a new stream socket: it is connected, or -errno. @see unix(7) */
export function connectUnix(path: string): number {
  const [AF_UNIX, SOCK_STREAM, PATH_MAX, ENAMETOOLONG] = [1, 1, 107, 36];
  const name = new TextEncoder().encode(path);
  if (name.length > PATH_MAX) return -ENAMETOOLONG;
  const fd = trySyscall("socket", AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  scratch.bytes.fill(0, 0, PATH_MAX + 3);
  scratch.view.setUint16(0, AF_UNIX, true);
  scratch.bytes.set(name, 2);
  const result = trySyscall("connect", fd, scratch.address, 2 + name.length + 1);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** `int listen(int fd, int backlog)` @see listen(2) */
export const listenSocket = (fd: number, backlog: number): number => trySyscall("listen", fd, backlog);

/** `int accept4(int fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)` @see accept(2) */
export const acceptSocket = (fd: number): number => trySyscall("accept4", fd, 0, 0, SOCK_NONBLOCK_CLOEXEC);

/** `int shutdown(int fd, int how)` @see shutdown(2) */
export const shutdownSocket = (fd: number, how: number): number => trySyscall("shutdown", fd, how);

/** `int close(int fd)` of a TCP socket, whose peer is told that the connection has broken. @see SO_LINGER in socket(7) */
export function resetSocket(fd: number): void {
  scratch.view.setInt32(0, 1, true);
  scratch.view.setInt32(4, 0, true);
  trySyscall("setsockopt", fd, SOL_SOCKET, SO_LINGER, scratch.address, 8);
  close(fd);
}

/** `int getsockname(int fd, …)`: of a transparent connection, where it was going. @see getsockname(2) */
export const localAddress = (fd: number): Peer | undefined => addressBy("getsockname", fd);
/** `int getpeername(int fd, …)` @see getpeername(2) */
export const peerAddress = (fd: number): Peer | undefined => addressBy("getpeername", fd);

function addressBy(call: "getsockname" | "getpeername", fd: number): Peer | undefined {
  scratch.view.setUint32(64, SOCKADDR_BYTES, true);
  return trySyscall(call, fd, scratch.address, scratch.address + 64) < 0 ? undefined : getAddress(scratch.view, 0);
}

/**
 * `int setsockopt(int fd, SOL_SOCKET, SO_ATTACH_FILTER, const struct sock_fprog *)` of an AF_PACKET socket, and `bind` to
 * a protocol of Ethernet: nothing arrives before there is a filter. @see packet(7), socket(7)
 * @param filter `struct sock_filter`s
 */
export function bindFiltered(fd: number, protocol: number, filter: Uint8Array): number {
  const [AF_PACKET, SO_ATTACH_FILTER, SOCKADDR_LL_BYTES, INSTRUCTIONS] = [17, 26, 20, 64];
  scratch.bytes.set(filter, INSTRUCTIONS);
  fillStruct(scratch.view, 0, "sock_fprog", {
    len: filter.length / STRUCTS.sock_filter.size,
    filter: scratch.address + INSTRUCTIONS,
  });
  const size = STRUCTS.sock_fprog.size;
  const attached = trySyscall("setsockopt", fd, SOL_SOCKET, SO_ATTACH_FILTER, scratch.address, size);
  if (attached < 0) return attached;
  scratch.bytes.fill(0, 0, SOCKADDR_LL_BYTES);
  scratch.view.setUint16(0, AF_PACKET, true);
  scratch.view.setUint16(2, protocol);
  return trySyscall("bind", fd, scratch.address, SOCKADDR_LL_BYTES);
}

/** `int ioctl(int fd, SIOCGSKNS)`: a descriptor of the network namespace that a socket is of. @see network_namespaces(7) */
export function networkOf(fd: number): number {
  const SIOCGSKNS = 0x894c;
  return syscall("find the network namespace of a socket", "ioctl", fd, SIOCGSKNS);
}

const [SPLICE_F_MOVE, SPLICE_F_NONBLOCK] = [1, 2];

/** `ssize_t splice(int in, NULL, int out, NULL, size_t length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)` @see splice(2) */
export const splice = (from: number, to: number, length: number): number =>
  trySyscall("splice", from, 0, to, 0, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

/** `int pipe2(int fds[2], O_CLOEXEC | O_NONBLOCK)`; -errno as `read`. @see pipe2(2) */
export function openPipe(): { read: number; write: number } {
  const result = trySyscall("pipe2", scratch.address, SOCK_NONBLOCK_CLOEXEC);
  if (result < 0) return { read: result, write: result };
  return { read: scratch.view.getInt32(0, true), write: scratch.view.getInt32(4, true) };
}
