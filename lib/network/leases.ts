/** Which addresses networks and containers get. Pure: what is taken comes in. @module */
import { invalid } from "../options/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import {
  bitsOf,
  contains,
  findAddress,
  formatAddress,
  formatSubnet,
  lastOf,
  networkOf,
  overlap,
  parseAddress,
  parseSubnet,
  type Address,
  type Subnet,
} from "../ip/index.ts";
import type { Endpoint, NetworkRecord, NetworkSubnet } from "./record.ts";

/** As Docker's: one of these, of the first that is free. */
const POOLS = [
  ...Array.from({ length: 15 }, (_, index) => `172.${17 + index}.0.0/16`),
  ...Array.from({ length: 16 }, (_, index) => `192.168.${16 * index}.0/20`),
];

/**
 * A subnet that nobody uses.
 * @param taken by other networks, and by routes of this machine
 * @throws TsboxError `limit_unavailable`
 */
export function freeSubnet(taken: readonly Subnet[]): NetworkSubnet {
  const free = POOLS.map(parseSubnet).find((pool) => !taken.some((other) => overlap(pool, other)));
  if (free) return { subnet: formatSubnet(free), gateway: formatAddress({ family: 4, value: free.value + 1n }) };
  throw new TsboxError("make a network: all predefined address pools have been fully subnetted", {
    code: "limit_unavailable",
    hint: "choose a subnet: --subnet 10.89.0.0/24",
  });
}

/** One of RFC 4193 that nobody else has. @param random 5 bytes */
export function uniqueSubnet(random: Uint8Array): NetworkSubnet {
  const value = random.reduce((all, byte) => (all << 8n) | BigInt(byte), 0xfdn) << 80n;
  const subnet: Subnet = { family: 6, value, prefix: 64 };
  return { subnet: formatSubnet(subnet), gateway: formatAddress({ family: 6, value: value + 1n }) };
}

export interface WantedSubnet {
  subnet: string;
  gateway?: string;
  range?: string;
  reserved?: Record<string, string>;
}

/** Of loopback, link-local (of version 6), multicast and none at all. */
const NOBODYS = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"];

/** @throws TsboxError `invalid_option` */
export function checkSubnet(wanted: WantedSubnet, taken: readonly { subnet: Subnet; owner: string }[]): NetworkSubnet {
  const given = parseSubnet(wanted.subnet);
  const subnet = networkOf(given);
  if (subnet.value !== given.value)
    throw invalid(`use the subnet ${show(wanted.subnet)}: it has bits behind its prefix`, formatSubnet(subnet));
  if (bitsOf(subnet.family) - subnet.prefix < 2)
    throw invalid(`use the subnet ${show(wanted.subnet)}: it has no room for a gateway and a container`);
  if (NOBODYS.some((range) => overlap(parseSubnet(range), subnet)))
    throw invalid(`use the subnet ${show(wanted.subnet)}: some of its addresses are no machine's`, NOBODYS.join(", "));
  const other = taken.find((each) => overlap(subnet, each.subnet));
  if (other)
    throw invalid(
      `use the subnet ${show(wanted.subnet)}: Pool overlaps with other one on this address space: ${other.owner}`,
    );
  const gateway = wanted.gateway === undefined ? { ...subnet, value: subnet.value + 1n } : parseAddress(wanted.gateway);
  if (!contains(subnet, gateway) || isNobodys(gateway, subnet))
    throw invalid(`use the gateway ${show(wanted.gateway)}: no address of ${formatSubnet(subnet)}`);
  const made: NetworkSubnet = { subnet: formatSubnet(subnet), gateway: formatAddress(gateway) };
  if (wanted.range !== undefined) {
    const range = networkOf(parseSubnet(wanted.range));
    if (range.prefix < subnet.prefix || !contains(subnet, range))
      throw invalid(`use the range ${show(wanted.range)}: not within ${formatSubnet(subnet)}`);
    made.range = formatSubnet(range);
  }
  if (wanted.reserved && Object.keys(wanted.reserved).length > 0) {
    for (const [name, text] of Object.entries(wanted.reserved))
      if (!contains(subnet, parseAddress(text)))
        throw invalid(`reserve ${show(`${name}=${text}`)}: no address of ${formatSubnet(subnet)}`);
    made.reserved = wanted.reserved;
  }
  return made;
}

/**
 * An address of each subnet: the one that is asked for, or the next behind the last that was given away, so that none is
 * used again at once.
 * @returns with the lengths of prefixes
 * @throws TsboxError `invalid_option`, `limit_unavailable`
 */
export function chooseAddresses(
  { name, subnets, endpoints, last }: Pick<NetworkRecord, "name" | "subnets" | "endpoints" | "last">,
  wanted: readonly string[],
): string[] {
  const taken = new Map<string, Endpoint>();
  for (const endpoint of Object.values(endpoints))
    for (const text of endpoint.addresses) taken.set(text.slice(0, text.indexOf("/")), endpoint);
  const asked = wanted.map(parseAddress);
  const parsed = subnets.map((each) => ({ ...each, at: parseSubnet(each.subnet) }));
  for (const address of asked)
    if (!parsed.some(({ at }) => contains(at, address)))
      throw invalid(
        `use the address ${formatAddress(address)}: no configured subnet contains IP address ${formatAddress(address)}`,
        `network ${name} has ${subnets.map(({ subnet }) => subnet).join(" and ") || "none"}`,
      );
  return parsed.map(({ at, gateway, range, reserved = {}, subnet }) => {
    const reservedOnes = new Set([gateway, ...Object.values(reserved)].map((text) => parseAddress(text).value));
    const isFree = (address: Address) => !reservedOnes.has(address.value) && !taken.has(formatAddress(address));
    const own = asked.find((address) => contains(at, address));
    if (own) {
      if (!isFree(own) || isNobodys(own, at)) {
        const owner = taken.get(formatAddress(own))?.name;
        const whose = owner === undefined ? "it is reserved" : `container ${show(owner)} has it`;
        throw invalid(`use the address ${formatAddress(own)}: Address already in use`, whose);
      }
      return `${formatAddress(own)}/${at.prefix}`;
    }
    const found = nextFree(range === undefined ? at : parseSubnet(range), at, findAddress(last[subnet] ?? ""), isFree);
    if (!found)
      throw new TsboxError(
        `find a free address in ${subnet}: no available IPv${at.family} addresses on this network's address pools: ${name}`,
        { code: "limit_unavailable" },
      );
    return `${formatAddress(found)}/${at.prefix}`;
  });
}

/** The first is the network itself, the last of version 4 is everybody. */
const isNobodys = ({ value }: Address, subnet: Subnet): boolean =>
  value === networkOf(subnet).value || (subnet.family === 4 && value === lastOf(subnet).value);

function nextFree(
  pool: Subnet,
  subnet: Subnet,
  last: Address | undefined,
  isFree: (address: Address) => boolean,
): Address | undefined {
  const { family } = pool;
  // without those that are nobody's
  const first = networkOf(pool).value === subnet.value ? subnet.value + 1n : networkOf(pool).value;
  const end =
    lastOf(pool).value === lastOf(subnet).value && family === 4 ? lastOf(pool).value : lastOf(pool).value + 1n;
  const count = end - first;
  const begin = last && last.value >= first && last.value < end ? last.value - first + 1n : 0n;
  // more are never in use
  const LIMIT = 1n << 20n;
  for (let step = 0n; step < count && step < LIMIT; step++) {
    const address: Address = { family, value: first + ((begin + step) % count) };
    if (isFree(address)) return address;
  }
  return undefined;
}

/** Locally administered, and told by the address, so that neighbours need not learn another one. */
export function macFor(address: string | undefined, random: Uint8Array): string {
  const found = address === undefined ? undefined : findAddress(address.slice(0, address.indexOf("/")));
  const tail =
    found?.family === 4
      ? [24n, 16n, 8n, 0n].map((shift) => Number((found.value >> shift) & 0xffn))
      : [...random.subarray(0, 4)];
  return [0x02, 0x42, ...tail].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
