/**
 * Sandboxes in networks that have names: those of the store, where containers are as well. A sandbox gives back what it
 * has there when it ends; where its program is killed, whoever uses the networks next does.
 * @module
 */
import { effectiveUid, readKernelFile } from "../../syscalls/index.ts";
import { callVerb } from "../launch/index.ts";
import type { Bandwidth, bytesThrough, NetworkRecord, Networks, OpenNamespace } from "../network/index.ts";
import type { State } from "../state/index.ts";
import { defaultRoot, holdBox, type HeldBox } from "../store/index.ts";
import { bandwidthOf } from "./bandwidth.ts";
import { networkNames } from "./namespaces.ts";
import type { MountOption } from "./options.ts";
import type { Request } from "./stacked-root.ts";

const FILE_MODE = 0o644;
const SHORT = 12;
const FILES = { hosts: "/etc/hosts", resolv: "/etc/resolv.conf" } as const;
const EMPTY = new Uint8Array();

/** What a sandbox has in networks. */
export class Membership {
  /** By the names of networks, once it has joined them. */
  readonly addresses: Record<string, string[]> = {};
  /** What the sandbox is asked for then. */
  readonly request: Request;
  readonly #names: string[];
  readonly #root: string;
  readonly #box: HeldBox;
  readonly #files: (keyof typeof FILES)[];
  #found: NetworkRecord[] = [];
  #networks: Networks | undefined;
  #state: State | undefined;
  #bytesThrough: typeof bytesThrough = () => ({ inBytes: 0, outBytes: 0 });
  /** What is being done, or has failed; nothing is undone before. */
  #work: Promise<void> | undefined;
  #left: Promise<void> | undefined;

  private constructor(names: string[], request: Request, root: string) {
    this.#names = names;
    this.#root = root;
    this.#box = holdBox(root);
    const { mounts = [] } = request;
    const isOwn = (request.namespaces?.mount ?? "private") === "private";
    const all = Object.keys(FILES) as (keyof typeof FILES)[];
    // but for those that are mounted anyway
    this.#files = isOwn ? all.filter((name) => !mounts.some((mount) => mount?.target === FILES[name])) : [];
    for (const name of this.#files) this.#box.directory.replace(name, EMPTY, FILE_MODE);
    const { path } = this.#box.directory;
    const own = this.#files.map((name): MountOption => {
      const file = { type: "bind" as const, source: `${path}/${name}`, target: FILES[name] };
      // an image's programs may write them, as in Docker
      return request.stack ? file : { ...file, readOnly: true };
    });
    this.request = { ...request, mounts: [...own, ...mounts] };
  }

  /**
   * A place for a sandbox that is about to be made; undefined where it asks for no network by its name.
   * @param root of the store @throws TsboxError `store_unavailable`
   */
  static of(request: Request, root = defaultRoot()): Membership | undefined {
    if (request.network === undefined || request.network === false) return undefined;
    const names = networkNames(request);
    return names.length === 0 ? undefined : new Membership(names, request, root);
  }

  /** Addresses, and what the sandbox knows of names. @throws TsboxError `network_not_found`, `limit_unavailable` */
  join(): Promise<void> {
    return this.#doing(() => this.#join());
  }

  /** @param namespace its network namespace */
  plugIn(namespace: OpenNamespace): Promise<void> {
    return this.#doing(async () => {
      const { id } = this.#box;
      for (const network of this.#found) await this.#networks?.raise(network.id, id);
      for (const [index, network] of this.#found.entries())
        await this.#networks?.plugIn(network.id, id, namespace.namespace, index === 0, namespace.pid);
    });
  }

  /** What has gone in and out. @param pid of its init, on the host */
  traffic(pid: number): { inBytes: number; outBytes: number } {
    return this.#bytesThrough(readKernelFile(`/proc/${pid}/net/dev`) ?? "");
  }

  async pace(bandwidth: Bandwidth): Promise<void> {
    await this.#networks?.pace(this.#box.id, bandwidth);
  }

  /** More calls do no harm. */
  leave(): Promise<void> {
    return (this.#left ??= this.#leave());
  }

  #doing(act: () => Promise<void>): Promise<void> {
    const work = this.#work ? this.#work.then(act) : act();
    // whoever waits is told
    work.catch(() => {});
    return (this.#work = work);
  }

  async #join(): Promise<void> {
    const network = await import("../network/index.ts");
    const { bareAddresses, hasNames, Networks } = network;
    this.#bytesThrough = network.bytesThrough;
    const { State } = await import("../state/index.ts");
    const state = (this.#state = new State(this.#root));
    const networks = (this.#networks = new Networks(() => state, undefined, ...(await servers(this.#root))));
    for (const name of this.#names) this.#found.push(await networks.named(name));
    const { id } = this.#box;
    const name = this.request.hostname ?? id.slice(0, SHORT);
    const bandwidth = bandwidthOf(this.request.limits ?? {});
    for (const [index, { id: networkId, name: networkName }] of this.#found.entries()) {
      const joining = { container: id, box: true as const, name, inside: `eth${index}`, bandwidth };
      this.addresses[networkName] = bareAddresses(networks.claim(networkId, joining, []));
    }
    const own = this.#found.find(hasNames)?.subnets[0]?.gateway;
    const { hostname = "tsbox" } = this.request;
    const lines = Object.values(this.addresses).flatMap((all) => all.map((address) => `${address}\t${hostname}\n`));
    const contents = {
      hosts: `${network.LOOPBACK_HOSTS}${lines.join("")}${network.neighbourHosts(this.#found, id)}`,
      resolv: network.resolvConf(readKernelFile("/etc/resolv.conf") ?? "", { own }),
    };
    // the files themselves may be mounted by now
    for (const name of this.#files) this.#box.directory.rewrite(name, new TextEncoder().encode(contents[name]));
  }

  async #leave(): Promise<void> {
    // at once where there is nothing else
    if (!this.#work) return this.#box[Symbol.dispose]();
    await this.#work.catch(() => {});
    try {
      await this.#networks?.leave(this.#box.id);
    } finally {
      this.#box[Symbol.dispose]();
      this.#state?.[Symbol.dispose]();
    }
  }
}

/** Who keeps networks, and answers for names in them. */
async function servers(root: string) {
  const { NetdKeeper, NetdWatcher } = await import("../netd/index.ts");
  const command = () => callVerb(root, "network", "netd");
  const keeper = effectiveUid() === 0 ? undefined : new NetdKeeper(() => root, command);
  return [keeper, new NetdWatcher(() => root, command)] as const;
}
