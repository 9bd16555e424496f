/** What netd is asked for. @module */
import { closeAll } from "../../syscalls/index.ts";
import type { Answer, Request } from "./control.ts";
import type { Netd } from "./netd.ts";

/** @param fds the verb's own */
type Verb = (netd: Netd, request: Request, fds: readonly number[]) => Answer | undefined;

export const VERBS: Record<string, Verb> = {
  /** Sockets of a network: those of datagrams first. */
  serve(netd, { network, udp = 0 }, fds) {
    if (network === undefined) closeAll(fds);
    else netd.serve(network, { udp: fds.slice(0, udp), tcp: fds.slice(udp) });
    return undefined;
  },
  /** The records have changed. */
  changed(netd, _, fds) {
    closeAll(fds);
    netd.changed();
    return undefined;
  },
  /** Sockets of a container that has a policy, which is about to start. */
  attach(netd, { container }, fds) {
    if (container === undefined) closeAll(fds);
    else netd.attach(container, fds);
    return undefined;
  },
  /** What has gone in and out of a container that has a policy. */
  traffic(netd, { container = "" }, fds) {
    closeAll(fds);
    return { line: netd.trafficOf(container) ?? {} };
  },
  /** As `changed`, for who waits until it counts. */
  update(netd, _, fds) {
    closeAll(fds);
    netd.changed();
    return {};
  },
  /** Keeps descriptors as long as it runs. */
  keep(netd, { name = "" }, fds) {
    netd.keep(name, fds);
    return {};
  },
  /** Ports of a container: bound sockets. */
  publish(netd, { container }, fds) {
    if (container === undefined) closeAll(fds);
    else netd.publish(container, fds);
    return undefined;
  },
  /** Passes on what it keeps, and says what its networks lack. */
  give(netd, { name = "" }, fds) {
    closeAll(fds);
    return { fds: netd.kept.get(name) ?? [], line: { withoutWayOut: netd.withoutWayOut } };
  },
};
