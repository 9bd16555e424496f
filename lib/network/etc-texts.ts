/** What is in /etc/hosts and /etc/resolv.conf of whoever is in networks. Pure. @module @see hosts(5), resolv.conf(5) */
import { formatAddress, parseSubnet } from "../ip/index.ts";
import type { Endpoint, NetworkRecord } from "./record.ts";

/** Of all address families, as Docker's. */
export const LOOPBACK_HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** Lines of what others are called in networks at a device of the host of one who is in them: nobody answers for names there. */
export const neighbourHosts = (networks: readonly NetworkRecord[], own: string): string =>
  networks
    .filter(({ driver }) => driver !== "bridge")
    .flatMap(({ endpoints }) => Object.values(endpoints))
    .filter(({ container }) => container !== own)
    .flatMap((endpoint) => {
      const names = [...new Set([endpoint.name, ...endpoint.aliases])].join(" ");
      return bareAddresses(endpoint).map((address) => `${address}\t${names}\n`);
    })
    .join("");

/** Where somebody is reached: without the lengths of prefixes. */
export const bareAddresses = ({ addresses }: Endpoint): string[] =>
  addresses.map((text) => formatAddress(parseSubnet(text)));

export interface Resolving {
  /** Whoever answers for names in its networks; he asks those of `dns` himself. */
  own?: string | undefined;
  dns?: readonly string[] | undefined;
  search?: readonly string[] | undefined;
  options?: readonly string[] | undefined;
  /** What listens at the machine's loopback interface is reached. */
  isOfMachine?: boolean;
}

/** What is said counts; else the machine's. @param machine its own file */
export function resolvConf(machine: string, { own, dns, search, options, isOfMachine = false }: Resolving): string {
  const of = (key: string) =>
    machine.split("\n").flatMap((line) => {
      const [word, ...values] = line.trim().split(/\s+/);
      return word === key ? values : [];
    });
  const isLocal = (address: string) => /^(127\.|::1$)/.test(address);
  const servers =
    own !== undefined ? [own] : (dns ?? of("nameserver").filter((address) => isOfMachine || !isLocal(address)));
  const searched = (search ?? of("search")).filter((word) => word !== ".");
  const asked = options ?? of("options");
  // a name without a dot is that of a neighbour, before it is one of the domains that are searched
  const told = own === undefined || asked.some((word) => word.startsWith("ndots")) ? asked : [...asked, "ndots:0"];
  return [
    ...servers.map((address) => `nameserver ${address}`),
    ...(searched.length > 0 ? [`search ${searched.join(" ")}`] : []),
    ...(told.length > 0 ? [`options ${told.join(" ")}`] : []),
    "",
  ].join("\n");
}
