/**
 * Files of a container that are not its image's: /etc/hosts, /etc/hostname and /etc/resolv.conf. They are in its
 * directory, written anew whenever it starts, and it may write them, as in Docker.
 * @module
 * @see hosts(5), resolv.conf(5)
 */
import { readKernelFile, TsboxError } from "../../syscalls/index.ts";
import type { MountOption } from "../sandbox/index.ts";
import { find } from "./find.ts";
import type { Home } from "./home.ts";
import { checkShared, otherOf } from "./network.ts";
import type { ContainerOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";

const NAMES = ["hosts", "hostname", "resolv.conf"] as const;
type Name = (typeof NAMES)[number];

/** Of all address families, as Docker's. */
const LOOPBACK = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** Writes them. A view of the host has the host's, unless something is asked for. */
export function filesFor(home: Home, record: ContainerRecord): MountOption[] {
  const { options } = record;
  if (options.namespaces?.mount !== undefined && options.namespaces.mount !== "private") return [];
  if ((options.rootfs ?? (options.image === undefined ? "host" : "")) === "host") return [];
  const other = otherOf(options.network);
  const owner = other === undefined ? record : find(home, other);
  if (other === undefined) writeFiles(home, record);
  return NAMES.map((name) => ({ type: "bind", source: `${home.path(owner.id)}/${name}`, target: `/etc/${name}` }));
}

function writeFiles(home: Home, record: ContainerRecord): void {
  using directory = home.directory(record.id);
  if (!directory) return;
  const contents: Record<Name, string> = {
    hosts: hostsOf(record),
    hostname: `${record.hostname}\n`,
    "resolv.conf": resolvConfOf(record.options),
  };
  for (const name of NAMES) directory.replace(name, new TextEncoder().encode(contents[name]), 0o644);
}

const HOST_GATEWAY = "host-gateway";

function hostsOf({ hostname, options }: ContainerRecord): string {
  const isHost = options.network === "host";
  const begin = isHost ? (readKernelFile("/etc/hosts") ?? LOOPBACK) : LOOPBACK;
  const own = isHost || hostname === "" ? "" : `127.0.1.1\t${hostname}\n`;
  const added = (options.addHosts ?? []).map((words) => {
    const { name, address } = parseHost(words);
    return `${address === HOST_GATEWAY ? gatewayOf(options) : address}\t${name}\n`;
  });
  return `${begin.replace(/\n?$/, "\n")}${own}${added.join("")}`;
}

/** On the host's network, its loopback interface is the container's as well. */
function gatewayOf({ network }: ContainerOptions): string {
  if (network === "host") return "127.0.0.1";
  throw new TsboxError('add the host "host-gateway": this network does not lead to the host', {
    code: "invalid_option",
    hint: "--network host, where it is 127.0.0.1",
  });
}

/** `"db:10.0.0.2"`, `"db=10.0.0.2"`, `"db:[::1]"`. @throws TsboxError `invalid_option`, in Docker's words */
export function parseHost(words: string): { name: string; address: string } {
  const [, name = "", given = ""] = /^([^:=]+)[:=](.+)$/s.exec(words) ?? [];
  const address = given.replace(/^\[(.*)\]$/, "$1");
  const fail = (message: string) => new TsboxError(message, { code: "invalid_option", hint: '"name:address"' });
  if (name === "" || address === "" || /\s/.test(words)) throw fail(`bad format for add-host: "${words}"`);
  if (address !== HOST_GATEWAY && process.getBuiltinModule("node:net").isIP(address) === 0)
    throw fail(`invalid IP address in add-host: "${address}"`);
  return { name, address };
}

/** What is said counts; else the host's. */
function resolvConfOf({ dns, dnsSearch, dnsOptions, network }: ContainerOptions): string {
  const host = (readKernelFile("/etc/resolv.conf") ?? "").split("\n");
  const isSaid = (dns ?? dnsSearch ?? dnsOptions) !== undefined;
  if (!isSaid && network === "host") return host.join("\n");
  const of = (key: string) =>
    host.flatMap((line) => {
      const [word, ...values] = line.trim().split(/\s+/);
      return word === key ? values : [];
    });
  // what listens on the host's loopback interface is not there
  const isLocal = (address: string) => /^(127\.|::1$)/.test(address);
  const servers = dns ?? of("nameserver").filter((address) => network === "host" || !isLocal(address));
  const search = (dnsSearch ?? of("search")).filter((word) => word !== ".");
  const options = dnsOptions ?? of("options");
  return [
    ...servers.map((address) => `nameserver ${address}`),
    ...(search.length > 0 ? [`search ${search.join(" ")}`] : []),
    ...(options.length > 0 ? [`options ${options.join(" ")}`] : []),
    "",
  ].join("\n");
}

/** What is to be in them. @throws TsboxError `invalid_option`, in Docker's words */
export function checkEtcFiles(options: ContainerOptions): void {
  checkShared(options);
  for (const words of options.addHosts ?? []) if (parseHost(words).address === HOST_GATEWAY) gatewayOf(options);
  const wrong = options.dns?.find((address) => process.getBuiltinModule("node:net").isIP(address) === 0);
  if (wrong !== undefined) throw new TsboxError(`${wrong} is not an ip address`, { code: "invalid_option" });
  for (const word of [...(options.dnsSearch ?? []), ...(options.dnsOptions ?? [])])
    if (/\s/.test(word)) throw new TsboxError(`${word} is not a valid domain`, { code: "invalid_option" });
}
