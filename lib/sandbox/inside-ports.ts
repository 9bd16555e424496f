/** Ports of a sandbox's loopback as Unix sockets of this process: what is connected to one is connected inside. @module */
import * as sys from "../../syscalls/index.ts";
import { findAddress, bytesOfAddress, type Address } from "../ip/index.ts";
import type { InsidePort } from "./box-fetch.ts";
import { hide } from "./hidden-socket.ts";

/** Opened when they are asked for, until the sandbox ends. */
export class InsidePorts {
  readonly #namespace: number;
  readonly #paths = new Map<string, Promise<string>>();
  readonly #closes: (() => void)[] = [];
  readonly #ended = new AbortController();
  #sockets: Promise<MakeSocket> | undefined;

  /** @param namespace a descriptor of its network namespace, which is taken over */
  constructor(namespace: number) {
    this.#namespace = namespace;
  }

  /** Aborted when it is closed, before any path becomes another's. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get #isClosed(): boolean {
    return this.#ended.signal.aborted;
  }

  /** What comes to a listening socket is connected inside. @param listener is taken over @throws TsboxError */
  async publish(listener: number, port: InsidePort, protocol: "tcp" | "udp"): Promise<void> {
    try {
      this.#closes.push(await this.#lead(listener, port, protocol));
    } catch (error) {
      sys.close(listener);
      throw error;
    }
  }

  /** @returns the path of a socket that leads there @throws TsboxError `permission_denied`, `unsupported` */
  path(port: InsidePort): Promise<string> {
    const key = `${port.host} ${port.port}`;
    let path = this.#paths.get(key);
    if (!path) {
      this.#paths.set(key, (path = this.#open(port)));
      path.catch(() => this.#paths.delete(key));
    }
    return path;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#ended.abort();
    for (const close of this.#closes.splice(0)) close();
    sys.close(this.#namespace);
  }

  async #open(port: InsidePort): Promise<string> {
    let listener = -1;
    const socket = hide((path) => (listener = listenAt(path)));
    try {
      const end = await this.#lead(listener, port, "tcp");
      this.#closes.push(end, () => socket.close());
      return socket.path;
    } catch (error) {
      sys.close(listener);
      socket.close();
      throw error;
    }
  }

  /** @returns what ends it */
  async #lead(listener: number, { host, port }: InsidePort, protocol: "tcp" | "udp"): Promise<() => void> {
    const [{ openPort }, make] = await Promise.all([import("../gateway/index.ts"), (this.#sockets ??= this.#maker())]);
    this.#checkOpen();
    const address = findAddress(host) as Address;
    const target = { address: bytesOfAddress(address), port };
    const opened = openPort(listener, target, () => make(protocol, address.family), protocol);
    return () => opened.end();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new sys.TsboxError("reach a port: the sandbox has ended", { code: "sandbox_closed" });
  }

  /** What makes sockets in the namespace: this thread, where it may enter it; else a process inside, which is asked. */
  async #maker(): Promise<MakeSocket> {
    if (sys.effectiveUid() === 0) {
      const { inNetwork } = await import("../netlink/index.ts");
      return (protocol, family) => inNetwork(this.#namespace, () => sys.openSocket(protocol, family));
    }
    const { NetworkNamespace } = await import("../netns/index.ts");
    // its number may be another file's by now
    this.#checkOpen();
    const inside = await NetworkNamespace.join(this.#namespace);
    if (this.#isClosed) inside[Symbol.dispose]();
    else this.#closes.push(() => inside[Symbol.dispose]());
    const [types, families] = [
      { tcp: SOCK_STREAM, udp: SOCK_DGRAM },
      { 4: AF_INET, 6: AF_INET6 },
    ];
    return (protocol, family) => inside.socket(families[family], types[protocol] | SOCK_NONBLOCK, 0);
  }
}

type MakeSocket = (protocol: "tcp" | "udp", family: 4 | 6) => number;

const [AF_INET, AF_INET6, SOCK_STREAM, SOCK_DGRAM, SOCK_NONBLOCK] = [2, 10, 1, 2, 0o4000];

function listenAt(path: string): number {
  const slash = path.lastIndexOf("/");
  using opened = new sys.Descriptors();
  const directory = opened.add(sys.open(path.slice(0, slash), sys.O_PATH | sys.O_DIRECTORY));
  return sys.listenIn(directory, path.slice(slash + 1));
}
