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
  /** Where it is kept what has gone in and out of it; undefined where it has gone. */
  count(container: string): TrafficCount | undefined;
  /** All that may go in and out has gone, and is written down: it is killed. */
  spent(container: string): void;
}

type Counted = Pick<Traffic, "inBytes" | "outBytes">;

export interface TrafficCount extends Disposable {
  /** By who counted before. */
  read(): Counted;
  write(counted: Counted): void;
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
  traffic: Counted;
  count: TrafficCount | undefined;
  more: number;
  isResting: boolean;
  /** It has ended, or is about to. */
  isOver: boolean;
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
  trafficOf(container: string): Counted | undefined {
    return this.#ways.values().find((each) => each.container === container)?.traffic;
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
    if (message.kind === "traffic") return this.#count(way, message.traffic);
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

  #count(way: Way, traffic: Traffic): void {
    way.traffic = traffic;
    try {
      way.count?.write(traffic);
      if (!traffic.isSpent || way.isOver) return;
      way.isOver = true;
      this.#containers.spent(way.container);
    } catch (error) {
      this.#failed(error);
    }
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
    const count = this.#containers.count(container);
    const { inBytes, outBytes } = count?.read() ?? { inBytes: 0, outBytes: 0 };
    const isSpent = inBytes + outBytes >= (found.limits.trafficBytes ?? Infinity);
    const traffic = { inBytes, outBytes, isSpent };
    const way: Way = {
      container,
      told: JSON.stringify(found),
      denials: new Map(),
      traffic,
      count,
      more: 0,
      isResting: false,
      isOver: false,
    };
    this.#ways.set(number, way);
    this.#gateway().take({ kind: "attach", way: number, sockets, settings: settingsFor(found), before: traffic });
    // who counted before was killed before he could do this
    if (isSpent) this.#count(way, traffic);
  }

  #end(number: number): void {
    const way = this.#ways.get(number);
    // its next run is not to end for this one
    if (way) way.isOver = true;
    // what it was denied in the end is told with it
    this.#gateway().take({ kind: "detach", way: number });
    if (way) this.#tell(way);
    way?.count?.[Symbol.dispose]();
    this.#ways.delete(number);
  }
}

const settingsFor = ({ policy, limits }: ContainerWay): WaySettings =>
  settingsOf({ rules: compilePolicy(policy), limits });
