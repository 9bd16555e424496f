/**
 * Networks as the kernel has them: a bridge with the gateway's addresses as long as a container is in it, a cable (veth) to
 * each of them, and their ports in the packet filter. Everything is told by the record, and may be done again: what is
 * there already stays.
 * @module
 */
import { show, systemError, TsboxError } from "../../syscalls/index.ts";
import { type Address, contains, findAddress, formatAddress, parseAddress, parseSubnet } from "../ip/index.ts";
import { inNetwork, Links, setting, type ReachedNetwork } from "../netlink/index.ts";
import {
  addNetwork,
  addPorts,
  ensureFirewall,
  hasFirewall,
  removeFirewall,
  removeNetwork,
  removePorts,
  type FilteredNetwork,
  type PublishedPort,
} from "./firewall.ts";
import type { Endpoint, NetworkRecord } from "./record.ts";

/** A network namespace of a container: a descriptor, or what reaches one that this process may not enter. */
export type Namespace = number | ReachedNetwork;

const descriptorOf = (namespace: Namespace): number =>
  typeof namespace === "number" ? namespace : namespace.descriptor;

const filtered = ({ device, subnets, internal, isolated }: NetworkRecord): FilteredNetwork => ({
  bridge: device,
  subnets: subnets.map(({ subnet }) => parseSubnet(subnet)),
  internal,
  isolated,
});

/** @throws TsboxError `permission_denied`, `limit_unavailable`, `unsupported` */
export function raiseNetwork(network: NetworkRecord): void {
  if (network.driver === "macvlan") return;
  using links = new Links();
  const action = `make the network ${show(network.name)}`;
  const found = links.find(network.device);
  if (found && found.kind !== "bridge")
    throw new TsboxError(`${action}: ${network.device} is a network device, and no bridge`, {
      code: "limit_unavailable",
    });
  // it is brought up last: then all of it stands. To tell the packet filter again takes the kernel 10 ms and more (measured)
  if (found?.up && hasFirewall()) return;
  if (!found) links.addBridge(network.device, network.mtu === undefined ? {} : { mtu: network.mtu });
  const index = links.indexOf(network.device);
  const families = network.subnets.map(({ subnet }) => parseSubnet(subnet).family);
  // nothing that is said in the network changes what this machine does
  setting(`ipv6/conf/${network.device}/accept_ra`, "0");
  versionSix(network.device, families.includes(6));
  const there = links.addresses(index).map((address) => formatAddress(address));
  for (const { subnet, gateway } of network.subnets) {
    if (there.includes(gateway)) continue;
    const { prefix } = parseSubnet(subnet);
    links.addAddress(index, { ...parseAddress(gateway), prefix }, `give ${network.device} the address ${gateway}`);
  }
  if (families.includes(4)) {
    mustSet("ipv4/ip_forward", "1", action);
    // published ports are reached by way of 127.0.0.1 as well
    setting(`ipv4/conf/${network.device}/route_localnet`, "1");
  }
  if (families.includes(6)) mustSet("ipv6/conf/all/forwarding", "1", action);
  ensureFirewall();
  addNetwork(filtered(network));
  links.change(index, { up: true }, `bring ${network.device} up`);
}

/** Nobody else has the addresses: to look for that takes a second, in which neighbours are not found (measured). */
function versionSix(device: string, isWanted: boolean): void {
  setting(`ipv6/conf/${device}/accept_dad`, "0");
  if (!isWanted) setting(`ipv6/conf/${device}/disable_ipv6`, "1");
}

/** @param action what is impossible without it */
function mustSet(name: string, value: string, action: string): void {
  const result = setting(name, value);
  if (result < 0) throw systemError(`${action}: set ${name}`, "write", -result, "limit_unavailable");
}

/** @param isLast no network has a container any more */
export function lowerNetwork(network: NetworkRecord, isLast: boolean): void {
  if (network.driver === "macvlan") return;
  using links = new Links();
  const found = links.find(network.device);
  if (found?.kind === "bridge") links.remove(found.index);
  removeNetwork(filtered(network));
  if (isLast) removeFirewall();
}

/**
 * Puts a container into a network that stands.
 * @param namespace its network namespace @param gateway whether what leads elsewhere goes this way
 * @throws TsboxError; then nothing of it is left
 */
export function plugIn(network: NetworkRecord, endpoint: Endpoint, namespace: Namespace, gateway: boolean): void {
  using links = new Links();
  const { device, inside, mac } = endpoint;
  const action = `put container ${show(endpoint.name)} into the network ${show(network.name)}`;
  try {
    if (network.driver === "macvlan") {
      links.addMacvlan(device, links.indexOf(network.device));
      const change = {
        name: inside,
        namespace: descriptorOf(namespace),
        mac,
        ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
      };
      links.change(links.indexOf(device), change, action);
    } else {
      const mtu = network.mtu === undefined ? {} : { mtu: network.mtu };
      links.addVeth(device, { name: inside, namespace: descriptorOf(namespace), mac, ...mtu });
      // the port of a bridge has no addresses
      versionSix(device, false);
      links.change(links.indexOf(device), { master: links.indexOf(network.device), up: true }, action);
      // a container reaches itself by a published port
      if (endpoint.ports.length > 0) links.reflect(links.indexOf(device), action);
    }
    inNetwork(namespace, () => configure(network, endpoint, gateway, action));
    if (network.driver === "bridge") addPorts(publishedPorts(endpoint));
  } catch (error) {
    const left = links.find(device);
    if (left) links.remove(left.index);
    removePorts(publishedPorts(endpoint));
    throw error;
  }
}

/** From now on, what leads elsewhere goes this way. */
export function routeThrough(network: NetworkRecord, endpoint: Endpoint, namespace: Namespace): void {
  inNetwork(namespace, () => {
    using own = new Links();
    setGateways(own, network, endpoint);
  });
}

function setGateways(own: Links, network: NetworkRecord, { inside, addresses }: Endpoint): void {
  if (network.internal) return;
  for (const { subnet, gateway } of network.subnets) {
    const { family } = parseSubnet(subnet);
    if (addresses.some((text) => contains(parseSubnet(subnet), parseSubnet(text))))
      own.addDefaultRoute(own.indexOf(inside), parseAddress(gateway), family);
  }
}

function configure(network: NetworkRecord, endpoint: Endpoint, isGateway: boolean, action: string): void {
  const { inside, addresses } = endpoint;
  using own = new Links();
  const index = own.indexOf(inside);
  versionSix(
    inside,
    addresses.some((text) => text.includes(":")),
  );
  for (const text of addresses) own.addAddress(index, parseSubnet(text), `${action}: give it ${text}`);
  own.change(index, { up: true }, action);
  if (isGateway) setGateways(own, network, endpoint);
}

/** What is left of a container in a network; its own end is gone with its namespace, or goes with this one. */
export function pullOut(endpoint: Endpoint): void {
  using links = new Links();
  removePorts(publishedPorts(endpoint));
  const found = links.find(endpoint.device);
  if (found) links.remove(found.index);
}

/** As the packet filter has them: one without an address of the host is one of each family that the container has. */
export function publishedPorts({ addresses, ports }: Endpoint): PublishedPort[] {
  const own = addresses.map(parseSubnet);
  return ports.flatMap(({ protocol, host, hostPort, containerPort }) => {
    const at = host === undefined ? undefined : findAddress(host);
    const all = at !== undefined && at.value === 0n;
    return own.flatMap((container): PublishedPort[] => {
      if (at && at.family !== container.family) return [];
      const specific: { host?: Address } = at && !all ? { host: at } : {};
      return [{ protocol, ...specific, hostPort, container, containerPort }];
    });
  });
}
