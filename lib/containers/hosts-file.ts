/**
 * /etc/hosts of a container: its own names, and those that were asked for. Neighbours in networks are told by a server for
 * names; only those at a device of the host (macvlan, ipvlan), which cannot reach one here, are in the file, and it is written anew
 * when one comes or goes.
 * @module
 * @see hosts(5)
 */
import { readKernelFile, TsboxError } from "../../syscalls/index.ts";
import { bareAddresses, LOOPBACK_HOSTS, neighbourHosts, type Endpoint, type NetworkRecord } from "../network/index.ts";
import type { Home } from "./home.ts";
import { networksOf } from "./network-options.ts";
import type { ContainerOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";

const HOST_GATEWAY = "host-gateway";

/** @internal with the names of its neighbours, where it is in networks */
export function hostsOf(home: Home, { id, hostname, options }: ContainerRecord): string {
  const isHost = options.network === "host";
  const begin = isHost ? (readKernelFile("/etc/hosts") ?? LOOPBACK_HOSTS) : LOOPBACK_HOSTS;
  const addresses = ownAddresses(home, id);
  const names = ownNames(hostname, options.domainname);
  const own =
    isHost || hostname === ""
      ? []
      : (addresses.length > 0 ? addresses : ["127.0.1.1"]).map((address) => `${address}\t${names}\n`);
  const added = (options.addHosts ?? []).map((words) => {
    const { name, address } = parseHost(words);
    return `${address === HOST_GATEWAY ? gatewayOf(home, id, options) : address}\t${name}\n`;
  });
  return `${begin.replace(/\n?$/, "\n")}${own.join("")}${added.join("")}${neighbourHosts(networksWith(home, id), id)}`;
}

/** The whole name first, then what is before its first dot, as in Docker. */
function ownNames(hostname: string, domainname: string | undefined): string {
  const whole = domainname === undefined ? hostname : `${hostname}.${domainname}`;
  const [bare = ""] = whole.split(".");
  return bare === whole || bare === "" ? whole : `${whole} ${bare}`;
}

const networksWith = (home: Home, id: string): NetworkRecord[] =>
  home.state.networks.list<NetworkRecord>().filter(({ endpoints }) => endpoints[id]);

const ownAddresses = (home: Home, id: string): string[] =>
  networksWith(home, id).flatMap(({ endpoints }) => bareAddresses(endpoints[id] as Endpoint));

/** On the host's network, its loopback interface is the container's as well; in others it is the gateway. */
function gatewayOf(home: Home, id: string, options: ContainerOptions): string {
  if (options.network === "host") return "127.0.0.1";
  const gateway = networksWith(home, id)[0]?.subnets[0]?.gateway;
  if (gateway !== undefined) return gateway;
  checkGateway(options);
  return "127.0.0.1";
}

function checkGateway(options: ContainerOptions): void {
  if (options.network === "host" || networksOf(options).length > 0) return;
  throw new TsboxError('add the host "host-gateway": this network does not lead to the host', {
    code: "invalid_option",
    hint: "--network host, where it is 127.0.0.1",
  });
}

/** `"db:10.0.0.2"`, `"db=10.0.0.2"`, `"db:[::1]"`. @throws TsboxError `invalid_option`, in Docker's words */
function parseHost(words: string): { name: string; address: string } {
  const [, name = "", given = ""] = /^([^:=]+)[:=](.+)$/s.exec(words) ?? [];
  const address = given.replace(/^\[(.*)\]$/, "$1");
  const fail = (message: string) => new TsboxError(message, { code: "invalid_option", hint: '"name:address"' });
  if (name === "" || address === "" || /\s/.test(words)) throw fail(`bad format for add-host: "${words}"`);
  if (address !== HOST_GATEWAY && process.getBuiltinModule("node:net").isIP(address) === 0)
    throw fail(`invalid IP address in add-host: "${address}"`);
  return { name, address };
}

/** What is to be in it. @throws TsboxError `invalid_option`, in Docker's words */
export function checkHosts(options: ContainerOptions): void {
  for (const words of options.addHosts ?? []) if (parseHost(words).address === HOST_GATEWAY) checkGateway(options);
}

/**
 * Writes that of a container, and those of its neighbours that find it there. What is bound there is the file itself, so it
 * keeps its place.
 */
export function writeHosts(home: Home, own: string): void {
  const networks = home.state.networks.list<NetworkRecord>().filter(({ driver }) => driver !== "bridge");
  for (const id of new Set([own, ...networks.flatMap(({ endpoints }) => Object.keys(endpoints))])) {
    const record = home.state.containers.get<ContainerRecord>(id);
    using directory = record && home.directory(id);
    if (record && directory?.status("hosts"))
      directory.rewrite("hosts", new TextEncoder().encode(hostsOf(home, record)));
  }
}
