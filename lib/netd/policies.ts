/**
 * The ways out of containers that have a policy. Whoever starts one makes the sockets of its namespace, and hands them over
 * before its command begins; killed, netd leaves nothing that leads out, and the next one makes them again.
 * @module
 */
import { closeAll } from "../../syscalls/index.ts";
import { familiesOfHost, interceptAt, listSockets, settingsOf, socketsIn } from "../gateway/index.ts";
import type {
  Denied,
  FromGateway,
  GatewayThread,
  Place,
  Traffic,
  WayLimits,
  WaySettings,
  WaySockets,
} from "../gateway/index.ts";
import type { Loop } from "../loop/index.ts";
import { compilePolicy, type NetworkPolicy } from "../policy/index.ts";

/** What a container may connect to. */
export interface ContainerWay {
  policy: NetworkPolicy;
  limits: WayLimits;
}

/** Containers that have a policy, as the records know them. */
export interface WaysOfContainers {
  /** Undefined where it does not run, nor is about to. */
  find(container: string): ContainerWay | undefined;
  /** Of all that run, or are about to. */
  ids(): string[];
  /** Its network namespace; undefined where there is none, or not yet: it is being started. */
  reach(container: string): Promise<(Place & Disposable) | undefined>;
  /** @param more how many others there were */
  denied(container: string, denials: readonly Denied[], more: number): void;
}

/** Those of a user's networks are below. */
const FIRST_WAY = 1000;
/** So often what was denied is told, and so much of it. */
const [TELL_MS, MOST_TOLD] = [1000, 10];

interface Way {
  container: string;
  /** As it was told. */
  told: string;
  denials: Map<string, Denied>;
  /** By this process; before it, another one may have counted, and was killed. */
  traffic: Traffic | undefined;
  more: number;
  isResting: boolean;
}

export class Policies implements Disposable {
  readonly #loop: Loop;
  readonly #gateway: () => GatewayThread;
  readonly #containers: WaysOfContainers;
  readonly #failed: (error: unknown) => void;
  /** By their numbers. */
  readonly #ways = new Map<number, Way>();
  #last = FIRST_WAY;

  /** @param gateway made when it is needed */
  constructor(
    loop: Loop,
    gateway: () => GatewayThread,
    containers: WaysOfContainers,
    failed: (error: unknown) => void,
  ) {
    this.#loop = loop;
    this.#gateway = gateway;
    this.#containers = containers;
    this.#failed = failed;
  }

  [Symbol.dispose](): void {
    for (const way of this.#ways.keys()) this.#end(way);
  }

  /** What has gone in and out of one; undefined for who has none. */
  trafficOf(container: string): Pick<Traffic, "inBytes" | "outBytes"> | undefined {
    const way = this.#ways.values().find((each) => each.container === container);
    return way && (way.traffic ?? { inBytes: 0, outBytes: 0 });
  }

  get areNeeded(): boolean {
    return this.#ways.size > 0 || this.#containers.ids().length > 0;
  }

  /** The sockets of a container that is about to start; what it had before is over. @param fds taken over */
  attach(container: string, fds: readonly number[]): void {
    const sockets = socketsIn(fds);
    if (sockets) this.#attach(container, sockets);
    else closeAll(fds);
  }

  /** The records are not what they were. */
  update(): void {
    for (const [number, way] of this.#ways) {
      const found = this.#containers.find(way.container);
      if (!found) this.#end(number);
      else if (way.told !== JSON.stringify(found)) {
        way.told = JSON.stringify(found);
        this.#gateway().take({ kind: "update", way: number, settings: settingsFor(found) });
      }
    }
  }

  /**
   * Those that another one had, which was killed.
   * @param hear takes what has been handed over by now
   */
  async attachAgain(hear: () => void): Promise<void> {
    for (const id of this.#containers.ids()) {
      if (this.#has(id)) continue;
      try {
        using place = await this.#containers.reach(id);
        // whoever starts one hands it over before it is known to run; made again here, those sockets would get nothing
        hear();
        if (place && !this.#has(id)) this.#attach(id, interceptAt(place, familiesOfHost(), false));
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  #has(id: string): boolean {
    return this.#ways.values().some(({ container }) => container === id);
  }

  /** What the gateway tells. */
  take(message: FromGateway): void {
    if (message.kind !== "denied" && message.kind !== "traffic") return;
    const way = this.#ways.get(message.way);
    if (!way) return;
    if (message.kind === "traffic") return void (way.traffic = message.traffic);
    for (const denied of message.denials) {
      const { count, ...what } = denied;
      const key = JSON.stringify(what);
      const same = way.denials.get(key);
      if (same) same.count += count;
      else if (way.denials.size < MOST_TOLD) way.denials.set(key, denied);
      else way.more += count;
    }
    if (!way.isResting) this.#tell(way);
  }

  /** At once; what comes in the time after that is told together. */
  #tell(way: Way): void {
    if (way.denials.size === 0) return;
    try {
      this.#containers.denied(way.container, [...way.denials.values()], way.more);
    } catch (error) {
      this.#failed(error);
    }
    way.denials.clear();
    way.more = 0;
    way.isResting = true;
    this.#loop.after(TELL_MS, () => {
      way.isResting = false;
      this.#tell(way);
    });
  }

  #attach(container: string, sockets: WaySockets): void {
    for (const [number, way] of this.#ways) if (way.container === container) this.#end(number);
    const found = this.#containers.find(container);
    if (!found) return closeAll(listSockets(sockets));
    const number = ++this.#last;
    this.#ways.set(number, {
      container,
      told: JSON.stringify(found),
      denials: new Map(),
      traffic: undefined,
      more: 0,
      isResting: false,
    });
    this.#gateway().take({ kind: "attach", way: number, sockets, settings: settingsFor(found) });
  }

  #end(number: number): void {
    const way = this.#ways.get(number);
    // what it was denied in the end is told with it
    this.#gateway().take({ kind: "detach", way: number });
    if (way) this.#tell(way);
    this.#ways.delete(number);
  }
}

const settingsFor = ({ policy, limits }: ContainerWay): WaySettings =>
  settingsOf({ rules: compilePolicy(policy), limits });
