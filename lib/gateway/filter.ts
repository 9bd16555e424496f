/** The packet filter that hands what leaves a namespace to sockets in it. @see nft(8) "tproxy statement" @module */
import { ERRNO, TsboxError } from "../../syscalls/index.ts";
import { bitsOf, bytesOfAddress, networkOf, parseAddress, type Subnet } from "../ip/index.ts";
import {
  equal,
  immediate,
  inSet,
  masked,
  meta,
  nameKey,
  payload,
  rejected,
  setMark,
  TableBatch,
  toSocket,
  verdict,
  type Expression,
  type Rule,
} from "../netlink/index.ts";

export const LOOPBACK = { 4: parseAddress("127.0.0.1"), 6: parseAddress("::1") };
const FAMILY = { 4: 2, 6: 10 };
export const PROTOCOL = { tcp: 6, udp: 17 };
export const [TCP_FLAGS, SYN, ACK] = [13, 0x02, 0x10];
/** As `mangle` of iptables: before anything is translated. */
const PRIORITY = -150;
/** Of packets of this program's own, and of those that are led to its sockets. */
export const LET_THROUGH = 0x74736278;
const [CHAIN, DEVICES] = ["leaving", "devices"];

/** At which the sockets of one version listen. */
export interface Ports {
  family: 4 | 6;
  tcp: number;
  udp: number;
}

export interface Filter {
  ports: readonly Ports[];
  /** What goes there is let be. */
  near: readonly Subnet[];
  /** Only what comes from these is led anywhere. Without: everything. */
  devices?: readonly string[];
}

/**
 * In the network namespace that is worked in; all at once.
 * @param isNew there is no such table yet
 * @throws TsboxError `unsupported`, `permission_denied`
 */
export function replaceFilter(table: string, filter: Filter, isNew = false): void {
  const batch = new TableBatch(table).addTable();
  // the kernel waits for all processors before it forgets anything (measured)
  if (!isNew) batch.deleteTable().addTable();
  batch.addChain(CHAIN, { type: "filter", hook: "prerouting", priority: PRIORITY });
  if (filter.devices) {
    const names = new Set(["lo", ...filter.devices]);
    batch.addSet(DEVICES, { key: ["ifname"] }).addElements(
      DEVICES,
      Array.from(names, (name) => ({ key: nameKey(name) })),
    );
  }
  for (const rule of rulesOf(filter)) batch.addRule(CHAIN, rule);
  try {
    batch.commit("hand what leaves the sandbox to a socket");
  } catch (error) {
    throw explained(error);
  }
}

function explained(error: unknown): unknown {
  if (!(error instanceof TsboxError) || error.syscall === undefined) return error;
  const { code, errno, syscall } = error;
  // ENOENT: there is no such expression
  if (errno !== ERRNO.ENOENT && code !== "unsupported") return error;
  return new TsboxError(error.message, {
    code: "unsupported",
    syscall,
    ...(errno !== undefined && { errno }),
    hint: "the kernel needs nf_tables with tproxy (CONFIG_NF_TABLES_INET, CONFIG_NFT_TPROXY, CONFIG_NFT_REJECT_INET)",
  });
}

function rulesOf({ ports, near, devices }: Filter): Rule[] {
  const both = ["tcp", "udp"] as const;
  return [
    ...near.map((subnet): Rule => [...toSubnet(subnet), verdict("accept")]),
    ...(devices ? [[meta("iifname"), inSet(DEVICES, true), verdict("accept")]] : []),
    // who wants to begin a connection waits until it has been decided, and the other end is there
    [...ofProtocol("tcp"), ...opening(), meta("mark"), equal(hostOrder(LET_THROUGH), true), verdict("drop")],
    ...ports.flatMap((all) => both.map((protocol) => toListener(all, protocol))),
    [rejected()],
  ];
}

const ofFamily = (family: 4 | 6): Expression[] => [meta("nfproto"), equal(Uint8Array.of(FAMILY[family]))];
const ofProtocol = (protocol: keyof typeof PROTOCOL): Expression[] => [
  meta("l4proto"),
  equal(Uint8Array.of(PROTOCOL[protocol])),
];
const opening = (): Expression[] => [
  payload("transport", TCP_FLAGS, 1),
  masked(Uint8Array.of(SYN | ACK)),
  equal(Uint8Array.of(SYN)),
];

function toListener({ family, ...ports }: Ports, protocol: keyof typeof PROTOCOL): Rule {
  const port = ports[protocol];
  return [
    ...ofFamily(family),
    ...ofProtocol(protocol),
    ...setMark(LET_THROUGH),
    immediate(bytesOfAddress(LOOPBACK[family])),
    immediate(Uint8Array.of(port >> 8, port & 0xff), 4),
    toSocket(family),
    verdict("accept"),
  ];
}

function toSubnet(subnet: Subnet): Expression[] {
  const { family, prefix } = subnet;
  const mask = bytesOfAddress({ family, value: ((1n << BigInt(prefix)) - 1n) << BigInt(bitsOf(family) - prefix) });
  const [at, length] = family === 4 ? [16, 4] : [24, 16];
  return [...ofFamily(family), payload("network", at, length), masked(mask), equal(bytesOfAddress(networkOf(subnet)))];
}

function hostOrder(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
