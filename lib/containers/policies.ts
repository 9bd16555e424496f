/** Containers with a policy: what leads out of them is made when they start, and kept by netd. @module */
import { closeAll, trySyscall } from "../../syscalls/index.ts";
import { familiesOfHost, interceptAt, listSockets, type Denied, type Place } from "../gateway/index.ts";
import { callVerb } from "../launch/index.ts";
import { askNetd, tellNetd, tellOrStart, type WaysOfContainers } from "../netd/index.ts";
import { inNetwork } from "../netlink/index.ts";
import { lockNetworks, namespaceOf } from "../network/index.ts";
import { wayLimitsOf } from "../sandbox/index.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import { networkPolicyOf } from "./network-options.ts";
import { unlessEnded, type Joined } from "./networks.ts";
import { isUp, pidOf, reconciled, UP } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";
import { sendToContainer } from "./signals.ts";
import { TrafficFile } from "./traffic-file.ts";

const SIGKILL = 9;
const ACTION = "lead out by a policy";

const commandOf = (home: Home) => () => callVerb(home.root, "network", "netd");

/** What makes the network of a container ready that is about to start: all is there before its command begins. */
export function joinPolicy(home: Home, { id }: ContainerRecord): Joined {
  return {
    sockets: [],
    forget() {},
    async networked(reached) {
      const pid = await reached;
      using place = pid === undefined ? undefined : await placeOf(pid);
      if (!place) return;
      using directory = home.directory(id);
      if (directory) TrafficFile.make(directory);
      const sockets = listSockets(interceptAt(place, familiesOfHost(), true));
      try {
        // nobody takes netd for needless before it has heard of this
        using _ = await lockNetworks(home.root);
        tellOrStart(home.root, commandOf(home), ACTION, { verb: "attach", container: id }, sockets);
      } finally {
        closeAll(sockets);
      }
    },
  };
}

/** It has ended. */
export const leavePolicy = (home: Home): void => void tellNetd(home.root, { verb: "changed" });

/** The record says otherwise now, and that counts when this is done. */
export async function tellPolicy(home: Home): Promise<void> {
  if (!askNetd(home.root, { verb: "update" })) await beginNetd(home);
}

/** What has gone in and out of a container that has a policy, as netd has counted it. */
export function policyTraffic(home: Home, container: string): { inBytes: number; outBytes: number } {
  const answer = askNetd(home.root, { verb: "traffic", container });
  closeAll(answer?.fds ?? []);
  const told = JSON.parse(new TextDecoder().decode(answer?.bytes) || "{}") as { inBytes?: number; outBytes?: number };
  return { inBytes: told.inBytes ?? 0, outBytes: told.outBytes ?? 0 };
}

/** Where there is none. It looks by itself for what there is to do, and ends where that is nothing. */
export async function beginNetd(home: Home): Promise<void> {
  using _ = await lockNetworks(home.root);
  tellOrStart(home.root, commandOf(home), ACTION, { verb: "changed" });
}

/** For netd. */
export const waysAt = (home: Home): WaysOfContainers => ({
  find(id) {
    const record = home.state.containers.get<ContainerRecord>(id);
    const now = record && reconciled(home, record);
    const policy = now && isUp(now) ? networkPolicyOf(now.options) : undefined;
    return policy && { policy, limits: wayLimitsOf(now?.options ?? {}) };
  },
  ids: () =>
    home.state.containers
      .where<ContainerRecord>("status", UP)
      .filter(({ options }) => networkPolicyOf(options) !== undefined)
      .map(({ id }) => id)
      .filter((id) => isStillUp(home, id)),
  async reach(id) {
    const pid = pidOf(home, id);
    const place = pid === undefined ? undefined : await placeOf(pid);
    // its number may be another's by now
    const isSame = pidOf(home, id) === pid;
    // and whoever starts it makes its sockets himself
    const isStarting = home.state.containers.get<ContainerRecord>(id)?.status === "starting";
    if (place && isSame && !isStarting) return place;
    place?.[Symbol.dispose]();
    return undefined;
  },
  denied: (id, denials, more) => tellDenied(home, id, denials, more),
  count(id) {
    using directory = home.directory(id);
    return directory && TrafficFile.open(directory);
  },
  // the count says why, to whoever finds that it has ended
  spent: (id) => void sendToContainer(home, id, SIGKILL),
});

function isStillUp(home: Home, id: string): boolean {
  const record = home.state.containers.get<ContainerRecord>(id);
  const now = record && reconciled(home, record);
  return now !== undefined && isUp(now);
}

/** @param more different ones that nobody is told of: whoever is denied all the time does not fill the store */
function tellDenied(home: Home, id: string, denials: readonly Denied[], more: number): void {
  home.state.transaction(() => {
    const record = home.state.containers.get<ContainerRecord>(id);
    if (!record) return;
    for (const [index, denied] of denials.entries()) {
      const told = Object.entries(denied).map(([name, value]) => [name, String(value)]);
      const isLast = index === denials.length - 1;
      const attributes = { ...Object.fromEntries(told), ...(isLast && more > 0 && { more: String(more) }) };
      addContainerEvent(home, record, "network deny", { attributes: attributes as Record<string, string> });
    }
  });
}

/** The network namespace of a process; undefined where it has ended. @throws TsboxError `permission_denied` */
async function placeOf(pid: number): Promise<(Place & Disposable) | undefined> {
  const own = await namespaceOf(pid).catch(unlessEnded);
  if (!own) return undefined;
  const { namespace } = own;
  return {
    socket: (family, type, protocol) =>
      typeof namespace === "number"
        ? inNetwork(namespace, () => trySyscall("socket", family, type, protocol))
        : namespace.socket(family, type, protocol),
    [Symbol.dispose]: () => own[Symbol.dispose](),
  };
}
