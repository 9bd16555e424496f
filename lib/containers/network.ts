/** Namespaces of another container, which two or more then have together: `container:NAME`. @module */
import { close, effectiveUid, TsboxError } from "../../syscalls/index.ts";
import type { RunOptions } from "../sandbox/index.ts";
import { find } from "./find.ts";
import type { Home } from "./home.ts";
import type { ContainerOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";
import { connectPidfd } from "./supervisor.ts";

/** Whose it is: `"container:web"`. */
export const otherOf = (sharing: unknown): string | undefined =>
  typeof sharing === "string" && sharing.startsWith("container:") ? sharing.slice("container:".length) : undefined;

type Joined = Pick<RunOptions, "network" | "namespaces">;

/** What others say, and what it is called in Docker's words, by the file in /proc. */
const WORDS = { network: ["net", "network namespace"], pid: ["pid", "PID"], ipc: ["ipc", "IPC"] } as const;

/**
 * In place of what was asked for, where that is another container's. Its user namespace comes along: without, an
 * ordinary user may not join the others, and nobody mount what tells of its processes.
 * @throws TsboxError `container_not_found`, `container_state`
 */
export function joinedOf(home: Home, { id, options }: ContainerRecord): Joined {
  const joined: Joined = {};
  const { network, namespaces } = options;
  const asked = { network, pid: namespaces?.pid, ipc: namespaces?.ipc };
  for (const kind of ["network", "pid", "ipc"] as const) {
    const name = otherOf(asked[kind]);
    if (name === undefined) continue;
    const other = runningOf(home, id, name, WORDS[kind][1]);
    const theirs = kind === "network" ? other.options.network : other.options.namespaces?.[kind];
    const sharing = theirs === "host" ? "host" : (`ns:/proc/${other.pid}/ns/${WORDS[kind][0]}` as const);
    if (kind === "network") joined.network = sharing;
    else joined.namespaces = { ...(joined.namespaces ?? plainNamespaces(namespaces)), [kind]: sharing };
    if (theirs === "host" || namespaces?.user !== undefined || (effectiveUid() === 0 && kind === "network")) continue;
    const isOfHost = other.options.namespaces?.user === "host";
    const user = isOfHost ? "host" : (`ns:/proc/${other.pid}/ns/user` as const);
    joined.namespaces = { ...(joined.namespaces ?? plainNamespaces(namespaces)), user };
  }
  return joined;
}

/** Without those that are another container's. */
export function plainNamespaces(namespaces: ContainerOptions["namespaces"]): NonNullable<RunOptions["namespaces"]> {
  const own = Object.entries(namespaces ?? {}).filter(([, sharing]) => otherOf(sharing) === undefined);
  return Object.fromEntries(own) as NonNullable<RunOptions["namespaces"]>;
}

function runningOf(home: Home, id: string, name: string, what: string): ContainerRecord {
  const other = find(home, name);
  if (other.id === id) throw new TsboxError(`cannot join own ${what}`, { code: "invalid_option" });
  const pidfd = connectPidfd(home, other.id);
  if (pidfd === undefined)
    throw new TsboxError(`cannot join ${what} of a non running container: ${other.name}`, {
      code: "container_state",
      hint: `tsbox start ${other.name}`,
    });
  close(pidfd);
  return other;
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
