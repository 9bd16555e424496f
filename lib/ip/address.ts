/** Addresses of IP, and networks of them. @module */
import { checkText } from "../options/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";

export interface Address {
  family: 4 | 6;
  value: bigint;
}

/** `172.18.0.1/16`: an address, and how many of its first bits are the network's. */
export interface Subnet extends Address {
  prefix: number;
}

export const bitsOf = (family: 4 | 6): number => (family === 4 ? 32 : 128);

/** Undefined for what is none. */
export function findAddress(text: string): Address | undefined {
  return text.includes(":") ? findV6(text) : findV4(text);
}

function findV4(text: string): Address | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return { family: 4, value: parts.reduce((value, part) => (value << 8n) | BigInt(part), 0n) };
}

function findV6(text: string): Address | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":").map(groupsOf).flat()));
  const all = [...(head ?? []), ...(tail ?? [])];
  const missing = 8 - all.length;
  if (all.includes(undefined) || (halves.length === 2 ? missing < 1 : missing !== 0)) return undefined;
  const groups = [...(head ?? []), ...Array.from({ length: missing }, () => 0), ...(tail ?? [])] as number[];
  return { family: 6, value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n) };
}

/** Of 16 bits; an address of version 4 at the end is two. */
function groupsOf(text: string, index: number, all: string[]): (number | undefined)[] {
  if (/^[0-9a-f]{1,4}$/i.test(text)) return [Number.parseInt(text, 16)];
  const v4 = index === all.length - 1 ? findV4(text) : undefined;
  return v4 ? [Number(v4.value >> 16n), Number(v4.value & 0xffffn)] : [undefined];
}

/** @throws TsboxError `invalid_option` */
export function parseAddress(text: string): Address {
  const found = findAddress(text);
  if (!found) throw new TsboxError(`use the address ${show(text)}: not an IP address`, { code: "invalid_option" });
  return found;
}

/** Bits behind the prefix may be set. @throws TsboxError `invalid_option` */
export function parseSubnet(text: string): Subnet {
  const [, address = "", digits = ""] = /^([^/]*)\/(\d{1,3})$/.exec(checkText("subnet", text)) ?? [];
  const found = findAddress(address);
  const prefix = Number(digits);
  if (!found || digits === "" || prefix > bitsOf(found.family)) {
    throw new TsboxError(`use the subnet ${show(text)}: not an address and the length of its prefix`, {
      code: "invalid_option",
      hint: '"172.28.0.0/16", "fd00:28::/64"',
    });
  }
  return { ...found, prefix };
}

/** As RFC 5952 writes those of version 6. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - 16 * index)) & 0xffffn));
  const words = groups.map((group) => group.toString(16));
  const { at, length } = longestZeros(groups);
  if (length < 2) return words.join(":");
  return `${words.slice(0, at).join(":")}::${words.slice(at + length).join(":")}`;
}

function longestZeros(groups: readonly number[]): { at: number; length: number } {
  let longest = { at: 0, length: 0 };
  for (let at = 0; at < groups.length; at++) {
    let end = at;
    while (groups[end] === 0) end++;
    if (end - at > longest.length) longest = { at, length: end - at };
    at = Math.max(at, end - 1);
  }
  return longest;
}

/** As it stands before a port: `"[::1]"`, `"127.0.0.1"`. @see RFC 3986, 3.2.2 */
export const bracketed = (address: string): string => (address.includes(":") ? `[${address}]` : address);

export const formatSubnet = (subnet: Subnet): string => `${formatAddress(subnet)}/${subnet.prefix}`;

const maskOf = ({ family, prefix }: Subnet): bigint => {
  const hosts = BigInt(bitsOf(family) - prefix);
  return (((1n << BigInt(bitsOf(family))) - 1n) >> hosts) << hosts;
};

/** The same without the bits behind the prefix. */
export const networkOf = (subnet: Subnet): Subnet => ({ ...subnet, value: subnet.value & maskOf(subnet) });

/** Its last address. */
export const lastOf = (subnet: Subnet): Address => ({
  family: subnet.family,
  value: networkOf(subnet).value + (1n << BigInt(bitsOf(subnet.family) - subnet.prefix)) - 1n,
});

export const contains = (subnet: Subnet, address: Address): boolean =>
  subnet.family === address.family && (address.value & maskOf(subnet)) === networkOf(subnet).value;

export const overlap = (a: Subnet, b: Subnet): boolean => contains(a, networkOf(b)) || contains(b, networkOf(a));

/** `"02:42:ac:11:00:02"`: of Ethernet, and neither a group's nor nobody's. */
export const isMac = (text: string): boolean =>
  /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text) && !/^.[13579bdf]|^(00:){5}00$/i.test(text);

/** In the order of the network. */
export function bytesOfAddress({ family, value }: Address): Uint8Array {
  const bytes = new Uint8Array(bitsOf(family) / 8);
  for (let index = bytes.length - 1, rest = value; index >= 0; index--, rest >>= 8n)
    bytes[index] = Number(rest & 0xffn);
  return bytes;
}

export const addressOfBytes = (bytes: Uint8Array): Address => ({
  family: bytes.length === 4 ? 4 : 6,
  value: bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n),
});
