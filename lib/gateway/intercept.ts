/**
 * Everything that leaves a sandbox arrives at a socket: in its network namespace, all addresses are its own, and a packet
 * filter hands each connection and datagram to whoever listens for all of them. What is neither has no way out.
 *
 * The first packet of a connection is held back. It is sent on when the other end has answered, so that whoever connects
 * is told what became of that, and not that all went well.
 * @module
 * @see https://docs.kernel.org/networking/tproxy.html
 */
import * as sys from "../../syscalls/index.ts";
import { Netlink, struct, STRUCTS } from "../../syscalls/index.ts";
import { bytesOfAddress, parseAddress, parseSubnet } from "../ip/index.ts";
import { inNetwork, Links } from "../netlink/index.ts";
import { NETWORK_SOCKETS, networkSocket, type NetworkSocketName } from "../plan/index.ts";
import { ACK, LET_THROUGH, LOOPBACK, PROTOCOL, replaceFilter, SYN, TCP_FLAGS, type Ports } from "./filter.ts";
import type { FamilySockets, WaySockets } from "./messages.ts";

/** What the sandbox has, of ranges that nobody has on the Internet or in a network of their own. */
const OWN_ADDRESS = { 4: "198.19.0.2", 6: "fd74:7362:6f78::2" } as const;
/** What is a sandbox's own, and never leaves it. */
export const NEAR: readonly string[] = ["127.0.0.0/8", "::1/128", `${OWN_ADDRESS[4]}/32`, `${OWN_ADDRESS[6]}/128`];
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd };
const BACKLOG = 128;
const TABLE = "tsbox";
const LOOPBACK_INDEX = 1;

/**
 * Makes the sockets of a namespace listen for all that leaves it.
 * @param families 6 where the host reaches anybody by it: without, programs do not try it
 * @param isNew nobody has done this before in the namespace
 * @throws TsboxError `unsupported`, `permission_denied`
 */
export function intercept(
  given: Record<NetworkSocketName, number>,
  families: readonly (4 | 6)[],
  isNew = true,
): WaySockets {
  const taken = new Set<number>();
  try {
    const ports = families.map((family) => listen(given, family));
    const netlink = (protocol: "route" | "netfilter") => new Netlink(protocol, sys.keptDescriptor(given[protocol], 3));
    inNetwork({ descriptor: -1, netlink, socket: () => -sys.ERRNO.EPERM, set: () => -sys.ERRNO.EPERM }, () => {
      leadBack(families);
      replaceFilter(TABLE, { ports, near: NEAR.map(parseSubnet) }, isNew);
    });
    const kept: WaySockets = { 4: socketsOf(given, 4), ...(families.includes(6) && { 6: socketsOf(given, 6) }) };
    for (const sockets of Object.values(kept)) for (const fd of Object.values(sockets)) taken.add(fd as number);
    return kept;
  } finally {
    for (const fd of Object.values(given)) if (fd >= 0 && !taken.has(fd)) sys.close(fd);
  }
}

/** A namespace in which sockets can be made. */
export interface Place {
  /** `int socket(int domain, int type, int protocol)`: a descriptor, or -errno. @see socket(2) */
  socket(family: number, type: number, protocol: number): number;
}

/**
 * What {@link intercept} and its neighbours are given, made from outside.
 * @returns -errno where there is no IPv6, and it is not wanted
 * @throws TsboxError `system`; then nothing is left
 */
export function makeSockets<Name extends NetworkSocketName>(
  place: Place,
  names: readonly Name[],
  families: readonly (4 | 6)[],
): Record<Name, number> {
  const made = names.map((name) => [name, place.socket(...networkSocket(name))] as const);
  const failed = made.find(([name, fd]) => fd < 0 && (families.includes(6) || !name.endsWith("6")));
  if (!failed) return Object.fromEntries(made) as Record<Name, number>;
  for (const [, fd] of made) if (fd >= 0) sys.close(fd);
  throw sys.systemError("make a socket of the network namespace", "socket", -failed[1]);
}

/** The same of a namespace that this program is not in. @throws TsboxError `unsupported`, `permission_denied` */
export const interceptAt = (place: Place, families: readonly (4 | 6)[], isNew: boolean): WaySockets =>
  intercept(makeSockets(place, NETWORK_SOCKETS, families), families, isNew);

/** In an order in which they can be passed on. */
export const listSockets = ({ 4: v4, 6: v6 }: WaySockets): number[] =>
  [v4, v6].flatMap((each) => (each ? FAMILY_SOCKETS.map((name) => each[name]) : []));

const FAMILY_SOCKETS = ["tcp", "udp", "raw", "passing"] as const;

/** Undefined where they are not so many. */
export function socketsIn(fds: readonly number[]): WaySockets | undefined {
  const count = FAMILY_SOCKETS.length;
  if (fds.length !== count && fds.length !== count * 2) return undefined;
  const family = (first: number) =>
    Object.fromEntries(FAMILY_SOCKETS.map((name, index) => [name, fds[first + index]])) as unknown as FamilySockets;
  return { 4: family(0), ...(fds.length > count && { 6: family(count) }) };
}

export const socketsOf = (given: Record<NetworkSocketName, number>, family: 4 | 6): FamilySockets => ({
  tcp: given[`tcp${family}`],
  udp: given[`udp${family}`],
  raw: given[`raw${family}`],
  passing: given[`passing${family}`],
});

/** Makes the sockets of one version listen for all that is handed to them. */
export function listen(given: Record<NetworkSocketName, number>, family: 4 | 6): Ports {
  const { tcp, udp, raw, passing } = socketsOf(given, family);
  const [level, transparent, original] =
    family === 4
      ? [sys.SOL_IP, sys.IP_TRANSPARENT, sys.IP_RECVORIGDSTADDR]
      : [sys.SOL_IPV6, sys.IPV6_TRANSPARENT, sys.IPV6_RECVORIGDSTADDR];
  const address = bytesOfAddress(LOOPBACK[family]);
  // what is accepted inherits it: a connection to somebody's port 80 would keep servers inside from listening there
  check("listen in the sandbox", "setsockopt", sys.setOption(tcp, sys.SOL_SOCKET, sys.SO_REUSEADDR, 1));
  for (const fd of [tcp, udp]) {
    check(
      "take connections to any address",
      "setsockopt",
      sys.setOption(fd, level as number, transparent as number, 1),
    );
    check("listen in the sandbox", "bind", sys.bindSocket(fd, { address, port: 0 }));
  }
  check("take datagrams to any address", "setsockopt", sys.setOption(udp, level as number, original as number, 1));
  check("listen in the sandbox", "listen", sys.listenSocket(tcp, BACKLOG));
  check("mark packets", "setsockopt", sys.setOption(raw, sys.SOL_SOCKET, sys.SO_MARK, LET_THROUGH));
  check("see what begins connections", "bind", sys.bindFiltered(passing, ETHERTYPE[family], openingsOnly(family)));
  return { family, tcp: sys.localAddress(tcp)?.port ?? 0, udp: sys.localAddress(udp)?.port ?? 0 };
}

/** `SYN` without `ACK`, of packets without the mark. @see linux/filter.h, packet(7) */
function openingsOnly(family: 4 | 6): Uint8Array {
  const [LOAD_WORD, LOAD_HALF, LOAD_BYTE, LOAD_BYTE_X, HEADER_TO_X] = [0x20, 0x28, 0x30, 0x50, 0xb1];
  const [JUMP_EQUAL, JUMP_SET, AND, RETURN] = [0x15, 0x45, 0x54, 0x06];
  const SKF_AD_MARK = 0xfffff000 + 20;
  const protocol = family === 4 ? 9 : 6;
  const segment: [code: number, k: number, to?: [yes: number, no: number]][] =
    family === 4
      ? [
          [LOAD_HALF, 6],
          [JUMP_SET, 0x1fff, [5, 0]],
          [HEADER_TO_X, 0],
          [LOAD_BYTE_X, TCP_FLAGS],
        ]
      : [[LOAD_BYTE, 40 + TCP_FLAGS]];
  const rest: typeof segment = [...segment, [AND, SYN | ACK], [JUMP_EQUAL, SYN, [0, 1]], [RETURN, 0xffff], [RETURN, 0]];
  const all: typeof segment = [
    [LOAD_WORD, SKF_AD_MARK],
    [JUMP_EQUAL, LET_THROUGH, [rest.length + 1, 0]],
    [LOAD_BYTE, protocol],
    [JUMP_EQUAL, PROTOCOL.tcp, [0, rest.length - 1]],
    ...rest,
  ];
  const bytes = new Uint8Array(all.length * STRUCTS.sock_filter.size);
  all.forEach(([code, k, [jt, jf] = [0, 0]], index) =>
    bytes.set(struct("sock_filter", { code, jt, jf, k }), index * STRUCTS.sock_filter.size),
  );
  return bytes;
}

export function check(action: string, call: string, result: number): void {
  if (result < 0) throw sys.systemError(action, call, -result);
}

/** In the namespace: all that leaves it is for itself. */
function leadBack(families: readonly (4 | 6)[]): void {
  using links = new Links();
  // whoever is being started may not have come to that yet
  links.change(LOOPBACK_INDEX, { up: true }, "bring the loopback interface up");
  for (const family of families) {
    const own = parseAddress(OWN_ADDRESS[family]);
    links.addAddress(LOOPBACK_INDEX, { ...own, prefix: family === 4 ? 32 : 128 }, "give the sandbox an address");
    links.addLocalRoute(LOOPBACK_INDEX, own.family, "lead what leaves the sandbox back into it", { source: own });
  }
}
