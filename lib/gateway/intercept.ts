/**
 * Everything that leaves a sandbox arrives at a socket: in its network namespace, all addresses are its own, and a packet
 * filter hands each connection and datagram to whoever listens for all of them. What is neither has no way out.
 * @module
 * @see https://docs.kernel.org/networking/tproxy.html
 */
import * as sys from "../../syscalls/index.ts";
import { Netlink, TsboxError } from "../../syscalls/index.ts";
import { bytesOfAddress, parseAddress } from "../ip/index.ts";
import {
  equal,
  immediate,
  inNetwork,
  Links,
  meta,
  payload,
  rejected,
  TableBatch,
  toSocket,
  verdict,
  type Rule,
} from "../netlink/index.ts";
import type { NetworkSocketName } from "../plan/index.ts";
import type { WaySockets } from "./messages.ts";

/** What the sandbox has, of ranges that nobody has on the Internet or in a network of their own. */
export const OWN_ADDRESS = { 4: "198.19.0.2", 6: "fd74:7362:6f78::2" } as const;
const LOOPBACK = { 4: parseAddress("127.0.0.1"), 6: parseAddress("::1") };
const FAMILY = { 4: 2, 6: 10 };
const PROTOCOL = { tcp: 6, udp: 17 };
/** As `mangle` of iptables: before anything is translated. */
const PRIORITY = -150;
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
    const has = (family: 4 | 6) => families.includes(family);
    const kept: WaySockets = {
      tcp: [...(has(4) ? [given.tcp4] : []), ...(has(6) ? [given.tcp6] : [])],
      udp: [...(has(4) ? [given.udp4] : []), ...(has(6) ? [given.udp6] : [])],
      raw4: given.raw4,
      ...(has(6) && { raw6: given.raw6 }),
    };
    for (const fd of [...kept.tcp, ...kept.udp, kept.raw4, kept.raw6]) if (fd !== undefined) taken.add(fd);
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

function listen(given: Record<NetworkSocketName, number>, family: 4 | 6): Ports {
  const [tcp, udp] = family === 4 ? [given.tcp4, given.udp4] : [given.tcp6, given.udp6];
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
  return { family, tcp: sys.localAddress(tcp)?.port ?? 0, udp: sys.localAddress(udp)?.port ?? 0 };
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

function rulesOf(ports: readonly Ports[]): Rule[] {
  const ofFamily = (family: 4 | 6) => [meta("nfproto"), equal(Uint8Array.of(FAMILY[family]))];
  const to = (family: 4 | 6, length: number) => payload("network", family === 4 ? 16 : 24, length);
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
    ...ports.flatMap(({ family, ...both }) =>
      (["tcp", "udp"] as const).map((protocol): Rule => [
        ...ofFamily(family),
        meta("l4proto"),
        equal(Uint8Array.of(PROTOCOL[protocol])),
        immediate(bytesOfAddress(LOOPBACK[family])),
        immediate(Uint8Array.of(both[protocol] >> 8, both[protocol] & 0xff), 4),
        toSocket(family),
        verdict("accept"),
      ]),
    ),
    [rejected()],
  ];
}
