/**
 * Work in another network namespace.
 * @module
 * @see setns(2)
 */
import {
  Descriptors,
  ERRNO,
  Netlink,
  O_RDONLY,
  open,
  openSocket,
  readKernelFile,
  socketArguments,
  syscall,
  TsboxError,
  writeKernelFile,
} from "../../syscalls/index.ts";

const CLONE_NEWNET = 0x40000000;

/** A network namespace that this process may not enter, but reaches. */
export interface ReachedNetwork {
  /** A descriptor of the namespace. */
  descriptor: number;
  /** A socket of its own, to be disposed. */
  netlink(protocol: "route" | "netfilter"): Netlink;
  /** `socket(2)` in it: a descriptor, or -errno. */
  socket(family: number, type: number, protocol: number): number;
  /** @returns 0 or -errno */
  set(name: string, value: string): number;
}

let reached: ReachedNetwork | undefined;

/**
 * This thread is in it meanwhile, or acts as if it were, so nothing may be awaited; no other code runs on it.
 * @param namespace a descriptor, or what reaches it
 */
export function inNetwork<T>(namespace: number | ReachedNetwork, act: () => T): T {
  if (typeof namespace !== "number") return through(namespace, act);
  using opened = new Descriptors();
  const own = opened.add(open("/proc/thread-self/ns/net", O_RDONLY));
  syscall("enter a network namespace", "setns", namespace, CLONE_NEWNET);
  try {
    return through(undefined, act);
  } finally {
    syscall("leave a network namespace", "setns", own, CLONE_NEWNET);
  }
}

function through<T>(namespace: ReachedNetwork | undefined, act: () => T): T {
  const before = reached;
  reached = namespace;
  try {
    return act();
  } finally {
    reached = before;
  }
}

/** Whether that is one which this process may not enter. */
export const isReached = (): boolean => reached !== undefined;

/** A socket of the network namespace that is worked in, to be disposed. @throws TsboxError `unsupported` */
export function netlinkHere(protocol: "route" | "netfilter"): Netlink {
  try {
    return reached ? reached.netlink(protocol) : new Netlink(protocol);
  } catch (error) {
    throw (error as TsboxError).errno === ERRNO.EPROTONOSUPPORT ? withoutFilter() : error;
  }
}

/** Nothing would keep networks apart. */
export const withoutFilter = (): TsboxError =>
  new TsboxError("reach the packet filter: this kernel has none", {
    code: "unsupported",
    hint: "networks need nf_tables (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT), since Linux 5.2",
  });

/** One of TCP or UDP, the same. @returns -errno where it cannot be */
export const socketHere: typeof openSocket = (protocol, family) =>
  reached ? reached.socket(...socketArguments(protocol, family)) : openSocket(protocol, family);

/** Writes a setting of the network namespace that is worked in: `setting("ipv4/ip_forward", "1")`. @returns -errno where it cannot be */
export const setting = (name: string, value: string): number =>
  reached ? reached.set(name, value) : writeKernelFile(`/proc/sys/net/${name}`, value);

/** What it is; undefined where that cannot be seen: in a namespace that is only reached. */
export const settingNow = (name: string): string | undefined =>
  reached ? undefined : readKernelFile(`/proc/sys/net/${name}`)?.trim();
