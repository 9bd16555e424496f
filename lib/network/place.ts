/**
 * Where the bridges are: in the network namespace of this program; those of an ordinary user in one of his own, which all
 * his networks of a store have together, and somebody keeps.
 * @module
 */
import { close, TsboxError } from "../../syscalls/index.ts";
import { inNetwork, Links, setting, type ReachedNetwork } from "../netlink/index.ts";

/** Who keeps the namespace, as long as it is needed. */
export interface Keeper {
  /** A descriptor of it, which is the caller's then; undefined where there is none. */
  find(): Promise<number | undefined>;
  /** @param namespace a descriptor, which stays the caller's */
  keep(namespace: number): Promise<void>;
  /** Waits until whoever keeps it has heard of all that was told. */
  ready(): void;
}

/** As long as somebody has the lock of the networks. */
export class Place implements Disposable {
  readonly #keeper: Keeper | undefined;
  #reached: (ReachedNetwork & Disposable) | undefined;

  /** @param keeper without one, it is where this program is */
  constructor(keeper: Keeper | undefined) {
    this.#keeper = keeper;
  }

  [Symbol.dispose](): void {
    this.#reached?.[Symbol.dispose]();
    this.#reached = undefined;
  }

  /** @returns whether it is there */
  async find(): Promise<boolean> {
    if (!this.#keeper || this.#reached) return true;
    const found = await this.#keeper.find();
    if (found === undefined) return false;
    try {
      const { NetworkNamespace } = await import("../netns/index.ts");
      this.#reached = await NetworkNamespace.join(found);
    } finally {
      close(found);
    }
    return true;
  }

  /** @returns whether it is new @throws TsboxError `permission_denied` */
  async make(): Promise<boolean> {
    if (await this.find()) return false;
    const { NetworkNamespace } = await import("../netns/index.ts");
    const made = await NetworkNamespace.make();
    this.#reached = made;
    this.within(prepare);
    await this.#keeper?.keep(made.descriptor);
    return true;
  }

  /** Acts on it; nothing may be awaited meanwhile. */
  within<T>(act: () => T): T {
    if (!this.#keeper) return act();
    if (!this.#reached) throw new TsboxError("reach the namespace of the networks: there is none", { code: "system" });
    return inNetwork(this.#reached, act);
  }
}

/** Nobody but this user is in it, so nothing that neighbours say is to be believed. */
function prepare(): void {
  using links = new Links();
  setting("ipv6/conf/default/accept_ra", "0");
  setting("ipv6/conf/default/accept_dad", "0");
  // where it is on, packets are filtered in the bridge, before anybody sees them who waits for what goes out
  for (const of of ["ip", "ip6", "arp"]) setting(`bridge/bridge-nf-call-${of}tables`, "0");
  links.change(links.indexOf("lo"), { up: true }, "bring the loopback interface up");
}
