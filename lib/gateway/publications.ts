/** Published ports: what is accepted here is connected to inside. @module */
import * as sys from "../../syscalls/index.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../syscalls/index.ts";
import type { FromGateway, Target } from "./messages.ts";
import { Relay } from "./relay.ts";
import type { Shared } from "./way.ts";

const [EINPROGRESS, EAGAIN, ECONNABORTED] = [115, 11, 103];
const DESCRIPTORS = 6;
/** Sockets of the namespace that wait for connections; when half are used, there are to be more. */
const STOCK = 32;
const PAUSE_MS = 50;
/** At a time. */
const MAX_CONNECTIONS = 1024;

export class Publication {
  readonly #shared: Shared;
  readonly #port: number;
  readonly #listener: number;
  readonly #target: Target;
  readonly #stock: number[] = [];
  readonly #relays = new Set<Relay>();
  readonly #opening = new Set<number[]>();
  #ordered = 0;
  #isListening = false;
  #isClosed = false;

  constructor(port: number, listener: number, target: Target, shared: Shared) {
    this.#port = port;
    this.#listener = listener;
    this.#target = target;
    this.#shared = shared;
    this.#order();
  }

  close(): void {
    this.#isClosed = true;
    this.#rest();
    for (const fd of [this.#listener, ...this.#stock.splice(0)]) sys.close(fd);
    for (const relay of this.#relays) relay.reset();
    for (const opening of this.#opening) this.#break(opening);
  }

  /** More have come. */
  fill(fds: number[]): void {
    this.#ordered = 0;
    if (this.#isClosed) return fds.forEach(sys.close);
    this.#stock.push(...fds);
    this.#listen();
  }

  #order(): void {
    if (this.#ordered > 0 || this.#stock.length > STOCK / 2) return;
    this.#ordered = STOCK - this.#stock.length;
    const wanted: FromGateway = { kind: "wanted", port: this.#port, count: this.#ordered };
    this.#shared.tell(wanted);
  }

  #listen(): void {
    if (this.#isListening || this.#isClosed || this.#stock.length === 0) return;
    this.#isListening = true;
    this.#shared.loop.add(this.#listener, EPOLLIN, () => this.#accept());
  }

  #rest(): void {
    if (this.#isListening) this.#shared.loop.remove(this.#listener);
    this.#isListening = false;
  }

  #accept(): void {
    while (this.#stock.length > 0) {
      const full = this.#relays.size + this.#opening.size >= MAX_CONNECTIONS;
      if (full || !this.#shared.budget.take(DESCRIPTORS)) return this.#pause();
      const outer = sys.acceptSocket(this.#listener);
      if (outer < 0) {
        this.#shared.budget.give(DESCRIPTORS);
        if (outer === -ECONNABORTED) continue;
        if (outer !== -EAGAIN) this.#pause();
        return;
      }
      this.#connect([this.#stock.pop() as number, outer]);
    }
    this.#rest();
  }

  #pause(): void {
    this.#rest();
    this.#shared.loop.after(PAUSE_MS, () => this.#listen());
  }

  #connect(opening: [inner: number, outer: number]): void {
    this.#order();
    this.#opening.add(opening);
    const [inner] = opening;
    const result = sys.connectTo(inner, this.#target);
    if (result !== 0 && result !== -EINPROGRESS) return this.#break(opening);
    const { loop } = this.#shared;
    loop.add(inner, EPOLLOUT, (events) => {
      loop.remove(inner);
      const failed = events & (EPOLLERR | EPOLLHUP) || sys.getOption(inner, sys.SOL_SOCKET, sys.SO_ERROR) !== 0;
      if (failed) this.#break(opening);
      else this.#relay(opening);
    });
  }

  #relay(opening: [inner: number, outer: number]): void {
    this.#opening.delete(opening);
    const { loop, pipes, budget } = this.#shared;
    const relay = new Relay(loop, pipes, ...opening, {
      ended: () => {
        this.#relays.delete(relay);
        budget.give(DESCRIPTORS);
      },
    });
    this.#relays.add(relay);
    relay.begin();
  }

  #break(opening: number[]): void {
    if (!this.#opening.delete(opening)) return;
    for (const fd of opening) {
      this.#shared.loop.remove(fd);
      sys.resetSocket(fd);
    }
    this.#shared.budget.give(DESCRIPTORS);
  }
}
