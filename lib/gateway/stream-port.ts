/** Published ports of TCP: what is accepted here is connected to inside. @module */
import * as sys from "../../syscalls/index.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../syscalls/index.ts";
import type { Target } from "./messages.ts";
import { Relay } from "./relay.ts";
import { Stock } from "./stock.ts";
import type { Shared } from "./way.ts";

const [EINPROGRESS, EAGAIN, ECONNABORTED] = [115, 11, 103];
const DESCRIPTORS = 6;
const PAUSE_MS = 50;
/** At a time. */
const MAX_CONNECTIONS = 1024;

/** A port that is open. */
export interface Published {
  readonly stock: Stock;
  close(): void;
}

export class StreamPort implements Published {
  readonly stock: Stock;
  readonly #shared: Shared;
  readonly #listener: number;
  readonly #target: Target;
  readonly #relays = new Set<Relay>();
  readonly #holder = { pages: 0 };
  readonly #opening = new Set<number[]>();
  #isListening = false;
  #isClosed = false;

  /** @param want more sockets, of this port */
  constructor(listener: number, target: Target, shared: Shared, want: (count: number) => void) {
    this.#listener = listener;
    this.#target = target;
    this.#shared = shared;
    this.stock = new Stock(want, () => this.#listen());
  }

  close(): void {
    this.#isClosed = true;
    this.#rest();
    sys.close(this.#listener);
    this.stock.close();
    for (const relay of this.#relays) relay.reset();
    for (const opening of this.#opening) this.#break(opening);
  }

  #listen(): void {
    if (this.#isListening || this.#isClosed || this.stock.isEmpty) return;
    this.#isListening = true;
    this.#shared.loop.add(this.#listener, EPOLLIN, () => this.#accept());
  }

  #rest(): void {
    if (this.#isListening) this.#shared.loop.remove(this.#listener);
    this.#isListening = false;
  }

  #accept(): void {
    while (!this.stock.isEmpty) {
      const own = this.#relays.size + this.#opening.size;
      if (own >= MAX_CONNECTIONS || !this.#shared.budget.take(DESCRIPTORS, own * DESCRIPTORS)) return this.#pause();
      const outer = sys.acceptSocket(this.#listener);
      if (outer < 0) {
        this.#shared.budget.give(DESCRIPTORS);
        if (outer === -ECONNABORTED) continue;
        if (outer !== -EAGAIN) this.#pause();
        return;
      }
      this.#shared.hold(outer);
      this.#connect([this.stock.take() as number, outer]);
    }
    this.#rest();
  }

  #pause(): void {
    this.#rest();
    this.#shared.loop.after(PAUSE_MS, () => this.#listen());
  }

  #connect(opening: [inner: number, outer: number]): void {
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
      holder: this.#holder,
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
