/** The network of a box that has a policy: what is decided, answered and told on this side of the gateway. @module */
import type { Gateway, Traffic, WayLimits } from "../gateway/index.ts";
import { Asking, compilePolicy, DeniedList, HostAddresses } from "../policy/index.ts";
import type { DeniedEntry, NetworkPolicy, Question, Rules, Verdict } from "../policy/index.ts";
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { WantedPort } from "../ip/index.ts";
import { invalid } from "../options/index.ts";
import { HostServers } from "./host-servers.ts";
import { InsidePorts } from "./inside-ports.ts";
import type { Networking } from "./launch.ts";
import { startPasta } from "./pasta.ts";
import { PublishedPorts, type PublishedPort } from "./published-ports.ts";

/**
 * @example
 * ```ts
 * await using box = await Sandbox.create({ network: { allow: ["packages.example.com"] } });
 * await box.network.update({ allow: [] });
 * console.log(box.network.denied); // []
 * ```
 */
export class BoxNetwork {
  readonly #addresses = new HostAddresses();
  readonly #servers = new HostServers();
  readonly #asking = new Asking();
  readonly #denied = new DeniedList();
  #policy: NetworkPolicy | undefined;
  #rules: Rules | undefined;
  #gateway: Gateway | undefined;
  #published: PublishedPorts | undefined;
  #inside: InsidePorts | undefined;
  #limits: WayLimits;
  #traffic: Traffic = { inBytes: 0, outBytes: 0, isSpent: false };
  readonly #isPastas: boolean;
  #isClosed = false;
  /** @internal Called when all of `limits.traffic` has been used. */
  spent: () => void = () => {};

  /** @internal @throws TsboxError `invalid_option`, `limit_unavailable` */
  constructor(
    policy: NetworkPolicy | undefined,
    ports: readonly WantedPort[] = [],
    limits: WayLimits = {},
    pasta = false,
  ) {
    this.#limits = limits;
    this.#isPastas = pasta;
    if (policy) {
      this.#policy = policy;
      this.#rules = compilePolicy(policy, this.#addresses);
      this.#servers.update(policy, this.#rules);
    }
    if (ports.length > 0) this.#published = new PublishedPorts(ports);
  }

  /** Whether there is one, and so a way out. */
  get hasPolicy(): boolean {
    return this.#policy !== undefined;
  }

  /** @internal What makes the network of the sandbox ready, while it waits for that. */
  get networking(): Networking | undefined {
    if (!this.#policy && !this.#published && !this.#isPastas) return undefined;
    // not loaded for those who have no policy, and begun while the sandbox is being made
    const loaded = this.#policy || this.#published ? import("../gateway/index.ts") : undefined;
    void loaded?.then(({ beginGateway }) => beginGateway()).catch(() => {});
    return async (sockets) => {
      // before they are another's
      if (this.#published) this.#inside = new InsidePorts(sys.networkOf(sockets.tcp4));
      let endPasta = () => {};
      if (this.#policy && loaded) this.#attach(await loaded, sockets);
      else if (this.#isPastas) endPasta = await startPasta(sockets);
      else for (const fd of Object.values(sockets)) sys.close(fd);
      if (this.#inside) await this.#published?.open(this.#inside);
      return () => {
        void this.#gateway?.end();
        this.#inside?.close();
        endPasta();
      };
    };
  }

  #attach({ attachGateway }: typeof import("../gateway/index.ts"), sockets: Parameters<Networking>[0]): void {
    this.#gateway = attachGateway(sockets, {
      rules: this.#rules,
      handlers: this.#servers.paths(),
      ask: (question) => this.#ask(question),
      limits: this.#limits,
      traffic: (traffic) => this.#count(traffic),
      denied: (denials) => denials.forEach(({ count, ...denial }) => this.#denied.add(denial, count)),
    });
  }

  /** Where its ports are reached from outside. */
  get ports(): PublishedPort[] {
    return this.#published?.list() ?? [];
  }

  /**
   * What was denied, and by what: different things, the latest last; how often is counted. The last thousand. All that a
   * process was denied is there when its result is.
   */
  get denied(): DeniedEntry[] {
    return this.#denied.list();
  }

  /**
   * Replaces the policy, which holds when this is done. What it denies and is connected already is disconnected.
   * @throws TsboxError `invalid_option` also for a box that was made without one, as it has no way out; `sandbox_closed`
   */
  async update(policy: NetworkPolicy): Promise<void> {
    if (!this.#policy) throw invalid("update the network policy: the sandbox was made without one", "network: {}");
    if (this.#isClosed)
      throw new TsboxError("update the network policy: the sandbox has ended", { code: "sandbox_closed" });
    const rules = compilePolicy(policy, this.#addresses);
    const closeOthers = this.#servers.update(policy, rules);
    [this.#policy, this.#rules] = [policy, rules];
    this.#gateway?.update(rules, this.#servers.paths(), this.#limits);
    await this.#gateway?.flush();
    closeOthers();
  }

  /** @internal From now on. */
  limit(limits: WayLimits): void {
    this.#limits = { ...this.#limits, ...limits };
    this.#gateway?.update(this.#rules, this.#servers.paths(), this.#limits);
  }

  /** @internal What has gone in and out; undefined where nothing is led out this way. */
  get traffic(): Traffic | undefined {
    return this.#policy && this.#traffic;
  }

  #count(traffic: Traffic): void {
    const { isSpent } = this.#traffic;
    this.#traffic = traffic;
    if (traffic.isSpent && !isSpent) this.spent();
  }

  async #ask(question: Question): Promise<Verdict> {
    const { connect } = this.#policy ?? {};
    // the policy has been replaced by one that asks nobody
    if (!connect) return { allowed: false, rule: "connect: nobody is asked any more" };
    return this.#asking.ask(connect, question);
  }

  /** @internal Waits until all that was denied is known. */
  async flush(): Promise<void> {
    await this.#gateway?.flush();
  }

  /** @internal The same, and ends. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#gateway?.end();
    this.#servers.close();
    this.#published?.close();
    this.#inside?.close();
  }
}
