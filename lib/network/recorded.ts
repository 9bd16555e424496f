/**
 * The networks of a store, as they are written down: what they are, and who has claimed which address.
 *
 * ```
 * ROOT/networks/ID/record.json   a copy of its row, for when the database is lost
 * ```
 * @module
 */
import { invalid, checkText, checkOptions } from "../options/index.ts";
import { Directory, effectiveUid, removeTree, TsboxError } from "../../syscalls/index.ts";
import { storing, type State } from "../state/index.ts";
import { formatAddress, overlap, parseSubnet, type PortRange } from "../ip/index.ts";
import { DEFAULT_DEVICE, DEFAULT_NETWORK } from "./default-network.ts";
import { listed, type NetworkFilters } from "./filter.ts";
import { chooseAddresses, freeSubnet, macFor } from "./leases.ts";
import type { NetworkOptions } from "./new-network.ts";
import type { Bandwidth, Endpoint, NetworkRecord, NetworkSubnet } from "./record.ts";

/** What a container asks for in a network. */
export interface Joining {
  /** Its id. */
  container: string;
  /** It is a sandbox of a program, and no container. */
  box?: true;
  name: string;
  aliases?: readonly string[];
  /** Addresses that it wants. */
  addresses?: readonly string[];
  mac?: string;
  /** Its device: `"eth0"`. */
  inside: string;
  bandwidth?: Bandwidth | undefined;
  exposed?: readonly PortRange[];
}

const PRIVATE = 0o700;
/** An image may name every other port; the row of a network is read often. */
const MOST_EXPOSED = 100;

export class RecordedNetworks {
  protected readonly state: () => State;

  /** @param state opened when it is needed */
  constructor(state: () => State) {
    this.state = state;
  }

  /** By its name, its id, or the beginning of that. @throws TsboxError `network_not_found` */
  get(nameOrId: string): NetworkRecord {
    checkText("network", nameOrId);
    const { networks } = this.state();
    const named = networks.byName<NetworkRecord>(nameOrId);
    if (named) return named;
    const found = /^[0-9a-f]+$/.test(nameOrId) ? networks.byPrefix<NetworkRecord>(nameOrId) : [];
    if (found.length === 1) return found[0] as NetworkRecord;
    if (found.length > 1)
      throw new TsboxError(`network ${nameOrId} is ambiguous (${found.length} matches found on ID prefix)`, {
        code: "id_ambiguous",
      });
    throw new TsboxError(`network ${nameOrId} not found`, { code: "network_not_found" });
  }

  /** By name; the default one among them, once a container was in it. */
  list(filters: NetworkFilters = {}): NetworkRecord[] {
    checkOptions<{ filters: NetworkFilters }>("networks.list", { filters }, { filters: "filters" });
    const all = this.state().networks.list<NetworkRecord>();
    return listed(all, filters).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Writes a new one down. @throws TsboxError `name_in_use`, `invalid_option`, `limit_unavailable` */
  protected async make(options: NetworkOptions, device?: string): Promise<NetworkRecord> {
    const { newNetwork } = await import("./new-network.ts");
    const routes = (await import("./routes.ts")).hostRoutes();
    const state = this.state();
    const record = state.transaction(() => {
      const record = newNetwork(options, { others: this.list(), routes, device });
      const { created, id, name, driver } = record;
      state.networks.insert(record);
      state.addEvent({ time: created, type: "network", action: "create", id, attributes: { name, type: driver } });
      return record;
    });
    this.#copy(record);
    return record;
  }

  #copy(record: NetworkRecord): void {
    const path = `${this.state().root}/networks/${record.id}`;
    storing(() => {
      Directory.make(path, PRIVATE);
      using place = Directory.open(path);
      place?.replace(
        "record.json",
        new TextEncoder().encode(JSON.stringify({ ...record, endpoints: {} })),
        0o600,
        true,
      );
    });
  }

  /** As `get`; the default one is there before anything was in it. @throws TsboxError `network_not_found` */
  async named(nameOrId: string): Promise<NetworkRecord> {
    return nameOrId === DEFAULT_NETWORK ? await this.default() : this.get(nameOrId);
  }

  /** The one that is there without having been made. */
  async default(): Promise<NetworkRecord> {
    const found = this.state().networks.byName<NetworkRecord>(DEFAULT_NETWORK);
    if (found) return await this.#moved(found);
    try {
      return await this.make({ name: DEFAULT_NETWORK }, DEFAULT_DEVICE);
    } catch (error) {
      // another process has made it
      const made = this.state().networks.byName<NetworkRecord>(DEFAULT_NETWORK);
      if (made) return made;
      throw error;
    }
  }

  /** While nobody was in it, this machine may have got addresses there: nobody can remove it and make it anew. */
  async #moved(network: NetworkRecord): Promise<NetworkRecord> {
    const isEmpty = ({ endpoints }: NetworkRecord) => Object.keys(endpoints).length === 0;
    if (effectiveUid() !== 0 || !isEmpty(network)) return network;
    const routes = (await import("./routes.ts")).hostRoutes();
    const isTaken = ({ subnet }: NetworkSubnet) =>
      routes.some((route) => route.isDirect && overlap(route, parseSubnet(subnet)));
    if (!network.subnets.some(isTaken)) return network;
    const { networks } = this.state();
    const moved = networks.update<NetworkRecord>(network.id, (row) => {
      const others = this.list().flatMap(({ id, subnets }) => (id === row.id ? [] : subnets));
      const taken = [...routes, ...others.map(({ subnet }) => parseSubnet(subnet))];
      return isEmpty(row) ? { ...row, subnets: [freeSubnet(taken)], last: {} } : row;
    });
    if (moved) this.#copy(moved);
    return moved ?? network;
  }

  /**
   * Gives a container its addresses in a network, in the record alone.
   * @param ports that have been reserved
   * @throws TsboxError `invalid_option`, `limit_unavailable`
   */
  claim(id: string, joining: Joining, ports: Endpoint["ports"]): Endpoint {
    let made: Endpoint | undefined;
    const {
      container,
      name,
      box,
      aliases = [],
      addresses: wanted = [],
      mac,
      inside,
      bandwidth,
      exposed = [],
    } = joining;
    this.state().networks.update<NetworkRecord>(id, (network) => {
      if (network.endpoints[container])
        throw new TsboxError(`endpoint with name ${name} already exists in network ${network.name}`, {
          code: "invalid_option",
        });
      if (bandwidth) checkPaced(network);
      if (mac !== undefined && network.driver === "ipvlan")
        throw invalid(`use the MAC address ${mac}: ipvlan interfaces do not support custom mac address assignment`);
      const addresses = chooseAddresses(network, wanted);
      const device = `tsb${container.slice(0, 7)}${network.id.slice(0, 5)}`;
      const free = mac ?? macFor(addresses[0], crypto.getRandomValues(new Uint8Array(4)));
      const own = network.driver === "ipvlan" ? "" : free;
      made = { container, name, aliases: [...aliases], device, inside, mac: own, addresses, ports };
      if (box) made.box = true;
      if (bandwidth) made.bandwidth = bandwidth;
      if (exposed.length > 0) made.exposed = exposed.slice(0, MOST_EXPOSED);
      const last = { ...network.last };
      network.subnets.forEach(({ subnet }, index) => {
        const address = addresses[index];
        if (address !== undefined && wanted.length === 0) last[subnet] = formatAddress(parseSubnet(address));
      });
      return { ...network, last, endpoints: { ...network.endpoints, [container]: made } };
    });
    if (!made) throw new TsboxError(`network ${id} not found`, { code: "network_not_found" });
    return made;
  }

  /** What is known of a container that is still there. */
  protected remember(id: string, endpoint: Endpoint): void {
    const isThere = (row: NetworkRecord) => row.endpoints[endpoint.container] !== undefined;
    this.state().networks.update<NetworkRecord>(id, (row) =>
      isThere(row) ? { ...row, endpoints: { ...row.endpoints, [endpoint.container]: endpoint } } : row,
    );
  }

  /** @returns whether it is in any */
  protected called(container: string, name: string): boolean {
    const { networks } = this.state();
    const found = networks.list<NetworkRecord>().filter(({ endpoints }) => endpoints[container]);
    for (const { id } of found)
      networks.update<NetworkRecord>(id, (row) => {
        const endpoint = row.endpoints[container];
        return endpoint && { ...row, endpoints: { ...row.endpoints, [container]: { ...endpoint, name } } };
      });
    return found.length > 0;
  }

  /** Out of the database, where nobody is in it. */
  protected strike(id: string, nameOrId: string): void {
    const state = this.state();
    state.transaction(() => {
      const network = state.networks.get<NetworkRecord>(id);
      if (!network) throw new TsboxError(`network ${nameOrId} not found`, { code: "network_not_found" });
      const users = Object.values(network.endpoints).map(
        (endpoint) => `${endpoint.name} (${endpoint.container.slice(0, 12)})`,
      );
      if (users.length > 0)
        throw new TsboxError(
          `error while removing network: network ${network.name} has active endpoints (name: ${users.join(", ")})`,
          {
            code: "network_in_use",
            hint: "tsbox network disconnect, or stop the container",
          },
        );
      state.networks.remove(id);
      state.addEvent({
        time: Date.now(),
        type: "network",
        action: "destroy",
        id,
        attributes: { name: network.name, type: network.driver },
      });
    });
    using above = Directory.open(`${state.root}/networks`);
    if (above) removeTree(above, id);
  }
}

export function checkPaced({ name, driver }: NetworkRecord): void {
  if (driver === "bridge") return;
  throw invalid(`limit the bandwidth in the network ${name}: no end of its ${driver} is out of the container's reach`);
}
