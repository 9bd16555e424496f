/**
 * Addresses that nobody reaches by a policy that does not name them: what is not public, and what says who the host is.
 * @module
 * @see RFC 6890, and the registries of IANA for special-purpose addresses
 */
import { bitsOf, contains, formatSubnet, parseSubnet, type Address, type Subnet } from "../ip/index.ts";
import { matchesTarget, type Rule, type Target } from "./rule.ts";

export interface Reserved {
  /** What it is for. */
  use: string;
  subnet: Subnet;
  /** No rule gives it: from where connections are made, it is the host itself, or everybody. */
  never?: true;
}

const reserve = (use: string, ...subnets: string[]): Reserved[] =>
  subnets.map((subnet) => ({ use, subnet: parseSubnet(subnet) }));
const never = (use: string, ...subnets: string[]): Reserved[] =>
  reserve(use, ...subnets).map((range) => ({ ...range, never: true }));

let ranges: readonly Reserved[] | undefined;
/** Read when they are asked for: most sandboxes have no policy (measured: 0.4 ms of each start of the binary). */
export const reservedRanges = (): readonly Reserved[] => (ranges ??= readRanges());

const readRanges = (): Reserved[] => [
  ...never("loopback", "127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"),
  ...never("multicast", "224.0.0.0/4", "ff00::/8"),
  ...never("broadcast", "255.255.255.255/32"),
  // where clouds tell machines their credentials; Azure's and Google's among them are not link-local
  ...reserve("metadata", "169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"),
  ...reserve("metadata", "fd00:ec2::254/128", "fd20:ce::254/128", "fd00:42::42/128"),
  ...reserve("link-local", "169.254.0.0/16", "fe80::/10"),
  ...reserve("private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
  ...reserve("shared by a provider", "100.64.0.0/10"),
  ...reserve("special", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "100::/64"),
  // they hold an address of IPv4 in a form that is not looked into
  ...reserve("translated", "64:ff9b:1::/48", "2001::/32", "::/96", "::ffff:0:0:0/96"),
];

/**
 * Which resolver a sandbox is told to ask, in the range that handlers have their addresses of. Whatever resolver it asks,
 * the gateway answers.
 */
export const RESOLVER_ADDRESS = "198.19.0.1";

/** Whether an address is one of the host's: none of those is public to its sandboxes. They come and go. */
export type IsOwn = (address: Address) => boolean;

/** `64:ff9b::/96` and `2002::/16`. */
const NAT64: Subnet = { family: 6, value: 0x64ff9bn << 96n, prefix: 96 };
const SIX_TO_FOUR: Subnet = { family: 6, value: 0x2002n << 112n, prefix: 16 };

/** The address, and that of IPv4 that it is translated to on its way. */
export function addressesIn(address: Address): Address[] {
  const v4 = (shift: bigint): Address => ({ family: 4, value: (address.value >> shift) & 0xffffffffn });
  if (contains(NAT64, address)) return [address, v4(0n)];
  if (contains(SIX_TO_FOUR, address)) return [address, v4(80n)];
  return [address];
}

const isWithin = (inner: Subnet, outer: Subnet) => inner.prefix >= outer.prefix && contains(outer, inner);

/**
 * The range that an address is not to be reached in; a rule within the range gives it free.
 * @param target left out, where any of its ports will do
 */
export function findReserved(
  allow: readonly Rule[],
  isOwn: IsOwn,
  address: Address,
  target?: Target,
): string | undefined {
  const gives = (rule: Rule, range: Subnet) =>
    "subnet" in rule.to &&
    isWithin(rule.to.subnet, range) &&
    contains(rule.to.subnet, address) &&
    (target === undefined || matchesTarget(rule, target));
  const isTaken = ({ subnet, never: always }: Reserved) =>
    contains(subnet, address) && (always || !allow.some((rule) => gives(rule, subnet)));
  const alone = { ...address, prefix: bitsOf(address.family) };
  const found =
    reservedRanges().find(isTaken) ??
    (isOwn(address) && isTaken({ use: "", subnet: alone }) ? { use: "the host's own", subnet: alone } : undefined);
  return found && `${found.use}: ${formatSubnet(found.subnet)}`;
}
