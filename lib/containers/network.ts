/** The network of another container, which two or more then have together: `container:NAME`. @module */
import { close, effectiveUid, TsboxError } from "../../syscalls/index.ts";
import type { RunOptions } from "../sandbox/index.ts";
import { find } from "./find.ts";
import type { Home } from "./home.ts";
import type { ContainerOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";
import { connectPidfd } from "./supervisor.ts";

/** Whose it is: `"container:web"`. */
export const otherOf = (network: ContainerOptions["network"]): string | undefined =>
  typeof network === "string" && network.startsWith("container:") ? network.slice("container:".length) : undefined;

type Joined = Pick<RunOptions, "network" | "namespaces">;

/**
 * In place of what was asked for; undefined where that is no container. An ordinary user has its user namespace as well:
 * without, nobody may join its network.
 * @throws TsboxError `container_not_found`, `container_state`
 */
export function networkOf(home: Home, { id, options }: ContainerRecord): Joined | undefined {
  const name = otherOf(options.network);
  if (name === undefined) return undefined;
  const other = find(home, name);
  if (other.id === id) throw new TsboxError("cannot join own network namespace", { code: "invalid_option" });
  const pidfd = connectPidfd(home, other.id);
  if (pidfd === undefined)
    throw new TsboxError(`cannot join network namespace of a non running container: ${other.name}`, {
      code: "container_state",
      hint: `tsbox start ${other.name}`,
    });
  close(pidfd);
  if (other.options.network === "host") return { network: "host" };
  const namespaces = `/proc/${other.pid}/ns`;
  const joined: Joined = { network: `ns:${namespaces}/net` };
  if (effectiveUid() === 0 || options.namespaces?.user !== undefined) return joined;
  return { ...joined, namespaces: { ...options.namespaces, user: `ns:${namespaces}/user` } };
}

/** What cannot be said of a network that is another's, in Docker's words. @throws TsboxError `invalid_option` */
export function checkShared({ network, addHosts, dns, dnsSearch, dnsOptions, hostname }: ContainerOptions): void {
  if (otherOf(network) === undefined) return;
  const refuse = (what: string) => {
    throw new TsboxError(`conflicting options: ${what} and the network mode`, { code: "invalid_option" });
  };
  if (hostname !== undefined) refuse("hostname");
  if ((dns ?? dnsSearch ?? dnsOptions) !== undefined) refuse("dns");
  if (addHosts !== undefined && addHosts.length > 0) refuse("custom host-to-IP mapping");
}
