/**
 * What connection tracking remembers of containers. An address that has ended and is given to another would bring along
 * where its packets went; and who has sent datagrams to a port before it was published would never reach the container.
 * A kernel that tells nobody of them forgets them by itself, after a time: what is said of that is `tsbox doctor`'s.
 * @module
 */
import { bytesOfAddress, parseSubnet } from "../ip/index.ts";
import { forgetConnections } from "../netlink/index.ts";
import type { PublishedPort } from "./firewall.ts";

const UDP = 17;

/** @param addresses with the lengths of their prefixes */
export function forgetAddresses(addresses: readonly string[]): void {
  const gone = new Set(addresses.map((text) => String(bytesOfAddress(parseSubnet(text)))));
  if (gone.size > 0) forgetConnections(({ addresses: known }) => known.some((bytes) => gone.has(String(bytes))));
}

/** Those that do not go to the container. TCP begins anew by itself. */
export function forgetPorts(ports: readonly PublishedPort[]): void {
  const published = new Map(
    ports.flatMap(({ protocol, hostPort, container }) =>
      protocol === "udp" ? [[hostPort, String(bytesOfAddress(container))] as const] : [],
    ),
  );
  if (published.size === 0) return;
  forgetConnections(({ protocol, destinationPort, addresses }) => {
    const container = protocol === UDP ? published.get(destinationPort) : undefined;
    return container !== undefined && !addresses.some((bytes) => String(bytes) === container);
  });
}

/** Whether they can be seen, and so forgotten. */
export function tellsConnections(): boolean {
  try {
    return forgetConnections(() => false) !== undefined;
  } catch {
    return false;
  }
}
