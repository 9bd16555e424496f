/**
 * The way out of a namespace with bridges: what comes from them, and goes to none of their networks, is led to sockets
 * there. Its own packets, and the networks' to each other, go their way.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { parseSubnet, type Subnet } from "../ip/index.ts";
import { inNetwork, Links, type ReachedNetwork } from "../netlink/index.ts";
import { NETWORK_SOCKETS } from "../plan/index.ts";
import { LET_THROUGH, replaceFilter, type Ports } from "./filter.ts";
import { listen, makeSockets, socketsOf, type Place } from "./intercept.ts";
import type { WaySockets } from "./messages.ts";

const TABLE = "tsbox_out";
/** Behind the main table, which knows the networks and nothing else. */
const [ROUTES, PRIORITY] = [0x7462, 33_000];
const LOOPBACK_INDEX = 1;
/** Never passed on: loopback, and how neighbours of version 6 find each other. */
const NEAR = ["127.0.0.0/8", "::1/128", "fe80::/10", "ff02::/16"].map(parseSubnet);

export interface Bridged {
  sockets: WaySockets;
  /** Networks come and go. @param devices bridges that there is a way out of @param subnets of all bridges */
  update(devices: readonly string[], subnets: readonly Subnet[]): void;
}

/** @throws TsboxError `unsupported`, `permission_denied` */
export function interceptBridges(place: Place & ReachedNetwork, families: readonly (4 | 6)[]): Bridged {
  const names = NETWORK_SOCKETS.filter((name) => !["route", "netfilter"].includes(name));
  // where there is no IPv6, nothing leaves by it
  const given = makeSockets(place, names, families);
  let ports: Ports[];
  try {
    ports = families.map((family) => listen(given, family));
    inNetwork(place, () => {
      using links = new Links();
      for (const family of families) {
        links.addLocalRoute(LOOPBACK_INDEX, family, "lead what leaves the networks to a socket", { table: ROUTES });
        links.addMarkRule(family, LET_THROUGH, ROUTES, PRIORITY, "lead what leaves the networks to a socket");
      }
    });
  } catch (error) {
    for (const fd of Object.values(given)) if (fd >= 0) sys.close(fd);
    throw error;
  }
  const sockets: WaySockets = { 4: socketsOf(given, 4), ...(families.includes(6) && { 6: socketsOf(given, 6) }) };
  if (!families.includes(6)) for (const fd of Object.values(socketsOf(given, 6))) if (fd >= 0) sys.close(fd);
  const update = (devices: readonly string[], subnets: readonly Subnet[]) =>
    inNetwork(place, () => replaceFilter(TABLE, { ports, near: [...NEAR, ...subnets], devices }));
  update([], []);
  return { sockets, update };
}
