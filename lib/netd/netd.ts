/**
 * What runs in the background as long as containers are in networks with names, and ends by itself with the last of them.
 * One thread, which stands still in the kernel while nothing happens.
 *
 * Whoever plugs a container in holds the lock of the networks, makes the sockets, and hands them over, or starts another
 * one where there is none. It ends with the same lock, having looked once more, so nothing is handed over to nobody. What
 * it knows it reads in the records; killed, it leaves nothing, and the next one finds all that it needs there.
 * @module
 */
import {
  closeAll,
  Directory,
  duplicate,
  effectiveUid,
  raiseSoftLimit,
  softLimit,
  write,
  writeKernelFile,
  type TsboxError,
} from "../../syscalls/index.ts";
import { GatewayThread, type FromGateway } from "../gateway/index.ts";
import { Forwarder, NameServer, Resolver } from "../dns/index.ts";
import { Loop } from "../loop/index.ts";
import { NetworkNamespace } from "../netns/index.ts";
import {
  tryLockNetworks,
  type Keeper,
  type NameSockets,
  type NetworkRecord,
  type Networks,
  type Watcher,
} from "../network/index.ts";
import type { State } from "../state/index.ts";
import { addressKey, askersOf, type Askers } from "./askers.ts";
import { Control, SOCKET, type Answer, type Request } from "./control.ts";
import { MachineServers } from "./machine-servers.ts";
import { NAME } from "./client.ts";
import { NAMESPACE } from "./keeper.ts";
import { isNeeded } from "./needed.ts";
import { Policies, type WaysOfContainers } from "./policies.ts";
import { VERBS } from "./verbs.ts";
import { WayOut } from "./way-out.ts";

/** Somebody may have been killed before he could tell. */
const LOOK_AGAIN_MS = 10_000;
/** Another process tells the kernel of networks. */
const BUSY_MS = 50;
/** Of its log. */
const MOST_FAILURES = 100;
const STDERR = 2;
const RLIMIT_NOFILE = 7;

export interface NetdOptions {
  root: string;
  /** The socket that listens, taken over. */
  listener: number;
  state: State;
  /** The networks of the store, as somebody sees them who is told of them. */
  networks: (watcher: Watcher, keeper: Keeper | undefined) => Networks;
  /** Servers that a container was given. */
  dns: (container: string) => readonly string[] | undefined;
  ways: WaysOfContainers;
}

export class Netd {
  readonly loop = new Loop((error) => this.#failed(error));
  /** What is kept for others, by name. */
  readonly kept = new Map<string, number[]>();
  readonly #root: string;
  readonly #state: State;
  readonly #networks: Networks;
  readonly #dns: NetdOptions["dns"];
  readonly #control: Control;
  readonly #forwarder = new Forwarder(this.loop);
  readonly #machine = new MachineServers();
  readonly #server: NameServer;
  readonly #served = new Map<string, Disposable>();
  readonly #identity: string | undefined;
  readonly #policies: Policies;
  #gateway: GatewayThread | undefined;
  #wayOut: WayOut | undefined;
  /** Why an ordinary user's networks have none: for who makes one. */
  withoutWayOut: string | undefined;
  #askers = new Map<string, Askers>();
  #isLooking = false;
  #isOver = false;
  #failures = 0;

  constructor({ root, listener, state, networks, dns, ways }: NetdOptions) {
    this.#root = root;
    this.#state = state;
    this.#dns = dns;
    const watcher: Watcher = { raised: (network, _, open) => this.#raised(network, open), changed: () => {} };
    this.#networks = networks(watcher, effectiveUid() === 0 ? undefined : this.#keeper);
    const find = (network: string, address: Uint8Array) => this.#askers.get(network)?.get(addressKey(address));
    this.#server = new NameServer(this.loop, new Resolver(this.#forwarder), find);
    this.#policies = new Policies(
      this.loop,
      () => this.#carrier(),
      ways,
      (error) => this.#failed(error),
    );
    this.#identity = this.#place();
    this.#control = new Control(this.loop, listener, (request, fds) => this.#handle(request, fds));
  }

  /** Of the namespace of an ordinary user's networks: whoever has made it hands it over. */
  readonly #keeper: Keeper = {
    find: () => {
      const [namespace] = this.kept.get(NAMESPACE) ?? [];
      return Promise.resolve(namespace === undefined ? undefined : duplicate(namespace));
    },
    keep: (namespace) => Promise.resolve(this.keep(NAMESPACE, [duplicate(namespace)])),
    ready: () => {},
  };

  /** Until it is not needed any more. */
  async run(): Promise<void> {
    writeKernelFile("/proc/self/comm", NAME);
    raiseSoftLimit(RLIMIT_NOFILE);
    this.#control.takeAll();
    this.#read();
    this.#lookSoon(0);
    const again = () => {
      this.#look();
      this.loop.after(LOOK_AGAIN_MS, again);
    };
    this.loop.after(LOOK_AGAIN_MS, again);
    while (!this.#isOver) {
      this.loop.run();
      if (this.#isLooking) await this.#lookAround();
    }
    for (const each of [this.#wayOut, this.#policies]) each?.[Symbol.dispose]();
    for (const each of [this.#server, this.#forwarder, this.#control, this.loop]) each[Symbol.dispose]();
    for (const fds of this.kept.values()) closeAll(fds);
  }

  /** Takes sockets of a network over. */
  serve(network: string, sockets: NameSockets): void {
    this.#served.get(network)?.[Symbol.dispose]();
    this.#served.set(network, this.#server.serve(network, sockets));
    this.changed();
  }

  /** Keeps descriptors for others. The namespace of networks gets a way out. */
  keep(name: string, fds: readonly number[]): void {
    closeAll(this.kept.get(name) ?? []);
    this.kept.set(name, [...fds]);
    const [namespace] = fds;
    if (name !== NAMESPACE || namespace === undefined) return;
    this.#wayOut?.[Symbol.dispose]();
    this.#wayOut = this.withoutWayOut = undefined;
    try {
      const networks = this.#list();
      this.#wayOut = new WayOut(this.loop, NetworkNamespace.joinNow(namespace), this.#carrier());
      this.#wayOut.update(networks);
      this.#wayOut.publishAgain(networks);
    } catch (error) {
      const { message, hint } = error as TsboxError;
      this.withoutWayOut = hint === undefined ? message : `${message}: ${hint}`;
      this.#failed(error);
    }
  }

  /** Opens ports of a container. @param fds bound */
  publish(container: string, fds: readonly number[]): void {
    const network = this.#list().find(({ endpoints }) => (endpoints[container]?.ports.length ?? 0) > 0);
    const endpoint = network?.endpoints[container];
    if (endpoint && this.#wayOut) this.#wayOut.publish(endpoint, fds);
    else closeAll(fds);
  }

  /** What has gone in and out of a container that has a policy. */
  trafficOf(container: string): { inBytes: number; outBytes: number } | undefined {
    return this.#policies.trafficOf(container);
  }

  /** The way out of a container that is about to start. @param fds its sockets */
  attach(container: string, fds: readonly number[]): void {
    this.#policies.attach(container, fds);
  }

  /** The records are not what they were. */
  changed(): void {
    this.#read();
    if (!this.#isNeeded) this.#look();
  }

  get #isNeeded(): boolean {
    return isNeeded(this.#list()) || this.#policies.areNeeded;
  }

  /** Of all ways out. */
  #carrier(): GatewayThread {
    return (this.#gateway ??= new GatewayThread(this.loop, softLimit(RLIMIT_NOFILE), (told) => this.#carried(told)));
  }

  #carried(message: FromGateway): void {
    if (message.kind === "failed") this.#failed(new Error(message.message));
    this.#wayOut?.take(message);
    this.#policies.take(message);
  }

  #handle(request: Request, fds: readonly number[]): Answer | undefined {
    const verb = Object.hasOwn(VERBS, request.verb) ? VERBS[request.verb] : undefined;
    if (verb) return verb(this, request, fds);
    closeAll(fds);
    return { line: { error: `unknown verb ${request.verb}` } };
  }

  #list(): NetworkRecord[] {
    return this.#state.networks.list<NetworkRecord>();
  }

  #read(): void {
    const networks = this.#list();
    this.#wayOut?.update(networks);
    this.#policies.update();
    this.#askers = askersOf(networks, this.#dns, () => this.#machine.now());
    for (const [id, served] of this.#served) {
      const network = networks.find((each) => each.id === id);
      if (network && Object.keys(network.endpoints).length > 0) continue;
      served[Symbol.dispose]();
      this.#served.delete(id);
    }
  }

  #look(): void {
    this.#isLooking = true;
    this.loop.wake();
  }

  #lookSoon(delayMs: number): void {
    this.loop.after(delayMs, () => this.#look());
  }

  /** Whether all is as the records say, and whether there is still something to do. */
  async #lookAround(): Promise<void> {
    this.#isLooking = false;
    try {
      // somebody has taken the store away, or started another
      if (this.#place() !== this.#identity) return void (this.#isOver = true);
      if (!(await this.#networks.tellAgain())) return this.#lookSoon(BUSY_MS);
      this.#control.takeAll();
      await this.#policies.attachAgain(() => this.#control.takeAll());
      this.#read();
      if (!this.#isNeeded) this.#end();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Of networks that stand, and that nobody answers for: another one did, and was killed. */
  #raised(network: NetworkRecord, open: () => NameSockets): void {
    this.#control.takeAll();
    if (this.#served.has(network.id)) return;
    try {
      this.serve(network.id, open());
    } catch (error) {
      this.#failed(error);
    }
  }

  #end(): void {
    using held = tryLockNetworks(this.#root);
    if (!held) return this.#lookSoon(BUSY_MS);
    this.#control.takeAll();
    if (this.#isNeeded) return;
    using directory = Directory.open(this.#root);
    directory?.remove(SOCKET);
    this.#isOver = true;
    // whoever has the lock next finds nobody
    this.#control[Symbol.dispose]();
  }

  #place(): string | undefined {
    using directory = Directory.open(this.#root);
    return directory?.status(SOCKET)?.identity;
  }

  #failed(error: unknown): void {
    if (this.#failures++ >= MOST_FAILURES) return;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    write(STDERR, new TextEncoder().encode(`${new Date().toISOString()} ${text}\n`));
  }
}
