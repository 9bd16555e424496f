/** Containers in networks: what they have there as long as they run. @module */
import { checkOptions } from "../options/index.ts";
import { effectiveUid, ERRNO, TsboxError } from "../../syscalls/index.ts";
import type { ContainerConfig } from "../image/index.ts";
import { callVerb } from "../launch/index.ts";
import { NetdKeeper, NetdWatcher, publishPorts } from "../netd/index.ts";
import { bandwidthOf } from "../sandbox/index.ts";
import { parseAddress, parsePorts, type WantedPort } from "../ip/index.ts";
import { DEFAULT_NETWORK, namespaceOf, Networks, reservePorts } from "../network/index.ts";
import type { Endpoint, NetworkRecord, Keeper, Watcher } from "../network/index.ts";
import { addEvent } from "./events.ts";
import { find } from "./find.ts";
import type { Home } from "./home.ts";
import { exposedPorts, portsIn } from "./exposed-ports.ts";
import { imageConfigOf } from "./image-config.ts";
import { locked } from "./lock.ts";
import { rewriteFiles } from "./etc-files.ts";
import { writeHosts } from "./hosts-file.ts";
import { checkAliases, networkPolicyOf, networksOf, publishes } from "./network-options.ts";
import type { ContainerNetwork, ContainerOptions } from "./options.ts";
import { notFound } from "./names.ts";
import { isUp, reconciled, settle } from "./reconcile.ts";
import { writeCopy } from "./record-copy.ts";
import type { ContainerRecord } from "./record.ts";
import { runs } from "./status.ts";

const SHORT = 12;

export interface Joined {
  /** Puts it into its networks. @param reached the pid of its init on the host, once its namespaces are there */
  networked(reached: Promise<number | undefined>): Promise<void>;
  /** Of its ports: for as long as it runs. They are closed here by {@link forget}. */
  sockets: readonly number[];
  forget(): void;
}

/**
 * Gives a container that is about to start its addresses and ports. Undefined where it asks for no network.
 * @throws TsboxError `network_not_found`, `limit_unavailable`, `invalid_option`, `permission_denied`
 */
export async function joinNetworks(home: Home, record: ContainerRecord): Promise<Joined | undefined> {
  const { id, options } = record;
  const wanted = networksOf(options);
  if (wanted.length === 0) return undefined;
  const networks = networksAt(home);
  // what a run before has left, where nobody saw its end
  await networks.leave(id);
  const found: NetworkRecord[] = [];
  for (const { name } of wanted) found.push(await networkNamed(networks, name));
  const { name: first, driver } = found[0] as NetworkRecord;
  if (driver !== "bridge" && publishes(options))
    throw new TsboxError(
      `publish ports: containers of the network ${first} have addresses of their own, at which all is reached`,
      { code: "invalid_option" },
    );
  const families = [...new Set(found[0]?.subnets.map(({ subnet }) => (subnet.includes(":") ? 6 : 4) as 4 | 6))];
  const config = imageConfigOf(home, record);
  const ports = wantedPorts(options, config, found[0]);
  const isUsers = effectiveUid() !== 0;
  if (isUsers) checkUsersPorts(ports);
  checkHosts(ports, families, first, isUsers);
  const reserved = reservePorts(ports, families, isUsers);
  try {
    for (const [index, { id: network }] of found.entries())
      networks.claim(
        network,
        joiningOf(record, config, wanted[index] as ContainerNetwork, index),
        index === 0 ? reserved.ports : [],
      );
  } catch (error) {
    reserved[Symbol.dispose]();
    await networks.leave(id);
    throw error;
  }
  return {
    // those of an ordinary user are open where their connections are taken
    sockets: isUsers ? [] : reserved.sockets,
    forget: () => reserved[Symbol.dispose](),
    async networked(reached) {
      for (const { id: network } of found) await networks.raise(network, id);
      const pid = await reached;
      if (pid === undefined) return;
      using own = await namespaceOf(pid).catch(unlessEnded);
      if (!own) return;
      for (const [index, network] of found.entries()) {
        await networks.plugIn(network.id, id, own.namespace, index === 0, own.pid);
        addNetworkEvent(home, network, "connect", record);
      }
      if (isUsers) publishPorts(home.root, id, reserved.sockets);
      if (found.some(({ driver: each }) => each !== "bridge")) writeHosts(home, id);
    },
  };
}

/** What has ended by now tells why by itself. */
export function unlessEnded(error: unknown): undefined {
  if ((error as TsboxError).errno !== ERRNO.ENOENT) throw error;
}

/** What is accepted leads to the container. */
function checkHosts(
  ports: readonly WantedPort[],
  families: readonly (4 | 6)[],
  network: string,
  isUsers: boolean,
): void {
  for (const { host, containerPort } of ports) {
    if (host === undefined) continue;
    const { family, value } = parseAddress(host);
    const refused = (why: string, hint: string) =>
      new TsboxError(`publish port ${containerPort} at ${host}: ${why}`, { code: "invalid_option", hint });
    if (!families.includes(family))
      throw refused(`the network ${network} has no addresses of version ${family}`, "tsbox network create --ipv6");
    // the kernel sends nothing elsewhere that comes from there; programs of a user do
    if (!isUsers && family === 6 && value === 1n)
      throw refused("the packet filter leads nothing on from there", "127.0.0.1");
  }
}

/** The packet filter carries all protocols, programs TCP and UDP. */
function checkUsersPorts(ports: readonly WantedPort[]): void {
  const other = ports.find(({ protocol }) => protocol === "sctp");
  if (other)
    throw new TsboxError(`publish ${other.containerPort}/sctp: only root may`, {
      code: "permission_denied",
      hint: "tcp and udp",
    });
}

/** As Docker's, which has two names for the default one where a container is to be in it. */
const networkNamed = (networks: Networks, name: string): Promise<NetworkRecord> =>
  networks.named(name === "default" ? DEFAULT_NETWORK : name);

const joiningOf = (
  { id, name, hostname, options }: ContainerRecord,
  config: ContainerConfig,
  { addresses, mac, aliases = [] }: ContainerNetwork,
  index: number,
) => ({
  container: id,
  name,
  aliases: [...new Set([...aliases, id.slice(0, SHORT), hostname])],
  inside: `eth${index}`,
  bandwidth: bandwidthOf(options.limits ?? {}),
  exposed: exposedPorts(options, config),
  ...(addresses ? { addresses } : {}),
  ...(mac === undefined ? {} : { mac }),
});

/** @throws TsboxError `invalid_option` */
function wantedPorts(
  options: ContainerOptions,
  config: ContainerConfig,
  network: NetworkRecord | undefined,
): WantedPort[] {
  const { ports = [], publishAll = false } = options;
  const host = network?.hostBinding;
  const bound = (port: WantedPort) => (host === undefined || port.host !== undefined ? port : { ...port, host });
  const published = ports.flatMap(parsePorts).map(bound);
  if (!publishAll) return published;
  const named = new Set(published.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`));
  const exposed = exposedPorts(options, config).flatMap((range) =>
    portsIn(range).map((containerPort) => ({ containerPort, protocol: range.protocol })),
  );
  const rest = exposed.filter(({ containerPort, protocol }) => !named.has(`${containerPort}/${protocol}`));
  return [...published, ...rest.map(bound)];
}

/** The networks of a store. */
export const networksAt = (
  home: Home,
  watcher: Watcher = new NetdWatcher(() => home.root, netdOf(home)),
  keeper: Keeper | undefined = effectiveUid() === 0 ? undefined : new NetdKeeper(() => home.root, netdOf(home)),
): Networks => new Networks(() => home.state, isThere(home), keeper, watcher, isAwaited(home));

const netdOf = (home: Home) => () => callVerb(home.root, "network", "netd");

/** Whether a container is still what its endpoints are for. */
const isThere =
  (home: Home) =>
  (id: string): boolean => {
    const record = home.state.containers.get<ContainerRecord>(id);
    const now = record && reconciled(home, record);
    return now !== undefined && isUp(now);
  };

/** One that is being restarted has ended for a moment, and given back what it had there. */
const isAwaited =
  (home: Home) =>
  (network: NetworkRecord): boolean =>
    home.state.containers
      .list<ContainerRecord>()
      .filter(({ status, after }) => status === "restarting" || after === "restart")
      .some(({ options }) => networksOf(options).some(({ name }) => isNamed(network, name)));

/** It has ended: its addresses and ports are given back. */
export async function leaveNetworks(home: Home, record: ContainerRecord): Promise<void> {
  if (networksOf(record.options).length === 0) return;
  const left = endpointsOf(home, record.id);
  if (left.length === 0) return;
  await networksAt(home).leave(record.id);
  for (const { network } of left) addNetworkEvent(home, network, "disconnect", record);
  if (left.some(({ network: { driver } }) => driver !== "bridge")) writeHosts(home, record.id);
}

export interface Place {
  network: NetworkRecord;
  endpoint: Endpoint;
}

/** Of all containers that are in networks, by their ids. */
export function allPlaces(home: Home): Map<string, Place[]> {
  const networks = home.state.networks.list<NetworkRecord>();
  const ids = new Set(networks.flatMap(({ endpoints }) => Object.keys(endpoints)));
  return new Map([...ids].map((id) => [id, placesIn(networks, id)]));
}

/** What a container has in networks now, the one that leads elsewhere first. */
export function endpointsOf(home: Home, id: string): Place[] {
  return placesIn(home.state.networks.list<NetworkRecord>(), id);
}

function placesIn(networks: readonly NetworkRecord[], id: string): Place[] {
  const all = networks.flatMap((network): Place[] => {
    const endpoint = network.endpoints[id];
    return endpoint ? [{ network, endpoint }] : [];
  });
  return all.toSorted((a, b) => (a.endpoint.inside < b.endpoint.inside ? -1 : 1));
}

interface Change {
  networks: Networks;
  network: NetworkRecord;
  record: ContainerRecord;
  before: ContainerNetwork[];
}

/** @param change what it is in afterwards; undefined where that stays */
async function changeNetworks(
  home: Home,
  networkName: string,
  containerName: string,
  change: (found: Change) => Promise<ContainerNetwork[] | undefined>,
): Promise<void> {
  const networks = networksAt(home);
  const network = await networkNamed(networks, networkName);
  const { id } = find(home, containerName);
  await locked(home, id, async () => {
    const record = settle(home, id);
    if (!record) throw notFound(id);
    const changed = await change({ networks, network, record, before: networksOf(record.options) });
    const now = changed && remember(home, id, changed);
    if (now && runs(now)) rewriteFiles(home, now);
  });
}

const isNamed = ({ id, name }: NetworkRecord, by: string): boolean => name === by || (by !== "" && id.startsWith(by));

/**
 * Puts a container into one more network, also while it runs.
 * @throws TsboxError `network_not_found`, `container_not_found`, `invalid_option`, `container_state`
 */
export async function connect(
  home: Home,
  networkName: string,
  containerName: string,
  more: Omit<ContainerNetwork, "name">,
): Promise<void> {
  checkOptions("connect", more, { addresses: "texts", mac: "text", aliases: "texts" });
  await changeNetworks(home, networkName, containerName, async ({ networks, network, record, before }) => {
    const { network: mode } = record.options;
    if (networkPolicyOf(record.options))
      throw new TsboxError("a container with a policy cannot be connected to a network: it would be a way around it", {
        code: "invalid_option",
      });
    if (before.length === 0 && mode !== undefined && mode !== false && mode !== "none")
      throw new TsboxError(
        "container sharing network namespace with another container or host cannot be connected to any other network",
        { code: "invalid_option" },
      );
    if (before.some(({ name }) => isNamed(network, name)))
      throw new TsboxError(`endpoint with name ${record.name} already exists in network ${network.name}`, {
        code: "invalid_option",
      });
    const own: ContainerNetwork = { name: network.name, ...more };
    checkAliases(own);
    if (runs(record)) await plugInto(home, networks, network, record, own);
    return [...before, own];
  });
}

/** Those that are still reserved for it, although it was in no network for a while. */
const fixedPorts = (record: ContainerRecord, config: ContainerConfig, network: NetworkRecord): Endpoint["ports"] =>
  wantedPorts(record.options, config, network).flatMap(({ hostPort, hostPortEnd, ...port }) =>
    hostPort === undefined || hostPortEnd !== undefined ? [] : [{ ...port, hostPort }],
  );

async function plugInto(
  home: Home,
  networks: Networks,
  network: NetworkRecord,
  record: ContainerRecord,
  own: ContainerNetwork,
): Promise<void> {
  using inside = await namespaceOf(record.pid).catch(unlessEnded);
  if (!inside) return;
  const taken = endpointsOf(home, record.id).map(({ endpoint }) => endpoint.inside);
  const index =
    Array.from({ length: taken.length + 1 }, (_, each) => each).find((each) => !taken.includes(`eth${each}`)) ?? 0;
  const config = imageConfigOf(home, record);
  const ports = taken.length === 0 && network.driver === "bridge" ? fixedPorts(record, config, network) : [];
  networks.claim(network.id, joiningOf(record, config, own, index), ports);
  try {
    await networks.raise(network.id, record.id);
    await networks.plugIn(network.id, record.id, inside.namespace, taken.length === 0, inside.pid);
  } catch (error) {
    await networks.leave(record.id, network.id);
    throw error;
  }
  addNetworkEvent(home, network, "connect", record);
}

/** @param force one that is not there is none of an error */
export async function disconnect(home: Home, networkName: string, containerName: string, force = false): Promise<void> {
  await changeNetworks(home, networkName, containerName, async ({ networks, network, record, before }) => {
    const { id, pid } = record;
    const left = before.filter(({ name }) => !isNamed(network, name));
    if (left.length === before.length) {
      if (force) return undefined;
      throw new TsboxError(`container ${id} is not connected to network ${network.name}`, { code: "invalid_option" });
    }
    using own = runs(record) ? await namespaceOf(pid).catch(unlessEnded) : undefined;
    const ports = network.endpoints[id]?.ports ?? [];
    await networks.leave(id, network.id, own?.namespace);
    addNetworkEvent(home, network, "disconnect", record);
    const [next] = endpointsOf(home, id);
    if (next && own) {
      await networks.routeThrough(next.network.id, id, own.namespace);
      if (ports.length > 0) await networks.publish(next.network.id, id, ports);
    }
    return left;
  });
}

function remember(home: Home, id: string, networks: ContainerNetwork[]): ContainerRecord | undefined {
  const record = home.state.containers.update<ContainerRecord>(id, (row) => {
    const { network: _, ...options } = row.options;
    return { ...row, options: { ...options, networks } };
  });
  if (record) writeCopy(home, record);
  return record;
}

function addNetworkEvent(
  home: Home,
  { id, name, driver }: NetworkRecord,
  action: string,
  container: ContainerRecord,
): void {
  addEvent(home, { type: "network", action, id, attributes: { container: container.id, name, type: driver } });
}
