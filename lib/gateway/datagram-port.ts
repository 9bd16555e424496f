/** Published ports of UDP: each who sends has a socket of his own inside. @module */
import * as sys from "../../syscalls/index.ts";
import { EPOLLIN, type Datagram, type Peer } from "../../syscalls/index.ts";
import type { Target } from "./messages.ts";
import { Stock } from "./stock.ts";
import type { Published } from "./stream-port.ts";
import type { Shared } from "./way.ts";

/** Silent for so long, one is forgotten. */
const [IDLE_MS, SWEEP_MS] = [60_000, 5000];
const MAX_CLIENTS = 1024;
const DESCRIPTORS = 1;

interface Client {
  peer: Peer;
  /** Which of this machine's addresses it has sent to. */
  own: Uint8Array | undefined;
  fd: number;
  used: number;
}

export class DatagramPort implements Published {
  readonly stock: Stock;
  readonly #shared: Shared;
  readonly #listener: number;
  readonly #target: Target;
  /** The longest unused first. */
  readonly #clients = new Map<string, Client>();
  #isSwept = false;
  #isClosed = false;

  /** @param want more sockets, of this port */
  constructor(listener: number, target: Target, shared: Shared, want: (count: number) => void) {
    this.#listener = listener;
    this.#target = target;
    this.#shared = shared;
    sys.setOption(listener, sys.SOL_IP, sys.IP_PKTINFO, 1);
    sys.setOption(listener, sys.SOL_IPV6, sys.IPV6_RECVPKTINFO, 1);
    let listening = false;
    // what comes before there are sockets waits
    this.stock = new Stock(want, () => {
      if (!listening && !this.#isClosed) shared.loop.add(listener, EPOLLIN, () => this.#take());
      listening = true;
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#shared.loop.remove(this.#listener);
    sys.close(this.#listener);
    this.stock.close();
    for (const key of this.#clients.keys()) this.#forget(key);
  }

  #take(): void {
    const found = this.#shared.receiver.receive(this.#listener);
    if (typeof found === "number") return;
    for (const datagram of found) this.#pass(datagram);
  }

  #pass({ from, to, bytes }: Datagram): void {
    const key = `${from.address.join(".")}:${from.port} ${to?.address.join(".")}`;
    const client = this.#clients.get(key) ?? this.#open(from, to?.address);
    if (!client) return;
    client.used = performance.now();
    // the map is in the order of use
    this.#clients.delete(key);
    this.#clients.set(key, client);
    sys.send(client.fd, bytes);
    this.#sweepLater();
  }

  #open(peer: Peer, own: Uint8Array | undefined): Client | undefined {
    const { loop, budget } = this.#shared;
    for (const oldest of this.#clients.keys()) {
      if (this.#clients.size < MAX_CLIENTS) break;
      this.#forget(oldest);
    }
    if (!budget.take(DESCRIPTORS, this.#clients.size)) return undefined;
    const fd = this.stock.take();
    if (fd !== undefined && sys.connectTo(fd, this.#target) === 0) {
      const client = { peer, own, fd, used: 0 };
      loop.add(fd, EPOLLIN, () => this.#back(client));
      return client;
    }
    budget.give(DESCRIPTORS);
    if (fd !== undefined) sys.close(fd);
    return undefined;
  }

  #back(client: Client): void {
    const { receiver, sender } = this.#shared;
    const found = receiver.receive(client.fd);
    // nobody listens inside, now
    if (typeof found === "number") return;
    client.used = performance.now();
    for (const { bytes } of found) {
      sender.add(bytes, client.peer, client.own);
      sender.send(this.#listener);
    }
  }

  #sweepLater(): void {
    if (this.#isSwept || this.#isClosed || this.#clients.size === 0) return;
    this.#isSwept = true;
    this.#shared.loop.after(SWEEP_MS, () => {
      this.#isSwept = false;
      const now = performance.now();
      for (const [key, client] of this.#clients) if (now - client.used > IDLE_MS) this.#forget(key);
      this.#sweepLater();
    });
  }

  #forget(key: string): void {
    const client = this.#clients.get(key);
    this.#clients.delete(key);
    if (!client) return;
    this.#shared.loop.remove(client.fd);
    sys.close(client.fd);
    this.#shared.budget.give(DESCRIPTORS);
  }
}
