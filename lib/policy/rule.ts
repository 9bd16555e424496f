/** A line of an allow or deny list. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { bitsOf, contains, findAddress, networkOf, type Address, type Subnet } from "../ip/index.ts";
import { findName, isBelow } from "./name.ts";

/** Data: it is sent to another thread. */
export interface Rule {
  /** As it was written. */
  text: string;
  to: { any: true } | { name: string } | { below: string } | { subnet: Subnet };
  ports?: { first: number; last: number };
  protocol?: "tcp" | "udp";
}

export interface Target {
  protocol: "tcp" | "udp";
  port: number;
}

const FORMS = '"example.com", "*.example.com:443", "10.0.0.0/8", "[2001:db8::1]:53/udp"';
const MAX_PORT = 65535;

/** @throws TsboxError `invalid_option` */
export function parseRule(list: string, text: unknown): Rule {
  const refuse = (why: string) =>
    new TsboxError(`use the rule ${show(text)} of ${list}: ${why}`, { code: "invalid_option", hint: FORMS });
  if (typeof text !== "string") throw refuse("not a string");
  const [, destination = "", protocol] = /^([^]*?)(?:\/(tcp|udp))?$/.exec(text) ?? [];
  const { host, ports } = splitPorts(destination);
  const to = targetOf(host);
  if (!to) throw refuse("neither a name nor an address");
  const range = ports === undefined ? undefined : portsOf(ports);
  if (ports !== undefined && !range) throw refuse(`${show(ports)} is not a port, nor a range of ports`);
  return {
    text,
    to,
    ...(range ? { ports: range } : {}),
    ...(protocol === undefined ? {} : { protocol: protocol as "tcp" | "udp" }),
  };
}

/** Colons of IPv6 are no port: that is behind brackets there. */
function splitPorts(text: string): { host: string; ports?: string } {
  const [, inside, behind] = /^\[([^\]]*)\](?::([^:]*))?$/.exec(text) ?? [];
  if (inside !== undefined) return behind === undefined ? { host: inside } : { host: inside, ports: behind };
  const colon = text.indexOf(":");
  if (colon < 0 || colon !== text.lastIndexOf(":")) return { host: text };
  return { host: text.slice(0, colon), ports: text.slice(colon + 1) };
}

function portsOf(text: string): Rule["ports"] {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  return first !== undefined && range.first > 0 && range.first <= range.last && range.last <= MAX_PORT
    ? range
    : undefined;
}

function targetOf(host: string): Rule["to"] | undefined {
  if (host === "*") return { any: true };
  const subnet = subnetOf(host);
  if (subnet) return { subnet };
  const below = host.startsWith("*.");
  const name = findName(below ? host.slice(2) : host);
  if (name === undefined) return undefined;
  return below ? { below: name } : { name };
}

function subnetOf(text: string): Subnet | undefined {
  const [, address = "", digits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const found = findAddress(address);
  if (!found) return undefined;
  const prefix = digits === undefined ? bitsOf(found.family) : Number(digits);
  if (prefix > bitsOf(found.family)) return undefined;
  return networkOf(plainSubnet({ ...found, prefix }));
}

const MAPPED_BITS = 96;

/** `::ffff:10.0.0.0/104` is `10.0.0.0/8`: the kernel makes no difference. */
function plainSubnet(subnet: Subnet): Subnet {
  const v4 = subnet.prefix >= MAPPED_BITS ? plainAddress(subnet) : subnet;
  return v4.family === subnet.family ? subnet : { ...v4, prefix: subnet.prefix - MAPPED_BITS };
}

/** An address of IPv4 in the clothes of IPv6, as what it is. */
export function plainAddress(address: Address): Address {
  if (address.family === 4 || address.value >> 32n !== 0xffffn) return address;
  return { family: 4, value: address.value & 0xffffffffn };
}

export function matchesTarget({ ports, protocol }: Rule, target: Target): boolean {
  if (protocol !== undefined && protocol !== target.protocol) return false;
  return ports === undefined || (target.port >= ports.first && target.port <= ports.last);
}

export function matchesName({ to }: Rule, name: string): boolean {
  if ("any" in to) return true;
  if ("name" in to) return to.name === name;
  return "below" in to && isBelow(name, to.below);
}

export const matchesAddress = ({ to }: Rule, address: Address): boolean =>
  "any" in to || ("subnet" in to && contains(to.subnet, address));
