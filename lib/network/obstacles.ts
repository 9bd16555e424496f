/**
 * What the machine's own firewall keeps from a network. It has the last word, and is left alone: so whoever it belongs to is
 * told what would help.
 *
 * A firewall counts as one that knows the network where a rule of its table names the bridge, or a subnet.
 * @module
 */
import { bytesOfAddress, networkOf, parseSubnet } from "../ip/index.ts";
import { isInRules, isReached, otherChains, type OtherChain } from "../netlink/index.ts";
import { hasNames } from "./default-network.ts";
import { TABLE } from "./firewall.ts";
import type { NetworkRecord } from "./record.ts";

export interface Obstacle {
  /** `"ufw drops what comes from and to tsbox0"` */
  found: string;
  /** Commands, for the shell. */
  hint: string;
}

type Concerned = Pick<NetworkRecord, "name" | "driver" | "device" | "subnets" | "internal">;

const KINDS = {
  firewalld: (device: string) => [
    `firewall-cmd --zone=trusted --add-interface=${device}`,
    `firewall-cmd --permanent --zone=trusted --add-interface=${device}`,
  ],
  ufw: (device: string) => [
    `ufw route allow in on ${device}`,
    `ufw route allow out on ${device}`,
    `ufw allow in on ${device} to any port 53`,
  ],
  Docker: (device: string) => [
    `iptables -I DOCKER-USER -i ${device} -j ACCEPT`,
    `iptables -I DOCKER-USER -o ${device} -j ACCEPT`,
  ],
  "a firewall": (device: string) => [`accept what comes in at ${device}, and what goes out there`],
};

/** Undefined where there is none, or where the packet filter may not be seen. */
export function obstacleOf(network: Concerned): Obstacle | undefined {
  const { driver, device, internal, subnets } = network;
  // nobody else's rules are in a user's own namespace
  if (driver !== "bridge" || isReached()) return undefined;
  const hooks = [...(internal ? [] : ["forward"]), ...(hasNames(network) ? ["input"] : [])];
  const all = otherChains(TABLE);
  const inWay = all.filter((chain) => chain.hook && hooks.includes(chain.hook) && (chain.drops || isFirewalld(chain)));
  const known = [
    new TextEncoder().encode(`${device}\0`),
    ...subnets.map(({ subnet }) => bytesOfAddress(networkOf(parseSubnet(subnet)))),
  ];
  const found = inWay.find((chain) => !isInRules(chain, known));
  if (!found) return undefined;
  const kind = kindOf(found, all);
  return {
    found: `${kind} (the table ${found.table}) drops what comes from ${device}${internal ? "" : " and goes to it"}`,
    hint: KINDS[kind](device).join(" && "),
  };
}

/** Its chains accept by their policy, and refuse with their last rule. */
const isFirewalld = ({ table, name }: OtherChain): boolean => table === "firewalld" && name.startsWith("filter_");

function kindOf(found: OtherChain, all: readonly OtherChain[]): keyof typeof KINDS {
  const beside = all.filter(({ table, family }) => table === found.table && family === found.family);
  const has = (pattern: RegExp) => beside.some(({ name }) => pattern.test(name));
  if (isFirewalld(found)) return "firewalld";
  return has(/^ufw6?-/) ? "ufw" : has(/^DOCKER-USER$/) ? "Docker" : "a firewall";
}
