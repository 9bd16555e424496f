/** Which networks a container asks for. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { DEFAULT_NETWORK, type NetworkRecord } from "../network/index.ts";
import type { Home } from "./home.ts";
import type { ContainerNetwork, ContainerOptions, ContainerPolicy } from "./options.ts";

const ALIAS = /^[a-z0-9_][a-z0-9_.-]{0,252}$/i;

type Networked = Pick<ContainerOptions, "network" | "networks" | "ports" | "publishAll">;

/** It is to be reached from outside. */
export const publishes = ({ ports = [], publishAll = false }: Networked): boolean => ports.length > 0 || publishAll;

/**
 * Those that have names; none where it has a network of its own alone, or that of others. What publishes ports and says
 * nothing of networks is in the one that is there without being made.
 */
export function networksOf(options: Networked): ContainerNetwork[] {
  const { network, networks } = options;
  if (networks) return networks;
  if (network === undefined && publishes(options)) return [{ name: DEFAULT_NETWORK }];
  if (typeof network !== "string" || network === "none" || network === "host") return [];
  return network.startsWith("container:") || network.startsWith("ns:") ? [] : [{ name: network }];
}

/** The same, with the names of networks that are called by their ids: by those they are told, and found again. */
export function withNetworkNames<T extends Networked>(home: Home, options: T): T {
  const { network, networks } = options;
  if (networks) return { ...options, networks: networks.map((each) => ({ ...each, name: nameOf(home, each.name) })) };
  const isNamed = typeof network === "string" && networksOf(options).length > 0;
  return isNamed ? { ...options, network: nameOf(home, network) } : options;
}

/** What is not there may be by the time that it starts. */
function nameOf({ state: { networks } }: Home, asked: string): string {
  if (asked === "default") return DEFAULT_NETWORK;
  if (networks.byName(asked) || !/^[0-9a-f]+$/.test(asked)) return asked;
  const [found, another] = networks.byPrefix<NetworkRecord>(asked);
  return found && !another ? found.name : asked;
}

/** What it may connect to, where that is not what a network leads to. */
export const networkPolicyOf = ({ network }: Pick<ContainerOptions, "network">): ContainerPolicy | undefined =>
  typeof network === "object" ? network : undefined;

/** Something is made of the kernel's when it starts, and given back when it has ended. */
export const isNetworked = (options: Networked): boolean =>
  networksOf(options).length > 0 || networkPolicyOf(options) !== undefined;

/** Names, and of a network that has some: the default one has none. @throws TsboxError `invalid_option`, Docker's words */
export function checkAliases({ name, aliases = [] }: ContainerNetwork): void {
  const wrong = aliases.find((alias) => !ALIAS.test(alias));
  if (wrong !== undefined)
    throw new TsboxError(`use the alias ${show(wrong)}: nobody can ask for it`, {
      code: "invalid_option",
      hint: "letters, digits, _ . and -",
    });
  if (aliases.length === 0 || (name !== DEFAULT_NETWORK && name !== "default")) return;
  throw new TsboxError("network-scoped alias is supported only for containers in user defined networks", {
    code: "invalid_option",
    hint: "tsbox network create NAME",
  });
}
