/**
 * Sandboxes in networks that have names: those of the store, where containers are as well. A sandbox gives back what it
 * has there when it ends; where its program is killed, whoever uses the networks next does.
 * @module
 */
import { effectiveUid, readKernelFile, type Directory } from "../../syscalls/index.ts";
import { callVerb } from "../launch/index.ts";
import type { Bandwidth, HeldBox, Keeper, NetworkRecord, Networks, Watcher } from "../network/index.ts";
import { defaultRoot } from "../store/index.ts";
import { bandwidthOf } from "./bandwidth.ts";
import { networkNames } from "./namespaces.ts";
import type { MountOption } from "./options.ts";
import type { Request } from "./stacked-root.ts";

/** What a sandbox has in networks. */
export interface Membership {
  /** By the names of networks. */
  addresses: Record<string, string[]>;
  /** What the sandbox is asked for then. */
  request: Request;
  /** @param pid of its init, on the host */
  plugIn(pid: number): Promise<void>;
  pace(bandwidth: Bandwidth): Promise<void>;
  /** What has gone in and out. @param pid of its init, on the host */
  traffic(pid: number): { inBytes: number; outBytes: number };
  /** More calls do no harm. */
  leave(): Promise<void>;
}

const FILE_MODE = 0o644;
const SHORT = 12;

/**
 * Addresses for a sandbox that is about to be made; undefined where it asks for no network by its name.
 * @param root of the store
 * @throws TsboxError `network_not_found`, `limit_unavailable`
 */
export async function joinNetworks(request: Request, root = defaultRoot()): Promise<Membership | undefined> {
  const names = networkNames(request);
  if (names.length === 0) return undefined;
  const { bareAddresses, bytesThrough, DEFAULT_NETWORK, hasNames, Networks } = await import("../network/index.ts");
  const { State } = await import("../state/index.ts");
  const state = new State(root);
  const networks = new Networks(() => state, undefined, ...(await servers(root)));
  let held: HeldBox | undefined;
  try {
    const found: NetworkRecord[] = [];
    for (const name of names) found.push(name === DEFAULT_NETWORK ? await networks.default() : networks.get(name));
    const box = (held = await networks.holdBox());
    const { id, directory } = box;
    const name = request.hostname ?? id.slice(0, SHORT);
    const addresses: Record<string, string[]> = {};
    const bandwidth = bandwidthOf(request.limits ?? {});
    for (const [index, { id: network, name: networkName }] of found.entries()) {
      const joining = { container: id, box: true as const, name, inside: `eth${index}`, bandwidth };
      const endpoint = networks.claim(network, joining, []);
      addresses[networkName] = bareAddresses(endpoint);
    }
    return {
      addresses,
      request: {
        ...request,
        mounts: [
          ...filesFor(directory, request, Object.values(addresses).flat(), found.find(hasNames)?.subnets[0]?.gateway),
          ...(request.mounts ?? []),
        ],
      },
      plugIn: (pid) => plugIn(networks, found, id, pid),
      pace: (now) => networks.pace(id, now),
      traffic: (pid) => bytesThrough(readKernelFile(`/proc/${pid}/net/dev`) ?? ""),
      leave: async () => {
        if (!held) return;
        held = undefined;
        await leave(networks, box, state);
      },
    };
  } catch (error) {
    if (held) await leave(networks, held, state);
    else state[Symbol.dispose]();
    throw error;
  }
}

/** Who keeps networks, and answers for names in them. */
async function servers(root: string): Promise<[keeper: Keeper | undefined, watcher: Watcher]> {
  const { NetdKeeper, NetdWatcher } = await import("../netd/index.ts");
  const command = () => callVerb(root, "network", "netd");
  const keeper = effectiveUid() === 0 ? undefined : new NetdKeeper(() => root, command);
  return [keeper, new NetdWatcher(() => root, command)];
}

async function leave(networks: Networks, held: HeldBox, state: Disposable): Promise<void> {
  try {
    await networks.leave(held.id);
  } finally {
    held[Symbol.dispose]();
    state[Symbol.dispose]();
  }
}

async function plugIn(networks: Networks, found: readonly NetworkRecord[], id: string, pid: number): Promise<void> {
  for (const network of found) await networks.raise(network.id, id);
  const { namespaceOf } = await import("../network/index.ts");
  using own = await namespaceOf(pid);
  for (const [index, network] of found.entries())
    await networks.plugIn(network.id, id, own.namespace, index === 0, own.pid);
}

const FILES = { hosts: "/etc/hosts", resolv: "/etc/resolv.conf" };

/**
 * What it knows of names: its own, and who is asked for others.
 * @param nameServer whoever answers in its networks; without, the machine's @returns but for those that are mounted anyway
 */
function filesFor(
  directory: Directory,
  request: Request,
  addresses: string[],
  nameServer: string | undefined,
): MountOption[] {
  if ((request.namespaces?.mount ?? "private") !== "private") return [];
  const { hostname = "tsbox", mounts = [] } = request;
  const own = addresses.map((address) => `${address}\t${hostname}\n`);
  const contents = {
    hosts: `127.0.0.1\tlocalhost\n::1\tlocalhost\n${own.join("")}`,
    resolv: nameServer === undefined ? ofMachine() : `nameserver ${nameServer}\noptions ndots:0\n`,
  };
  return (["hosts", "resolv"] as const).flatMap((name): MountOption[] => {
    const target = FILES[name];
    if (mounts.some((mount) => mount?.target === target)) return [];
    directory.replace(name, new TextEncoder().encode(contents[name]), FILE_MODE);
    return [{ type: "bind", source: `${directory.path}/${name}`, target, readOnly: true }];
  });
}

/** The machine's own servers, but for those that only it reaches. */
function ofMachine(): string {
  const lines = (readKernelFile("/etc/resolv.conf") ?? "").split("\n");
  const found = lines.flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
  return found
    .filter((address) => !/^(127\.|::1$)/.test(address))
    .map((address) => `nameserver ${address}\n`)
    .join("");
}
