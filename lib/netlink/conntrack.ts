/**
 * Connection tracking: what the kernel remembers of connections, in the network namespace that the thread is in.
 * @module
 * @see linux/netfilter/nfnetlink_conntrack.h
 */
import { errnoName, netlinkAttribute, netlinkAttributes, netlinkBody, TsboxError } from "../../syscalls/index.ts";

import { netlinkHere } from "./namespace.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
const [IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE] = [1, 2];
const [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID, CTA_ZONE] = [1, 2, 12, 18];
const [CTA_TUPLE_IP, CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_DST_PORT] = [1, 2, 1, 3];
const GENERIC_BYTES = 4;
const NESTED = 0x8000;
/** Nobody is told of connections (CONFIG_NF_CT_NETLINK), or there is no tracking of them at all. */
const UNTOLD = ["EINVAL", "EOPNOTSUPP", "EPROTONOSUPPORT", "ENOENT"];

export interface Connection {
  /** As in the header of IP. */
  protocol: number;
  /** Of both directions, so those that were replaced are among them. */
  addresses: Uint8Array[];
  /** That it was begun with. */
  destinationPort: number;
}

/**
 * @returns how many; undefined where the kernel lets nobody see them: they end by themselves, after their time
 * @throws TsboxError `permission_denied`, `limit_unavailable`
 */
export function forgetConnections(isMeant: (connection: Connection) => boolean): number | undefined {
  using netlink = netlinkHere("netfilter");
  let count = 0;
  // of both families, as the kernel looks through all of its table for each time that it is asked
  const all = netlink.dump((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, new Uint8Array(GENERIC_BYTES));
  if (typeof all === "number") {
    const name = errnoName(-all);
    if (UNTOLD.includes(name)) return undefined;
    const code = name === "EPERM" ? "permission_denied" : "limit_unavailable";
    throw new TsboxError(`list connections: ${name}`, { code, errno: -all, syscall: "sendto" });
  }
  for (const bytes of all) {
    const attributes = netlinkAttributes(bytes.subarray(GENERIC_BYTES));
    if (!isMeant(connectionOf(attributes))) continue;
    const kept = [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE].flatMap((type) => {
      const value = attributes.get(type);
      return value ? [netlinkAttribute(type === CTA_TUPLE_ORIG ? type | NESTED : type, value)] : [];
    });
    const [family = 0] = bytes;
    const own = netlinkBody(Uint8Array.of(family, 0, 0, 0), ...kept);
    // it may have ended by itself meanwhile
    if (netlink.request((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 0, own) === 0) count++;
  }
  return count;
}

function connectionOf(attributes: ReadonlyMap<number, Uint8Array>): Connection {
  const tuples = [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY].map((type) => partsOf(attributes.get(type)));
  const addresses = tuples.flatMap((tuple) => {
    return [...partsOf(tuple.get(CTA_TUPLE_IP)).values()];
  });
  const transport = partsOf(tuples[0]?.get(CTA_TUPLE_PROTO));
  const [high = 0, low = 0] = transport.get(CTA_PROTO_DST_PORT) ?? [];
  return { protocol: transport.get(CTA_PROTO_NUM)?.[0] ?? 0, addresses, destinationPort: (high << 8) | low };
}

const partsOf = (bytes: Uint8Array | undefined) => (bytes ? netlinkAttributes(bytes) : new Map<number, Uint8Array>());
