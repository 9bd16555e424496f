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
  #sockets: Promise<(family: 4 | 6) => number> | undefined;
  #isClosed = false;

  /** @param namespace the path of its network namespace */
  constructor(namespace: string) {
    this.#namespace = sys.open(namespace, sys.O_RDONLY);
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
    this.#isClosed = true;
    for (const close of this.#closes.splice(0)) close();
    sys.close(this.#namespace);
  }

  async #open({ host, port }: InsidePort): Promise<string> {
    const [{ openPort }, make] = await Promise.all([import("../gateway/index.ts"), (this.#sockets ??= this.#maker())]);
    if (this.#isClosed) throw new sys.TsboxError("reach a port: the sandbox has ended", { code: "sandbox_closed" });
    const address = findAddress(host) as Address;
    let listener = -1;
    const socket = hide((path) => (listener = listenAt(path)));
    const opened = openPort(listener, { address: bytesOfAddress(address), port }, () => make(address.family));
    this.#closes.push(() => {
      opened.end();
      socket.close();
    });
    return socket.path;
  }

  /** What makes TCP sockets in the namespace: this thread, where it may enter it; else a process inside, which is asked. */
  async #maker(): Promise<(family: 4 | 6) => number> {
    if (sys.effectiveUid() === 0) {
      const { inNetwork } = await import("../netlink/index.ts");
      return (family) => inNetwork(this.#namespace, () => sys.openSocket("tcp", family));
    }
    const { NetworkNamespace } = await import("../netns/index.ts");
    const inside = await NetworkNamespace.join(this.#namespace);
    if (this.#isClosed) inside[Symbol.dispose]();
    else this.#closes.push(() => inside[Symbol.dispose]());
    return (family) => inside.socket(family === 4 ? AF_INET : AF_INET6, SOCK_STREAM_NONBLOCK, 0);
  }
}

const [AF_INET, AF_INET6, SOCK_STREAM_NONBLOCK] = [2, 10, 0o4001];

function listenAt(path: string): number {
  const slash = path.lastIndexOf("/");
  using opened = new sys.Descriptors();
  const directory = opened.add(sys.open(path.slice(0, slash), sys.O_PATH | sys.O_DIRECTORY));
  return sys.listenIn(directory, path.slice(slash + 1));
}
