/** Who may ask for what, as the records have it. Pure. @module */
import { upstreamOf, Zone, type Asker, type Upstream } from "../dns/index.ts";
import { bytesOfAddress, parseSubnet } from "../ip/index.ts";
import { hasNames, type Endpoint, type NetworkRecord } from "../network/index.ts";

/** Of one network: by {@link addressKey}. */
export type Askers = Map<number | string, Asker>;

/** What an address is found by. */
export const addressKey = (bytes: Uint8Array): number | string =>
  bytes.length === 4
    ? (((bytes[0] as number) << 24) |
        ((bytes[1] as number) << 16) |
        ((bytes[2] as number) << 8) |
        (bytes[3] as number)) >>>
      0
    : bytes.join(".");

const addressesOf = ({ addresses }: Endpoint): Uint8Array[] =>
  addresses.map((text) => bytesOfAddress(parseSubnet(text)));

const zoneOf = ({ name, subnets, endpoints }: NetworkRecord): Zone =>
  new Zone(
    name,
    subnets.map(({ subnet }) => parseSubnet(subnet)),
    Object.values(endpoints).map((endpoint) => ({
      names: [endpoint.name, ...endpoint.aliases],
      addresses: addressesOf(endpoint),
    })),
  );

/**
 * By the ids of networks. A container that is in several is told the names of all of them, by each of their gateways; who is
 * in internal ones only learns nothing else.
 * @param dns servers that a container was given; undefined: the machine's @param machine those
 */
export function askersOf(
  networks: readonly NetworkRecord[],
  dns: (container: string) => readonly string[] | undefined,
  machine: () => readonly Upstream[],
): Map<string, Askers> {
  const named = networks.filter(hasNames);
  const zones = new Map(named.map((network) => [network.id, zoneOf(network)]));
  const containers = new Set(named.flatMap(({ endpoints }) => Object.keys(endpoints)));
  const found = new Map<string, Askers>(named.map(({ id }) => [id, new Map()]));
  for (const container of containers) {
    const isIn = ({ endpoints }: NetworkRecord) => endpoints[container] !== undefined;
    const own = named.filter(isIn).toSorted((a, b) => (insideOf(a, container) < insideOf(b, container) ? -1 : 1));
    const isConfined = networks.filter(isIn).every(({ internal }) => internal);
    const asker = askerOf(
      own.map(({ id }) => zones.get(id) as Zone),
      isConfined ? [] : dns(container),
      machine,
    );
    for (const { id, endpoints } of own)
      for (const address of addressesOf(endpoints[container] as Endpoint))
        found.get(id)?.set(addressKey(address), asker);
  }
  return found;
}

const insideOf = ({ endpoints }: NetworkRecord, container: string): string => endpoints[container]?.inside ?? "";

function askerOf(zones: Zone[], dns: readonly string[] | undefined, machine: () => readonly Upstream[]): Asker {
  if (dns) return { zones, upstreams: dns.flatMap((text) => upstreamOf(text) ?? []) };
  return {
    zones,
    // they may change
    get upstreams() {
      return machine();
    },
  };
}
