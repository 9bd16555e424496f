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
import { Netlink, struct, STRUCTS, TsboxError } from "../../syscalls/index.ts";
import { bytesOfAddress, parseAddress } from "../ip/index.ts";
import {
  equal,
  immediate,
  inNetwork,
  Links,
  masked,
  meta,
  payload,
  rejected,
  TableBatch,
  toSocket,
  verdict,
  type Rule,
} from "../netlink/index.ts";
import type { NetworkSocketName } from "../plan/index.ts";
import type { FamilySockets, WaySockets } from "./messages.ts";

/** What the sandbox has, of ranges that nobody has on the Internet or in a network of their own. */
export const OWN_ADDRESS = { 4: "198.19.0.2", 6: "fd74:7362:6f78::2" } as const;
const LOOPBACK = { 4: parseAddress("127.0.0.1"), 6: parseAddress("::1") };
const FAMILY = { 4: 2, 6: 10 };
const PROTOCOL = { tcp: 6, udp: 17 };
/** As `mangle` of iptables: before anything is translated. */
const PRIORITY = -150;
/** Of packets of this program's own. */
const LET_THROUGH = 0x74736278;
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd };
const [TCP_FLAGS, SYN, ACK] = [13, 0x02, 0x10];
const BACKLOG = 128;
const TABLE = "tsbox";
const LOOPBACK_INDEX = 1;

/**
 * Makes the sockets of a namespace listen for all that leaves it.
 * @param families 6 where the host reaches anybody by it: without, programs do not try it
 * @throws TsboxError `unsupported`, `permission_denied`
 */
export function intercept(given: Record<NetworkSocketName, number>, families: readonly (4 | 6)[]): WaySockets {
  const taken = new Set<number>();
  try {
    const ports = families.map((family) => listen(given, family));
    const netlink = (protocol: "route" | "netfilter") => new Netlink(protocol, sys.keptDescriptor(given[protocol], 3));
    inNetwork({ descriptor: -1, netlink, set: () => -sys.ERRNO.EPERM }, () => {
      addRoutes(families);
      addFilter(ports);
    });
    const kept: WaySockets = { 4: socketsOf(given, 4), ...(families.includes(6) && { 6: socketsOf(given, 6) }) };
    for (const sockets of Object.values(kept)) for (const fd of Object.values(sockets)) taken.add(fd as number);
    return kept;
  } finally {
    for (const fd of Object.values(given)) if (!taken.has(fd)) sys.close(fd);
  }
}

interface Ports {
  family: 4 | 6;
  tcp: number;
  udp: number;
}

const socketsOf = (given: Record<NetworkSocketName, number>, family: 4 | 6): FamilySockets => ({
  tcp: given[`tcp${family}`],
  udp: given[`udp${family}`],
  raw: given[`raw${family}`],
  passing: given[`passing${family}`],
});

function listen(given: Record<NetworkSocketName, number>, family: 4 | 6): Ports {
  const { tcp, udp, raw, passing } = socketsOf(given, family);
  const [level, transparent, original] =
    family === 4
      ? [sys.SOL_IP, sys.IP_TRANSPARENT, sys.IP_RECVORIGDSTADDR]
      : [sys.SOL_IPV6, sys.IPV6_TRANSPARENT, sys.IPV6_RECVORIGDSTADDR];
  const address = bytesOfAddress(LOOPBACK[family]);
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

function check(action: string, call: string, result: number): void {
  if (result < 0) throw sys.systemError(action, call, -result);
}

function addRoutes(families: readonly (4 | 6)[]): void {
  using links = new Links();
  for (const family of families) {
    const own = parseAddress(OWN_ADDRESS[family]);
    links.addAddress(LOOPBACK_INDEX, { ...own, prefix: family === 4 ? 32 : 128 }, "give the sandbox an address");
    links.addLocalRoute(LOOPBACK_INDEX, own, "lead what leaves the sandbox back into it");
  }
}

function addFilter(ports: readonly Ports[]): void {
  const batch = new TableBatch(TABLE)
    .addTable()
    .addChain("leaving", { type: "filter", hook: "prerouting", priority: PRIORITY });
  for (const rule of rulesOf(ports)) batch.addRule("leaving", rule);
  try {
    batch.commit("hand what leaves the sandbox to a socket");
  } catch (error) {
    if (!(error instanceof TsboxError) || error.syscall === undefined) throw error;
    const { code, errno, syscall } = error;
    const isMissing = errno === sys.ERRNO.ENOENT || code === "unsupported";
    throw new TsboxError(error.message, {
      code: isMissing ? "unsupported" : code,
      syscall,
      ...(errno !== undefined && { errno }),
      ...(isMissing && {
        hint: 'the kernel needs nf_tables with tproxy (CONFIG_NFT_TPROXY, CONFIG_NFT_REJECT_INET); or use network "pasta"',
      }),
    });
  }
}

/** In the order of the machine. */
function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function rulesOf(ports: readonly Ports[]): Rule[] {
  const ofFamily = (family: 4 | 6) => [meta("nfproto"), equal(Uint8Array.of(FAMILY[family]))];
  const to = (family: 4 | 6, length: number) => payload("network", family === 4 ? 16 : 24, length);
  const transport = (protocol: "tcp" | "udp") => [meta("l4proto"), equal(Uint8Array.of(PROTOCOL[protocol]))];
  const opening = () => [
    payload("transport", TCP_FLAGS, 1),
    masked(Uint8Array.of(SYN | ACK)),
    equal(Uint8Array.of(SYN)),
  ];
  const families = ports.map(({ family }) => family);
  const bytes = (text: string) => bytesOfAddress(parseAddress(text));
  return [
    // its own servers; and what comes back to it
    [...ofFamily(4), to(4, 1), equal(Uint8Array.of(127)), verdict("accept")],
    [...ofFamily(6), to(6, 16), equal(bytesOfAddress(LOOPBACK[6])), verdict("accept")],
    ...families.map((family): Rule => [
      ...ofFamily(family),
      to(family, bytes(OWN_ADDRESS[family]).length),
      equal(bytes(OWN_ADDRESS[family])),
      verdict("accept"),
    ]),
    // who wants to begin a connection waits until it has been decided, and the other end is there
    [...transport("tcp"), ...opening(), meta("mark"), equal(word(LET_THROUGH), true), verdict("drop")],
    ...ports.flatMap(({ family, ...both }) =>
      (["tcp", "udp"] as const).map((protocol): Rule => [
        ...ofFamily(family),
        ...transport(protocol),
        immediate(bytesOfAddress(LOOPBACK[family])),
        immediate(Uint8Array.of(both[protocol] >> 8, both[protocol] & 0xff), 4),
        toSocket(family),
        verdict("accept"),
      ]),
    ),
    [rejected()],
  ];
}
