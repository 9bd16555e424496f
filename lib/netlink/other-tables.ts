/**
 * What other programs have in the packet filter, in the network namespace that is worked in: to tell whether they keep
 * something back, as a packet that one table drops stays dropped.
 * @module
 * @see linux/netfilter/nf_tables.h
 */
import { netlinkAttribute, netlinkAttributes, netlinkBody } from "../../syscalls/index.ts";
import { netlinkHere } from "./namespace.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const [NFT_MSG_GETCHAIN, NFT_MSG_GETRULE] = [4, 7];
const [CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, CHAIN_TYPE] = [1, 3, 4, 5, 7];
const [RULE_TABLE, HOOK_NUMBER, NF_DROP] = [1, 1, 0];
const HOOKS: Record<number, OtherChain["hook"] | undefined> = { 1: "input", 2: "forward" };
const GENERIC_BYTES = 4;

/** A chain of another table. */
export interface OtherChain {
  /** `NFPROTO_INET` and so on. */
  family: number;
  table: string;
  name: string;
  /** Of those that filter packets there, which others do not. */
  hook?: "input" | "forward";
  /** What none of its rules decides is dropped. */
  drops: boolean;
}

/** Nothing where that may not be seen. @param own is left out */
export function otherChains(own: string): OtherChain[] {
  return dump(NFT_MSG_GETCHAIN, 0).flatMap((body) => {
    const attributes = netlinkAttributes(body.subarray(GENERIC_BYTES));
    const [table = "", name = "", type] = [CHAIN_TABLE, CHAIN_NAME, CHAIN_TYPE].map((each) =>
      textOf(attributes.get(each)),
    );
    if (table === own) return [];
    const around = attributes.get(CHAIN_HOOK);
    const number = around && netlinkAttributes(around).get(HOOK_NUMBER);
    const hook = number && type === "filter" ? HOOKS[wordOf(number)] : undefined;
    const policy = attributes.get(CHAIN_POLICY);
    const drops = policy !== undefined && wordOf(policy) === NF_DROP;
    return [{ family: body[0] ?? 0, table, name, drops, ...(hook && { hook }) }];
  });
}

/** Whether a rule of a table has these bytes in it: a name of a device, an address. */
export const isInRules = ({ family, table }: OtherChain, wanted: readonly Uint8Array[]): boolean =>
  dump(NFT_MSG_GETRULE, family, netlinkAttribute(RULE_TABLE, new TextEncoder().encode(`${table}\0`))).some(
    (body) =>
      textOf(netlinkAttributes(body.subarray(GENERIC_BYTES)).get(RULE_TABLE)) === table &&
      wanted.some((bytes) => Buffer.from(body).includes(bytes)),
  );

function dump(message: number, family: number, ...attributes: Uint8Array[]): Uint8Array[] {
  using netlink = seen();
  if (!netlink) return [];
  const body = netlinkBody(Uint8Array.of(family, 0, 0, 0), ...attributes);
  const found = netlink.dump((NFNL_SUBSYS_NFTABLES << 8) | message, body);
  return typeof found === "number" ? [] : found;
}

/** Undefined in a kernel without packet filters. */
function seen(): ReturnType<typeof netlinkHere> | undefined {
  try {
    return netlinkHere("netfilter");
  } catch {
    return undefined;
  }
}

const wordOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
const textOf = (bytes: Uint8Array | undefined) =>
  bytes && new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
