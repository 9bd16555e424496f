/**
 * Networks as the kernel has them: a bridge with the gateway's addresses as long as a container is in it, a cable (veth) to
 * each of them, and their ports in the packet filter. Everything is told by the record, and may be done again: what is
 * there already stays.
 * @module
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import {
  type Address,
  contains,
  findAddress,
  formatAddress,
  networkOf,
  overlap,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "../ip/index.ts";
import {
  generation,
  inNetwork,
  isReached,
  Links,
  setting,
  withoutFilter,
  type Link,
  type ReachedNetwork,
} from "../netlink/index.ts";
import { setBandwidth, throughDevice } from "./bandwidth.ts";
import { forgetPorts } from "./connections.ts";
import {
  addNetwork,
  addPorts,
  hasFirewall,
  lowerFirewall,
  raiseFirewall,
  removePorts,
  type FilteredNetwork,
  type PublishedPort,
} from "./firewall.ts";
import { allowForwarding, forbidForwarding } from "./forwarding.ts";
import { macFor } from "./leases.ts";
import { closeNamePorts } from "./name-sockets.ts";
import type { Endpoint, NetworkRecord } from "./record.ts";

/** A network namespace of a container: a descriptor, or what reaches one that this process may not enter. */
export type Namespace = number | ReachedNetwork;

const descriptorOf = (namespace: Namespace): number =>
  typeof namespace === "number" ? namespace : namespace.descriptor;

const filtered = ({ device, subnets, internal, isolated, apart }: NetworkRecord): FilteredNetwork => ({
  bridge: device,
  // there, whoever carries what leaves them has to know whom it is from
  subnets: isReached() ? [] : subnets.map(({ subnet }) => parseSubnet(subnet)),
  internal,
  isolated,
  apart: apart === true,
});

export { forgetAddresses } from "./connections.ts";
export { openNameSockets } from "./name-sockets.ts";

/** What its bridge is told apart by from one of this name that somebody else has made. */
const macOf = ({ id, subnets }: NetworkRecord): string =>
  macFor(`${subnets[0]?.gateway}/`, Uint8Array.fromHex(id.slice(0, 8)));

const findBridge = (links: Links, network: NetworkRecord): Link | undefined => {
  const found = links.find(network.device);
  return found?.kind === "bridge" && found.mac === macOf(network) ? found : undefined;
};

/** Whether it stands. */
export function stands(network: NetworkRecord): boolean {
  using links = new Links();
  return findBridge(links, network)?.up === true;
}

/** Whether somebody else has a device of its bridge's name: it is left alone. */
export function isTaken(network: NetworkRecord): boolean {
  using links = new Links();
  return network.driver === "bridge" && !findBridge(links, network) && links.find(network.device) !== undefined;
}

/**
 * @param all networks of the store: where somebody has emptied the packet filter, it is told again of those that stand
 * @param joining a container that is about to be plugged in
 * @returns whether it did not stand
 * @throws TsboxError `permission_denied`, `limit_unavailable`, `unsupported`
 */
export function raiseNetwork(network: NetworkRecord, all: readonly NetworkRecord[], joining: string): boolean {
  if (network.driver !== "bridge") return false;
  using links = new Links();
  const action = `make the network ${show(network.name)}`;
  const found = findBridge(links, network);
  if (!found && links.find(network.device))
    throw new TsboxError(`${action}: ${network.device} is a network device of somebody else's`, {
      code: "limit_unavailable",
      hint: "-o bridge_name=NAME, or none: it makes the bridge, and removes it",
    });
  // it is brought up last: then all of it stands. To tell the packet filter again takes the kernel 10 ms and more (measured)
  const isFiltered = hasFirewall();
  if (found?.up && isFiltered) return false;
  // before anything is made
  if (!isFiltered && generation() === 0) throw withoutFilter();
  if (!found) checkOtherBridges(links, network, action);
  if (!found)
    links.addBridge(network.device, {
      mac: macOf(network),
      ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
    });
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
  // published ports are reached by way of 127.0.0.1 as well
  if (families.includes(4)) setting(`ipv4/conf/${network.device}/route_localnet`, "1");
  if (isFiltered || !raiseFirewall(...standing(links, network, all, joining))) addNetwork(filtered(network));
  allowForwarding(families, action);
  links.change(index, { up: true }, `bring ${network.device} up`);
  return !found?.up;
}

/** Docker's, or that of another store: of two with the same addresses, one would not be reached. */
function checkOtherBridges(links: Links, { subnets, name }: NetworkRecord, action: string): void {
  const own = subnets.map(({ subnet }) => parseSubnet(subnet));
  const isOwn = (address: Subnet) => own.some((subnet) => overlap(subnet, networkOf(address)));
  const other = links.list().find(({ kind, index }) => kind === "bridge" && links.addresses(index).some(isOwn));
  if (!other) return;
  const texts = subnets.map(({ subnet }) => subnet).join(" and ");
  throw new TsboxError(`${action}: the bridge ${other.name} has addresses of ${texts}`, {
    code: "limit_unavailable",
    hint: `tsbox network rm ${name}, and create it again: it gets another subnet`,
  });
}

/** What the packet filter has to know of a network, and of those that stand already. */
function standing(
  links: Links,
  network: NetworkRecord,
  all: readonly NetworkRecord[],
  joining: string,
): [FilteredNetwork[], PublishedPort[]] {
  const others = all.filter(
    ({ driver, endpoints }) => driver === "bridge" && Object.keys(endpoints).some((container) => container !== joining),
  );
  const networks = [network, ...others.filter(({ id }) => id !== network.id)];
  const endpoints = others
    .flatMap((each) => Object.values(each.endpoints))
    // what is about to be plugged in itself publishes its ports then
    .filter(({ container, device }) => container !== joining && links.find(device) !== undefined);
  return [networks.map(filtered), endpoints.flatMap(publishedPorts)];
}

/** Nobody else has the addresses: to look for that takes a second, in which neighbours are not found (measured). */
function versionSix(device: string, isWanted: boolean): void {
  setting(`ipv6/conf/${device}/accept_dad`, "0");
  if (!isWanted) setting(`ipv6/conf/${device}/disable_ipv6`, "1");
}

/** All of it, with the containers that are in it. */
export function lowerNetwork(network: NetworkRecord): void {
  const endpoints = Object.values(network.endpoints);
  using links = new Links();
  const devices = network.driver === "bridge" && findBridge(links, network) ? [network.device] : [];
  removeDevices(links, [...devices, ...endpoints.flatMap(devicesOf)]);
  if (network.driver !== "bridge") return;
  if (network.namesElsewhere) closeNamePorts(network);
  forbidForwarding(links, lowerFirewall(filtered(network), endpoints.flatMap(publishedPorts)));
}

/** On the host. */
const devicesOf = ({ device }: Endpoint): string[] => [device, throughDevice(device)];

/** Those of them that are there; together, as the kernel waits for each that goes. */
function removeDevices(links: Links, names: readonly string[]): void {
  const kinds = ["bridge", "veth", "macvlan", "ipvlan", "ifb"];
  const found = names.flatMap((name) => links.find(name) ?? []).filter(({ kind = "" }) => kinds.includes(kind));
  links.removeAll(found.map(({ index }) => index));
}

/**
 * Puts a container into a network that stands.
 * @param namespace its network namespace @param gateway whether what leads elsewhere goes this way
 * @throws TsboxError; then nothing of it is left
 */
export function plugIn(network: NetworkRecord, endpoint: Endpoint, namespace: Namespace, gateway: boolean): void {
  using links = new Links();
  const { device, inside, mac } = endpoint;
  const ports = publishedPorts(endpoint);
  const action = `put container ${show(endpoint.name)} into the network ${show(network.name)}`;
  try {
    if (network.driver !== "bridge") {
      const parent = links.indexOf(network.device);
      if (network.driver === "macvlan") links.addMacvlan(device, parent);
      else links.addIpvlan(device, parent, network.ipvlan);
      const change = {
        name: inside,
        namespace: descriptorOf(namespace),
        ...(mac === "" ? {} : { mac }),
        ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
      };
      links.change(links.indexOf(device), change, action);
    } else {
      const mtu = network.mtu === undefined ? {} : { mtu: network.mtu };
      const peer = { name: inside, namespace: descriptorOf(namespace), mac, ...mtu };
      const bridge = links.indexOf(network.device);
      links.addVeth(device, peer, bridge);
      const port = links.indexOf(device);
      // the port of a bridge has no addresses
      versionSix(device, false);
      if (endpoint.bandwidth) setBandwidth(links, device, endpoint.bandwidth);
      // a container reaches itself by a published port
      links.bindPort(port, mac, ports.length > 0, action);
      if (network.apart) links.isolatePort(port, action);
      for (const address of endpoint.addresses) links.setNeighbour(bridge, parseSubnet(address), mac, action);
      links.bringUp(device, action);
    }
    inNetwork(namespace, () => configure(network, endpoint, gateway, action));
    if (network.driver !== "bridge") return;
    addPorts(ports);
    forgetPorts(ports);
  } catch (error) {
    removeDevices(links, devicesOf(endpoint));
    throw error;
  }
}

/** Its ports lead to it here from now on. */
export function publishAt(endpoint: Endpoint): void {
  using links = new Links();
  const ports = publishedPorts(endpoint);
  const action = `publish ports of container ${show(endpoint.name)}`;
  links.bindPort(links.indexOf(endpoint.device), endpoint.mac, ports.length > 0, action);
  addPorts(ports);
  forgetPorts(ports);
}

/** From now on, that fast. */
export function paceEndpoint({ device, bandwidth }: Endpoint): void {
  using links = new Links();
  setBandwidth(links, device, bandwidth ?? {});
}

/** From now on, what leads elsewhere goes this way. */
export function routeThrough(network: NetworkRecord, endpoint: Endpoint, namespace: Namespace): void {
  inNetwork(namespace, () => {
    using own = new Links();
    setGateways(own, network, endpoint, own.indexOf(endpoint.inside));
  });
}

/** Where the machine routes for its containers (ipvlan, layer 3) they have no neighbours, and so no gateway. */
function setGateways(own: Links, network: NetworkRecord, { addresses }: Endpoint, index: number): void {
  if (network.internal) return;
  const hasNeighbours = !network.ipvlan?.mode.startsWith("l3");
  for (const { subnet, gateway } of network.subnets) {
    const { family } = parseSubnet(subnet);
    if (addresses.some((text) => contains(parseSubnet(subnet), parseSubnet(text))))
      own.addDefaultRoute(index, hasNeighbours ? parseAddress(gateway) : undefined, family);
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
  // in a bridge there is no router but this machine, which does not say so
  if (network.driver === "bridge") setting(`ipv6/conf/${inside}/accept_ra`, "0");
  for (const text of addresses) own.addAddress(index, parseSubnet(text), `${action}: give it ${text}`);
  own.change(index, { up: true }, action);
  if (isGateway) setGateways(own, network, endpoint, index);
}

/** What is left of containers in a network; their own ends are gone with their namespaces, or go with these. */
export function pullOut(network: NetworkRecord, endpoints: readonly Endpoint[]): void {
  using links = new Links();
  const bridge = network.driver === "bridge" ? findBridge(links, network) : undefined;
  if (bridge)
    for (const address of endpoints.flatMap(({ addresses }) => addresses))
      links.removeNeighbour(bridge.index, parseSubnet(address));
  removePorts(endpoints.flatMap(publishedPorts));
  removeDevices(links, endpoints.flatMap(devicesOf));
}

/** A container's own end, where that goes on: what has no other end has to be removed there. */
export function unplug({ inside }: Endpoint, namespace: Namespace): void {
  inNetwork(namespace, () => {
    using own = new Links();
    removeDevices(own, [inside]);
  });
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
