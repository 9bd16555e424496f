/** What a process sees of the network: interfaces, addresses, and who listens. @module @see proc_pid_net(5) */
import { readKernelFile } from "../../syscalls/index.ts";
export type { NetworkInterface } from "../network/index.ts";
import { interfacesIn, type NetworkInterface } from "../network/index.ts";

export interface NetworkEnds {
  interfaces: NetworkInterface[];
  addresses: string[];
  /** `"tcp 0.0.0.0:80"` */
  listening: string[];
}

export function networkEnds(pid: number): NetworkEnds {
  const read = (file: string) => readKernelFile(`/proc/${pid}/net/${file}`) ?? "";
  return {
    interfaces: interfacesIn(read("dev")),
    addresses: [...addressesIn(read("fib_trie")), ...addresses6In(read("if_inet6"))],
    listening: (["tcp", "tcp6", "udp", "udp6"] as const).flatMap((kind) => listeningIn(kind, read(kind))),
  };
}

/** Of /proc/net/fib_trie: addresses that are the machine's own. Pure. */
export function addressesIn(text: string): string[] {
  const found = new Set<string>();
  let last = "";
  for (const line of text.split("\n")) {
    const [, address] = /^\s*\|-- (\S+)/.exec(line) ?? [];
    if (address !== undefined) last = address;
    else if (/^\s*\/32 host LOCAL/.test(line)) found.add(last);
  }
  return [...found];
}

/** Of /proc/net/if_inet6. Pure. */
export function addresses6In(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [address = ""] = line.trim().split(/\s+/);
    return address.length === 32 ? [address6(address)] : [];
  });
}

/** `fe80::1` of 32 digits: the longest row of zeros is left out. */
function address6(digits: string): string {
  const groups = (digits.match(/.{4}/g) ?? []).map((group) => parseInt(group, 16).toString(16));
  let [start, length] = [-1, 1];
  for (let at = 0; at < groups.length; at++) {
    let end = at;
    while (groups[end] === "0") end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  if (start < 0) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}

/** TCP_LISTEN; of UDP, what is bound and not connected: TCP_CLOSE. */
const STATES = { tcp: "0A", tcp6: "0A", udp: "07", udp6: "07" };

/** Of /proc/net/tcp and its neighbours. Pure. */
export function listeningIn(kind: keyof typeof STATES, text: string): string[] {
  const found = new Set<string>();
  for (const line of text.split("\n")) {
    const [, address, port, , state] =
      /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+:[0-9A-F]{4}) ([0-9A-F]{2})/.exec(line) ?? [];
    if (address === undefined || port === undefined || state !== STATES[kind]) continue;
    const is6 = address.length === 32;
    // words of four bytes, in the machine's order: little-endian
    const words = (address.match(/.{8}/g) ?? []).map((word) => (word.match(/../g) ?? []).toReversed());
    const bytes = words.flat();
    const text4 = bytes.map((byte) => parseInt(byte, 16)).join(".");
    found.add(`${kind} ${is6 ? `[${address6(bytes.join("").toLowerCase())}]` : text4}:${parseInt(port, 16)}`);
  }
  return [...found];
}
