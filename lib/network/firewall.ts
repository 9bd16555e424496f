/**
 * What tsbox asks of the packet filter: one table of its own, which has these rules from the first network on, and goes
 * with the last. What differs from network to network, and from port to port, are elements of its sets and maps.
 *
 * ```
 * set bridges        devices of networks               set within     a device, and itself: what stays in a network
 * set guarded        only published ports are reached  set internal   nothing leads out
 * set apart          as within: neighbours do not reach each other by way of this machine
 * set subnets4, 6    whose addresses are not seen outside
 * set self4, 6       an address of a container, twice: what comes back to who sent it
 * map ports4, 6      address · protocol · port → address · port of a container
 * map any4, 6        protocol · port, of every address of this machine
 * ```
 * A packet that another table drops stays dropped: the firewall of the host has the last word.
 * @module
 * @see nft(8)
 */
import { type Address, bytesOfAddress, lastOf, networkOf, type Subnet } from "../ip/index.ts";
import {
  destinationNat,
  chainsOf,
  type Element,
  equal,
  established,
  type Expression,
  generation,
  hasTable,
  inSet,
  keysOf,
  mapped,
  masquerade,
  meta,
  nameKey,
  payload,
  TableBatch,
  toLocal,
  translated,
  verdict,
} from "../netlink/index.ts";

export const TABLE = "tsbox";
/** To remove it, while others change the packet filter. */
const TRIES = 10;
const [RAW, FILTER, DESTINATION_NAT, SOURCE_NAT] = [-300, 0, -100, 100];
const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 };
const NFPROTO = { 4: 2, 6: 10 };
const ADDRESS_BYTES = { 4: 4, 6: 16 };
/** Of source and destination, in the header. */
const SOURCE_AT = { 4: 12, 6: 8 };
const DESTINATION_AT = { 4: 16, 6: 24 };
const WORDS = { 4: 1, 6: 4 };
const FAMILIES = [4, 6] as const;

export type Protocol = keyof typeof PROTOCOLS;

export interface PublishedPort {
  protocol: Protocol;
  /** Of this machine; undefined: all. */
  host?: Address;
  hostPort: number;
  container: Address;
  containerPort: number;
}

/** What of a network the filter has to know. */
export interface FilteredNetwork {
  bridge: string;
  subnets: readonly Subnet[];
  /** Nothing leads out of it. */
  internal: boolean;
  /** Nothing goes between it and other networks. */
  isolated: boolean;
  /** Nothing goes between its containers. */
  apart: boolean;
}

/**
 * Makes the table where there is none, with what is in it; in the network namespace that the thread is in.
 * @returns whether there was none
 */
export function raiseFirewall(networks: readonly FilteredNetwork[], ports: readonly PublishedPort[]): boolean {
  const batch = new TableBatch(TABLE)
    .addTable()
    // is refused where the table was there: then all of it is there
    .addSet("bridges", { key: ["ifname"] })
    .addSet("within", { key: ["ifname", "ifname"] })
    .addSet("apart", { key: ["ifname", "ifname"] })
    .addSet("guarded", { key: ["ifname"] })
    .addSet("internal", { key: ["ifname"] });
  for (const family of FAMILIES) {
    const address = `ipv${family}_addr` as const;
    const data = [address, "inet_service"] as const;
    batch
      .addSet(`self${family}`, { key: [address, address] })
      .addSet(`subnets${family}`, { key: [address], interval: true })
      .addSet(`ports${family}`, { key: [address, "inet_proto", "inet_service"], data })
      .addSet(`any${family}`, { key: ["inet_proto", "inet_service"], data });
  }
  batch
    .addChain("guard", { type: "filter", hook: "prerouting", priority: RAW })
    .addChain("forward", { type: "filter", hook: "forward", priority: FILTER })
    .addChain("prerouting", { type: "nat", hook: "prerouting", priority: DESTINATION_NAT })
    .addChain("output", { type: "nat", hook: "output", priority: DESTINATION_NAT })
    .addChain("postrouting", { type: "nat", hook: "postrouting", priority: SOURCE_NAT })
    .addChain("ports")
    // published ports need route_localnet, by which a container would reach what listens at 127.0.0.1 (CVE-2020-8558)
    .addRule("guard", [meta("iifname"), inSet("bridges"), ...isLoopback(DESTINATION_AT), verdict("drop")])
    // and what listens at other addresses would be told that it comes from there
    .addRule("guard", [meta("iifname"), inSet("bridges"), ...isLoopback(SOURCE_AT), verdict("drop")])
    .addRule("forward", [...established(), verdict("accept")])
    .addRule("forward", [...isWithin("apart"), ...translated(), verdict("accept")])
    .addRule("forward", [...isWithin("apart"), verdict("drop")])
    .addRule("forward", [...isWithin(), verdict("accept")])
    // by published ports of other networks neither
    .addRule("forward", [meta("iifname"), inSet("internal"), verdict("drop")])
    .addRule("forward", [meta("oifname"), inSet("internal"), verdict("drop")])
    .addRule("forward", [...translated(), verdict("accept")])
    .addRule("forward", [meta("oifname"), inSet("guarded"), verdict("drop")])
    // who reaches its neighbour by a published port is not to answer past this machine; where filters of bridges are on
    // (bridge-nf-call-iptables), it never does
    .addRule("postrouting", [...translated(), ...isWithin(), masquerade()]);
  // from there nothing gets to a container: whoever tries it is refused, and goes on to 127.0.0.1
  batch.addRule("output", [
    ...isFamily(6),
    payload("network", DESTINATION_AT[6], ADDRESS_BYTES[6]),
    equal(bytesOfAddress({ family: 6, value: 1n })),
    verdict("accept"),
  ]);
  for (const chain of ["prerouting", "output"]) batch.addRule(chain, [...toLocal(), verdict("jump", "ports")]);
  for (const family of FAMILIES) {
    const of = isFamily(family);
    batch
      .addRule("ports", [
        ...of,
        addressAt(DESTINATION_AT, family),
        ...port(WORDS[family]),
        mapped(`ports${family}`),
        destinationNat(family),
      ])
      .addRule("ports", [...of, ...port(0), mapped(`any${family}`), destinationNat(family)])
      .addRule("postrouting", [
        ...translated(),
        ...of,
        addressAt(SOURCE_AT, family),
        payload("network", DESTINATION_AT[family], ADDRESS_BYTES[family], WORDS[family]),
        inSet(`self${family}`),
        masquerade(),
      ])
      .addRule("postrouting", [
        ...of,
        addressAt(SOURCE_AT, family),
        inSet(`subnets${family}`),
        meta("oifname"),
        inSet("bridges", true),
        masquerade(),
      ]);
  }
  // from this machine by way of 127.0.0.1, which leads nowhere from a container
  batch.addRule("postrouting", [...isLoopback(SOURCE_AT), meta("oifname"), inSet("bridges"), masquerade()]);
  for (const each of [...networks.flatMap(elementsOf), ...portElements(ports)]) batch.addElements(...each);
  return batch.commit("make the packet filter", "EEXIST");
}

export const hasFirewall = (): boolean => hasTable(TABLE);

/** Writes down something about the table, as long as it is there: a chain that nothing leads to. */
export const markFirewall = (name: string): void =>
  void new TableBatch(TABLE).addChain(name).commit("let the packet filter know what was changed", "EEXIST", "ENOENT");

export function addNetwork(network: FilteredNetwork): void {
  const batch = new TableBatch(TABLE);
  for (const [set, elements] of elementsOf(network)) batch.addElements(set, elements);
  batch.commit(`let the packet filter know the network of ${network.bridge}`, "EEXIST");
}

/**
 * Without a network and its ports; where no other is left, of this store or another, the table goes.
 * @returns what else it was marked with, once it is gone
 */
export function lowerFirewall(network: FilteredNetwork, ports: readonly PublishedPort[]): string[] {
  const own = String(nameKey(network.bridge));
  for (let tries = 0; tries < TRIES; tries++) {
    const seen = generation();
    if (keysOf(TABLE, "bridges").some((key) => String(key) !== own)) break;
    const marks = chainsOf(TABLE);
    // somebody else has changed the packet filter meanwhile, perhaps this table: once more
    if (new TableBatch(TABLE).deleteTable().onlyIn(seen).commit("remove the packet filter", "ENOENT", "ERESTART"))
      return marks;
    if (!hasFirewall()) return [];
  }
  removeElements("let the packet filter forget a network", [...portElements(ports), ...elementsOf(network)]);
  return [];
}

/** Those that are there: mostly all. */
function removeElements(action: string, all: readonly Elements[]): void {
  const batch = (each: readonly Elements[]) =>
    each.reduce((made, [set, elements]) => made.deleteElements(set, elements), new TableBatch(TABLE));
  if (all.length === 0 || batch(all).commit(action, "ENOENT")) return;
  for (const each of all) batch([each]).commit(action, "ENOENT");
}

function elementsOf({ bridge, subnets, internal, isolated, apart }: FilteredNetwork): Elements[] {
  const name = [{ key: nameKey(bridge) }];
  const twice = [{ key: Uint8Array.from([...nameKey(bridge), ...nameKey(bridge)]) }];
  const sets: Elements[] = [
    ["bridges", name],
    ["within", twice],
  ];
  if (apart) sets.push(["apart", twice]);
  if (isolated) sets.push(["guarded", name]);
  if (internal) sets.push(["internal", name]);
  else for (const subnet of subnets) sets.push([`subnets${subnet.family}`, rangeOf(subnet)]);
  return sets;
}

/** Its first address, and the first behind it. */
function rangeOf(subnet: Subnet): Element[] {
  const { family, value } = lastOf(subnet);
  const first = { key: bytesOfAddress(networkOf(subnet)) };
  const isLast = value + 1n === 1n << BigInt(ADDRESS_BYTES[family] * 8);
  return isLast ? [first] : [first, { key: bytesOfAddress({ family, value: value + 1n }), end: true }];
}

/** All of them, or none. @throws TsboxError `limit_unavailable` where one of them is published already */
export function addPorts(ports: readonly PublishedPort[]): void {
  if (ports.length === 0) return;
  const batch = new TableBatch(TABLE);
  for (const each of portElements(ports)) batch.addElements(...each);
  batch.commit("publish ports");
}

/** Those that are there. */
export const removePorts = (ports: readonly PublishedPort[]): void =>
  removeElements("withdraw ports", portElements(ports));

const portElements = (ports: readonly PublishedPort[]): Elements[] => [...selvesOf(ports), ...ports.map(elementOf)];

type Elements = [set: string, elements: Element[]];

/** Each container's address once. */
function selvesOf(ports: readonly PublishedPort[]): Elements[] {
  const all = new Map(ports.map(({ container }) => [`${container.family} ${container.value}`, container]));
  return [...all.values()].map((container) => {
    const bytes = bytesOfAddress(container);
    return [`self${container.family}`, [{ key: Uint8Array.from([...bytes, ...bytes]) }]];
  });
}

function elementOf({ protocol, host, hostPort, container, containerPort }: PublishedPort): Elements {
  const { family } = container;
  const wanted = [...word(PROTOCOLS[protocol]).reverse(), ...halves(hostPort)];
  const data = Uint8Array.from([...bytesOfAddress(container), ...halves(containerPort)]);
  if (!host) return [`any${family}`, [{ key: Uint8Array.from(wanted), data }]];
  return [`ports${family}`, [{ key: Uint8Array.from([...bytesOfAddress(host), ...wanted]), data }]];
}

const isFamily = (family: 4 | 6): Expression[] => [meta("nfproto"), equal(Uint8Array.of(NFPROTO[family]))];
/** Of version 4. */
const isLoopback = (at: Record<4 | 6, number>): Expression[] => [
  ...isFamily(4),
  payload("network", at[4], 1),
  equal(Uint8Array.of(127)),
];
const isWithin = (set = "within"): Expression[] => [meta("iifname"), meta("oifname", 4), inSet(set)];
const addressAt = (at: Record<4 | 6, number>, family: 4 | 6): Expression =>
  payload("network", at[family], ADDRESS_BYTES[family]);
/** Protocol and destination port, into two words; of what has no ports it is none that a map has. */
const port = (at: number): Expression[] => [meta("l4proto", at), payload("transport", 2, 2, at + 1)];

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
/** A port, filled up to four bytes. */
const halves = (value: number): number[] => [value >> 8, value & 0xff, 0, 0];
