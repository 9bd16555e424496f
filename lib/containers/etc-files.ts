/**
 * Files of a container that are not its image's: /etc/hosts, /etc/hostname and /etc/resolv.conf. They are in its
 * directory, written anew whenever it starts, and it may write them, as in Docker.
 * @module
 * @see hosts(5), resolv.conf(5)
 */
import { readKernelFile, TsboxError } from "../../syscalls/index.ts";
import { hasNames, resolvConf, type NetworkRecord } from "../network/index.ts";
import { RESOLVER_ADDRESS } from "../policy/index.ts";
import type { MountOption } from "../sandbox/index.ts";
import { find } from "./find.ts";
import type { Home } from "./home.ts";
import { checkShared, otherOf } from "./network.ts";
import { checkHosts, hostsOf, writeHosts } from "./hosts-file.ts";
import type { ContainerOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";

const NAMES = ["hosts", "hostname", "resolv.conf"] as const;
type Name = (typeof NAMES)[number];

/** Writes them. With the host's mount namespace, all files are the host's. */
export function filesFor(home: Home, record: ContainerRecord): MountOption[] {
  const { options } = record;
  if (options.namespaces?.mount !== undefined && options.namespaces.mount !== "private") return [];
  const other = otherOf(options.network);
  const owner = other === undefined ? record : find(home, other);
  if (other === undefined) writeFiles(home, record);
  return NAMES.map((name) => ({ type: "bind", source: `${home.path(owner.id)}/${name}`, target: `/etc/${name}` }));
}

function writeFiles(home: Home, record: ContainerRecord): void {
  using directory = home.directory(record.id);
  if (!directory) return;
  const contents: Record<Name, string> = {
    hosts: hostsOf(home, record),
    hostname: `${record.hostname}\n`,
    "resolv.conf": resolvConfOf(home, record),
  };
  for (const name of NAMES) directory.replace(name, new TextEncoder().encode(contents[name]), 0o644);
}

/** In other networks than before, its own names and whom it asks have changed. */
export function rewriteFiles(home: Home, record: ContainerRecord): void {
  writeHosts(home, record.id);
  using directory = home.directory(record.id);
  if (directory?.status("resolv.conf"))
    directory.rewrite("resolv.conf", new TextEncoder().encode(resolvConfOf(home, record)));
}

/** Who answers for the names of its networks: the gateway of the first of them; whom it was told to ask is asked there. */
function ownServer(home: Home, id: string): string | undefined {
  const networks = home.state.networks
    .list<NetworkRecord>()
    .filter((network) => hasNames(network) && network.endpoints[id] !== undefined)
    .toSorted((a, b) => ((a.endpoints[id]?.inside ?? "") < (b.endpoints[id]?.inside ?? "") ? -1 : 1));
  return networks[0]?.subnets[0]?.gateway;
}

/** What is said counts; else the host's. */
function resolvConfOf(home: Home, { id, options: { dns, dnsSearch, dnsOptions, network } }: ContainerRecord): string {
  const machine = readKernelFile("/etc/resolv.conf") ?? "";
  const isOfMachine = network === "host";
  const isSaid = (dns ?? dnsSearch ?? dnsOptions) !== undefined;
  if (!isSaid && isOfMachine) return machine;
  // with a policy, whatever server is asked there, tsbox answers
  const servers = typeof network === "object" ? [RESOLVER_ADDRESS] : dns;
  const own = ownServer(home, id);
  return resolvConf(machine, { own, dns: servers, search: dnsSearch, options: dnsOptions, isOfMachine });
}

/** What is to be in them. @throws TsboxError `invalid_option`, in Docker's words */
export function checkEtcFiles(options: ContainerOptions): void {
  checkShared(options);
  checkHosts(options);
  const wrong = options.dns?.find((address) => process.getBuiltinModule("node:net").isIP(address) === 0);
  if (wrong !== undefined) throw new TsboxError(`${wrong} is not an ip address`, { code: "invalid_option" });
  for (const word of [...(options.dnsSearch ?? []), ...(options.dnsOptions ?? [])])
    if (/\s/.test(word)) throw new TsboxError(`${word} is not a valid domain`, { code: "invalid_option" });
}
