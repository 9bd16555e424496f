/** Which networks a container asks for. @module */
import type { ContainerNetwork, ContainerOptions } from "./options.ts";

/** Those that have names; none where it has a network of its own alone, or that of others. */
export function networksOf({ network, networks }: Pick<ContainerOptions, "network" | "networks">): ContainerNetwork[] {
  if (networks) return networks;
  if (typeof network !== "string" || network === "none" || network === "host") return [];
  return network.startsWith("container:") || network.startsWith("ns:") ? [] : [{ name: network }];
}
