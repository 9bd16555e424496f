/** Which servers a machine asks. @module @see resolv.conf(5) */
import { bytesOfAddress, findAddress } from "../ip/index.ts";

export interface Upstream {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  port: number;
  /** Of an address that holds only at one device: `fe80::1%eth0`. */
  device?: string;
}

export const DNS_PORT = 53;
/** More are not asked. */
const MOST_SERVERS = 3;
/** Who says nothing asks itself. */
const ITSELF: Upstream = { address: Uint8Array.of(127, 0, 0, 1), port: DNS_PORT };

export function upstreamsIn(resolvConf: string): Upstream[] {
  const found = resolvConf.split("\n").flatMap((line) => {
    const [, server] = /^\s*nameserver\s+(\S+)/.exec(line) ?? [];
    const upstream = server === undefined ? undefined : upstreamOf(server);
    return upstream ? [upstream] : [];
  });
  return found.length > 0 ? found.slice(0, MOST_SERVERS) : [ITSELF];
}

/** Undefined for what is no address. */
export function upstreamOf(text: string): Upstream | undefined {
  const [, bare = "", device] = /^([^%]*)(?:%([^%/\s]{1,15}))?$/.exec(text) ?? [];
  const address = findAddress(bare);
  if (!address) return undefined;
  return { address: bytesOfAddress(address), port: DNS_PORT, ...(device === undefined ? {} : { device }) };
}
