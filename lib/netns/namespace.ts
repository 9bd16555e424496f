/**
 * A network namespace that belongs to a user namespace of this user's. Its owner has all rights over it from outside: a
 * socket that was made in it, and passed out, may be bound, set and asked by him as by root inside. So what happens inside
 * is little, and an agent does it: `socket(2)`, and settings in /proc/sys, of which everybody sees his own namespace's.
 * @module
 * @see network_namespaces(7), user_namespaces(7), netlink(7)
 */
import * as sys from "../../syscalls/index.ts";
import { cstring, Descriptors, Netlink, netlinkSocket, ref } from "../../syscalls/index.ts";
import { Agent } from "./agent.ts";

/** `NS_GET_USERNS`: whose a namespace is. @see ioctl_nsfs(2) */
const NS_GET_USERNS = 0xb701;
const [O_WRONLY, O_CLOEXEC, AT_FDCWD] = [1, 0o2000000, -100];

export class NetworkNamespace implements Disposable {
  readonly #agent: Agent;
  readonly #descriptor: number;

  private constructor(agent: Agent, descriptor: number) {
    this.#agent = agent;
    this.#descriptor = descriptor;
  }

  /**
   * A new one, with nobody in it: it is there as long as somebody has a descriptor of it.
   * @throws TsboxError `permission_denied`
   */
  static async make(): Promise<NetworkNamespace> {
    const agent = await Agent.start();
    const own = agent.pass({ call: "openat", args: [AT_FDCWD, cstring("/proc/self/ns/net"), O_CLOEXEC], out: "fd" });
    if (own >= 0) return new NetworkNamespace(agent, own);
    agent.end();
    throw sys.systemError("open the network namespace", "openat", -own);
  }

  /**
   * One that is there.
   * @param network a descriptor of it, which stays the caller's @throws TsboxError `permission_denied`
   */
  static async join(network: number): Promise<NetworkNamespace> {
    using opened = new Descriptors();
    const user = opened.add(ownerOf(network));
    // before anybody can close it
    const own = sys.duplicate(network);
    try {
      return new NetworkNamespace(await Agent.start({ user, network: own }), own);
    } catch (error) {
      sys.close(own);
      throw error;
    }
  }

  /** The same for who cannot wait, and is told less where it fails. @throws TsboxError `system` */
  static joinNow(network: number): NetworkNamespace {
    using opened = new Descriptors();
    const agent = Agent.startNow({ user: opened.add(ownerOf(network)), network });
    return new NetworkNamespace(agent, sys.duplicate(network));
  }

  [Symbol.dispose](): void {
    sys.close(this.#descriptor);
    this.#agent.end();
  }

  /** Of the namespace, as long as this is not disposed. */
  get descriptor(): number {
    return this.#descriptor;
  }

  /** `int socket(int domain, int type, int protocol)`, in it: a descriptor, or -errno. @see socket(2) */
  socket(family: number, type: number, protocol: number): number {
    return this.#agent.pass({ call: "socket", args: [family, type | O_CLOEXEC, protocol], out: "fd" });
  }

  /** To be disposed. */
  netlink(protocol: "route" | "netfilter"): Netlink {
    const fd = this.socket(...netlinkSocket(protocol));
    if (fd < 0) throw sys.systemError("open a netlink socket", "socket", -fd);
    return new Netlink(protocol, fd);
  }

  /** Writes a setting of its own: `set("ipv4/ip_forward", "1")`. @returns 0 or -errno @see sysctl(8) */
  set(name: string, value: string): number {
    const { fd = 0, written = 0 } = this.#agent.request([
      { call: "openat", args: [AT_FDCWD, cstring(`/proc/sys/net/${name}`), O_WRONLY | O_CLOEXEC], out: "fd" },
      { call: "write", args: [ref("fd"), cstring(value), value.length], out: "written", onError: "ignore" },
      { call: "close", args: [ref("fd")] },
    ]);
    return fd < 0 ? fd : Math.min(0, written);
  }
}

/** A descriptor of the user namespace whose it is. */
const ownerOf = (network: number): number =>
  sys.syscall("find whose the network namespace is", "ioctl", network, NS_GET_USERNS);
