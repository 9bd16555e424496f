/** Ports of this machine. @see ip(7), ipv6(7) @module */
import { close } from "./calls.ts";
import { namesIn, readKernelFile, readLink } from "./files.ts";
import { trySyscall } from "./kernel.ts";
import { scratch } from "./scratch.ts";

const FAMILY = { 4: 2, 16: 10 };
const SOCKETS = { tcp: [1, 6], udp: [2, 17], sctp: [1, 132] } as const;
const SOCK_CLOEXEC = 0o2000000;
const [SOL_SOCKET, SO_REUSEADDR, BACKLOG] = [1, 2, 1024];
const [IPPROTO_IPV6, IPV6_V6ONLY] = [41, 26];

/**
 * `int bind(int fd, const struct sockaddr *addr, …)` of a new socket, at which nobody listens: as long as it is open, the
 * port is nobody else's. @see bind(2)
 * @param address 4 or 16 bytes; of all zeros, every one of its family @param port 0: whichever is free
 * @param isListening of TCP, somebody is about to take connections: those of a time before do not count
 * @returns -errno where it cannot be had
 */
export function bindPort(
  protocol: keyof typeof SOCKETS,
  address: Uint8Array,
  port: number,
  isListening = false,
): number {
  const [type, number] = SOCKETS[protocol];
  const family = FAMILY[address.length as 4 | 16];
  const fd = trySyscall("socket", family, type | SOCK_CLOEXEC, number);
  if (fd < 0) return fd;
  const isV6 = address.length === 16;
  if (isV6) {
    scratch.view.setUint32(0, 1, true);
    trySyscall("setsockopt", fd, IPPROTO_IPV6, IPV6_V6ONLY, scratch.address, 4);
  }
  const listens = isListening && protocol === "tcp";
  if (listens) {
    scratch.view.setUint32(0, 1, true);
    trySyscall("setsockopt", fd, SOL_SOCKET, SO_REUSEADDR, scratch.address, 4);
  }
  // struct sockaddr_in { u16 family; be16 port; u8 address[4] }, sockaddr_in6 { u16; be16; u32 flow; u8 address[16]; u32 }
  scratch.bytes.fill(0, 0, 28);
  scratch.view.setUint16(0, family, true);
  scratch.view.setUint16(2, port);
  scratch.bytes.set(address, isV6 ? 8 : 4);
  let result = trySyscall("bind", fd, scratch.address, isV6 ? 28 : 16);
  // others may have bound it as well, but only one listens
  if (result === 0 && listens) result = trySyscall("listen", fd, BACKLOG);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** `int getsockname(int fd, …)`: the port that a socket is bound to. @see getsockname(2) */
export function portOf(fd: number): number {
  scratch.view.setUint32(64, 28, true);
  const result = trySyscall("getsockname", fd, scratch.address, scratch.address + 64);
  return result < 0 ? result : scratch.view.getUint16(2);
}

/** Who has a port: `"nginx" (pid 12)`, where that may be seen. @see proc_pid_net(5) */
export function portOwner(protocol: string, port: number): string | undefined {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const inodes = ["", "6"].flatMap((suffix) =>
    (readKernelFile(`/proc/self/net/${protocol}${suffix}`) ?? "").split("\n").flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[1]?.endsWith(wanted) ? (fields[9] ?? []) : [];
    }),
  );
  const links = new Set(inodes.map((inode) => `socket:[${inode}]`));
  if (links.size === 0) return undefined;
  const pid = namesIn("/proc").find(
    (name) =>
      /^\d+$/.test(name) &&
      namesIn(`/proc/${name}/fd`).some((fd) => links.has(readLink(`/proc/${name}/fd/${fd}`) ?? "")),
  );
  return pid && `${JSON.stringify((readKernelFile(`/proc/${pid}/comm`) ?? "?").trim())} (pid ${pid})`;
}
