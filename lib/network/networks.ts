/**
 * The networks of a store, as the kernel has them: told by their records, one process at a time.
 *
 * ```
 * ROOT/networks.lock             held (flock) while the kernel is told of networks
 * ```
 * @module
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { State } from "../state/index.ts";
import { isHeld, sweepBoxes } from "../store/index.ts";
import { DEFAULT_NETWORK, deviceFor, hasNames } from "./default-network.ts";
import type { NetworkFilters } from "./filter.ts";
import type { Namespace } from "./devices.ts";
import { lockNetworks, tryLockNetworks } from "./lock.ts";
import { namespaceOf } from "./namespace.ts";
import type { NetworkOptions } from "./new-network.ts";
import type { Obstacle } from "./obstacles.ts";
import type { Keeper, Place } from "./place.ts";
import type { Bandwidth, Endpoint, NetworkRecord } from "./record.ts";
import { checkPaced, RecordedNetworks } from "./recorded.ts";
import type { OpenNameSockets } from "./name-sockets.ts";
import type { NameSockets, Watcher } from "./watcher.ts";

/** Whether a container of an endpoint still has it. */
export type IsThere = (container: string) => boolean;
/** Whether a container that is about to start again will be in a network. */
export type IsAwaited = (network: NetworkRecord) => boolean;

const RESERVED = ["none", "host", "default", "container"];
/** Addresses of those that have ended. */
const MOST_REMEMBERED = 32;

export class Networks extends RecordedNetworks {
  readonly #isThere: IsThere;
  readonly #keeper: Keeper | undefined;
  readonly #watcher: Watcher | undefined;
  readonly #isAwaited: IsAwaited;
  /** Networks have been made: what leaves them has no way out before that is known. */
  #isNews = false;

  /**
   * @param state opened when it is needed @param isThere whether a container still has its endpoints
   * @param keeper of where the bridges are, which is not where this program is @param watcher told of what changes
   * @param isAwaited what is not pruned although nobody is in it just now
   */
  constructor(
    state: () => State,
    isThere: IsThere = () => true,
    keeper?: Keeper,
    watcher?: Watcher,
    isAwaited: IsAwaited = () => false,
  ) {
    super(state);
    this.#isThere = isThere;
    this.#keeper = keeper;
    this.#watcher = watcher;
    this.#isAwaited = isAwaited;
  }

  /** Nobody else tells the kernel of networks meanwhile. */
  async #locked<T>(act: (place: Place) => Promise<T>): Promise<T> {
    const { Place } = await import("./place.ts");
    using _ = await lockNetworks(this.state().root);
    using place = new Place(this.#keeper);
    return await act(place);
  }

  /** @throws TsboxError `name_in_use`, `invalid_option`, `limit_unavailable`, `permission_denied` */
  async create(options: NetworkOptions): Promise<NetworkRecord> {
    const { name } = options;
    if (RESERVED.includes(name) || name === DEFAULT_NETWORK)
      throw new TsboxError(`operation is not permitted on predefined ${name} network`, { code: "invalid_option" });
    const made = await this.make(options);
    if (!this.#keeper) warnOf((await import("./obstacles.ts")).obstacleOf(made));
    return made;
  }

  /** @throws TsboxError `network_not_found`, `network_in_use` */
  async remove(nameOrId: string): Promise<void> {
    const { id, name } = this.get(nameOrId);
    if (name === DEFAULT_NETWORK)
      throw new TsboxError(`bridge is a pre-defined network and cannot be removed`, { code: "network_in_use" });
    await this.#locked(async (place) => {
      await this.#sweep(place);
      // another network may have its subnet next
      const network = this.get(id);
      const { remembered = [] } = network;
      await this.#lowerForgotten(place, network);
      if (remembered.length > 0) await this.#forget(place, id, remembered);
      this.strike(id, nameOrId);
    });
  }

  /** The database was lost, and with it who was in it, while it stood. */
  async #lowerForgotten(place: Place, network: NetworkRecord): Promise<void> {
    if (Object.keys(network.endpoints).length > 0 || !(await place.find())) return;
    const { lowerNetwork, stands } = await import("./devices.ts");
    place.within(() => {
      if (network.driver === "bridge" && stands(network)) lowerNetwork(network);
    });
  }

  /** Those that no container is in, nor one that is just being restarted. @returns names */
  async prune(filters: NetworkFilters = {}): Promise<string[]> {
    await this.sweep();
    const removed: string[] = [];
    for (const network of this.list(filters)) {
      const { id, name, endpoints } = network;
      const used = Object.values(endpoints).some((endpoint) => this.#isUsed(endpoint));
      if (used || this.#isAwaited(network) || name === DEFAULT_NETWORK) continue;
      await this.remove(id);
      removed.push(name);
    }
    return removed;
  }

  /**
   * The bridge and the packet filter's part of a network that a container is about to come into, which has claimed its
   * addresses: so they stay.
   */
  async raise(id: string, container: string): Promise<void> {
    await this.#locked(async (place) => {
      const isNew = await place.make();
      await this.#sweep(place, container);
      if (isNew) await this.#plugInAgain(place, container);
      await this.#placed(place, this.get(id));
      await this.#raise(place, this.get(id), container);
    });
  }

  /** The bridge of the default network is called as that of another store's. */
  async #placed(place: Place, network: NetworkRecord): Promise<void> {
    if (network.name !== DEFAULT_NETWORK) return;
    const { isTaken } = await import("./devices.ts");
    if (!place.within(() => isTaken(network))) return;
    const device = deviceFor(network.id);
    this.state().networks.update<NetworkRecord>(network.id, (row) => ({ ...row, device }));
  }

  /** Those of an ordinary user where whoever kept them was killed, with all containers that run. */
  async raiseAgain(): Promise<void> {
    await this.#locked(async (place) => {
      await this.#sweep(place);
      if (this.list().every(({ endpoints }) => Object.keys(endpoints).length === 0)) return;
      if (await place.make()) await this.#plugInAgain(place);
    });
  }

  async #raise(place: Place, network: NetworkRecord, container: string): Promise<void> {
    const [{ openNameSockets, raiseNetwork }, { obstacleOf }] = await Promise.all([
      import("./devices.ts"),
      import("./obstacles.ts"),
    ]);
    place.within(() => {
      const isNew = raiseNetwork(network, this.list(), container);
      this.#isNews ||= isNew;
      if (isNew) warnOf(obstacleOf(network));
      if (hasNames(network)) this.#watcher?.raised(network, isNew, () => this.#nameSockets(network, openNameSockets));
      else if (this.#keeper && isNew) this.#watcher?.changed();
    });
  }

  /** Those that run: whoever kept their bridges was killed, and so these have gone. */
  async #plugInAgain(place: Place, starting?: string): Promise<void> {
    const { plugIn } = await import("./devices.ts");
    for (const network of this.list())
      for (const endpoint of Object.values(network.endpoints)) {
        const { container, pid, inside } = endpoint;
        if (pid === undefined || container === starting) continue;
        const isFirst = !this.list().some((other) => (other.endpoints[container]?.inside ?? inside) < inside);
        await this.#raise(place, network, container);
        using own = await namespaceOf(pid);
        place.within(() => plugIn(network, endpoint, own.namespace, isFirst));
      }
  }

  /**
   * What was claimed, as the kernel has it, in a network that was raised.
   * @param namespace the container's network namespace @param gateway whether what leads elsewhere goes this way
   * @param pid of a process that is in it
   */
  async plugIn(id: string, container: string, namespace: Namespace, gateway: boolean, pid?: number): Promise<void> {
    const { plugIn } = await import("./devices.ts");
    await this.#locked(async (place) => {
      if (await place.make()) await this.#raise(place, this.get(id), container);
      const network = this.get(id);
      const endpoint = network.endpoints[container];
      if (!endpoint)
        throw new TsboxError(`container ${container} is not connected to network ${network.name}`, {
          code: "invalid_option",
        });
      const { remembered = [] } = network;
      if (remembered.some((text) => endpoint.addresses.includes(text))) await this.#forget(place, id, remembered);
      place.within(() => plugIn(network, endpoint, namespace, gateway));
      if (this.#keeper && pid !== undefined) this.remember(id, { ...endpoint, pid });
    });
    if (this.#isNews) this.#keeper?.ready();
    this.#isNews = false;
  }

  /**
   * What connection tracking knows of addresses. The kernel looks through all that it remembers, which takes it 5 ms and
   * more (measured): so that is done when one of them is given away again, or for many at a time.
   */
  async #forget(place: Place, id: string, addresses: readonly string[]): Promise<void> {
    const { forgetAddresses } = await import("./devices.ts");
    if (await place.find()) place.within(() => forgetAddresses(addresses));
    this.state().networks.update<NetworkRecord>(id, ({ remembered = [], ...row }) => ({
      ...row,
      remembered: remembered.filter((text) => !addresses.includes(text)),
    }));
  }

  /** How fast a container may be from now on, in each of the networks that it is in. */
  async pace(container: string, bandwidth: Bandwidth): Promise<void> {
    const { paceEndpoint } = await import("./devices.ts");
    await this.#locked(async (place) => {
      const all = this.list().filter(({ endpoints }) => endpoints[container]);
      all.forEach(checkPaced);
      if (!(await place.find())) return;
      for (const { id, endpoints } of all) {
        const endpoint: Endpoint = { ...(endpoints[container] as Endpoint), bandwidth };
        place.within(() => paceEndpoint(endpoint));
        this.remember(id, endpoint);
      }
    });
  }

  /** Ports that are reserved lead to a container in this network from now on, as it has left the one where they did. */
  async publish(id: string, container: string, ports: Endpoint["ports"]): Promise<void> {
    const { publishAt } = await import("./devices.ts");
    await this.#locked(async (place) => {
      const { driver, endpoints } = this.get(id);
      const before = endpoints[container];
      if (!before || driver !== "bridge" || !(await place.find())) return;
      const endpoint = { ...before, ports };
      this.remember(id, endpoint);
      place.within(() => publishAt(endpoint));
      this.#watcher?.changed();
    });
  }

  /** What of a container leads elsewhere goes by this network from now on. @param namespace its network namespace */
  async routeThrough(id: string, container: string, namespace: Namespace): Promise<void> {
    const { routeThrough } = await import("./devices.ts");
    const network = this.get(id);
    const endpoint = network.endpoints[container];
    if (endpoint) routeThrough(network, endpoint, namespace);
  }

  /**
   * Takes a container out of a network, or out of all. What is gone already is no error.
   * @param namespace its network namespace, where it goes on
   */
  async leave(container: string, only?: string, namespace?: Namespace): Promise<void> {
    const isIn = ({ id, endpoints }: NetworkRecord) => endpoints[container] !== undefined && (only ?? id) === id;
    if (!this.state().networks.list<NetworkRecord>().some(isIn)) return;
    const { unplug } = await import("./devices.ts");
    await this.#locked(async (place) => {
      for (const network of this.list().filter(isIn)) {
        await this.#takeOut(place, network.id, [container]);
        if (namespace !== undefined) unplug(network.endpoints[container] as Endpoint, namespace);
      }
      this.#watcher?.changed();
    });
  }

  /** A container is called otherwise from now on. */
  rename(container: string, name: string): void {
    if (this.called(container, name)) this.#watcher?.changed();
  }

  #nameSockets(network: NetworkRecord, open: OpenNameSockets): NameSockets {
    const remember = () =>
      void this.state().networks.update<NetworkRecord>(network.id, (row) => ({ ...row, namesElsewhere: true }));
    return open(network, remember);
  }

  /**
   * Tells the watcher once more of all networks that stand, and takes out containers that are gone.
   * @returns false where somebody else tells the kernel of networks just now
   */
  async tellAgain(): Promise<boolean> {
    const [{ openNameSockets, stands }, { Place }] = await Promise.all([import("./devices.ts"), import("./place.ts")]);
    using held = tryLockNetworks(this.state().root);
    if (!held) return false;
    using place = new Place(this.#keeper);
    await this.#sweep(place);
    if (!(await place.find())) return true;
    for (const network of this.list().filter(({ endpoints }) => Object.keys(endpoints).length > 0))
      place.within(() => {
        if (hasNames(network) && stands(network))
          this.#watcher?.raised(network, false, () => this.#nameSockets(network, openNameSockets));
      });
    return true;
  }

  /** Takes out containers, and sandboxes, that are gone; not where another command has the networks, and may be at it. */
  async sweep(): Promise<void> {
    using held = tryLockNetworks(this.state().root);
    if (!held) return;
    const { Place } = await import("./place.ts");
    using place = new Place(this.#keeper);
    await this.#sweep(place);
  }

  /** Whoever was to do that was killed. */
  async #sweep(place: Place, starting?: string): Promise<void> {
    for (const { id, endpoints } of this.list()) {
      const isGone = (endpoint: Endpoint) => endpoint.container !== starting && !this.#isUsed(endpoint);
      const gone = Object.values(endpoints).filter(isGone);
      const containers = gone.map(({ container }) => container);
      if (gone.length > 0) await this.#takeOut(place, id, containers);
    }
    sweepBoxes(this.state().root);
  }

  #isUsed({ container, box }: Endpoint): boolean {
    return box ? isHeld(this.state().root, container) : this.#isThere(container);
  }

  /** The kernel first: what is written down can be found again. */
  async #takeOut(place: Place, id: string, containers: readonly string[]): Promise<void> {
    const { lowerNetwork, pullOut } = await import("./devices.ts");
    const network = this.get(id);
    const isGoing = (container: string) => containers.includes(container);
    const endpoints = containers.flatMap((container) => network.endpoints[container] ?? []);
    const isLast = Object.keys(network.endpoints).every(isGoing);
    if (await place.find()) place.within(() => (isLast ? lowerNetwork(network) : pullOut(network, endpoints)));
    const remembered = network.driver === "bridge" ? endpoints.flatMap(({ addresses }) => addresses) : [];
    const now = this.state().networks.update<NetworkRecord>(id, (row) => ({
      ...row,
      endpoints: Object.fromEntries(Object.entries(row.endpoints).filter(([container]) => !isGoing(container))),
      remembered: [...new Set([...(row.remembered ?? []), ...remembered])],
    }));
    if (now?.remembered && now.remembered.length > MOST_REMEMBERED) await this.#forget(place, id, now.remembered);
  }
}

/** Networks are made and stand all the same. */
function warnOf(obstacle: Obstacle | undefined): void {
  if (obstacle) process.emitWarning(`${obstacle.found}: ${obstacle.hint}`, "TsboxWarning");
}
