/**
 * TCP out of a sandbox. What begins a connection is held back while it is decided and connected to from here; then it is
 * let through, arrives at a socket that listens for all addresses, and both are joined.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, type Peer } from "../../syscalls/index.ts";
import { addressOfBytes, formatAddress } from "../ip/index.ts";
import type { Timer } from "../loop/index.ts";
import { HTTP_PORT, type Verdict } from "../policy/index.ts";
import type { FamilySockets } from "./messages.ts";
import { readOpening, refusal, unreachable, type Opening } from "./packet.ts";
import { Relay } from "./relay.ts";
import type { Way } from "./way.ts";

const [EAGAIN, ENETUNREACH, ECONNABORTED, EHOSTUNREACH, EINPROGRESS] = [11, 101, 103, 113, 115];
/** Of a connection: two sockets, and the pipe of each direction. */
const DESCRIPTORS = 6;
/** In a turn. */
const MAX_TAKEN = 64;
/** What there is no place for is not accepted for so long. */
const PAUSE_MS = 50;
/** Whoever is let through, and does not come in that time, has given up. */
const ACCEPT_MS = 5000;
const PACKET_BYTES = 65_535;

/** Where a connection leads. */
interface Led {
  to: Peer;
  /** Those that led there when it was made, which stay its own: what a resolver has said is forgotten after a time. */
  names: readonly string[];
}

/** One that has begun inside, and is not there yet. */
interface Pending extends Led {
  opening: Opening;
  /** -1 until there is one; names are answered without. */
  outer: number;
  timer?: Timer;
}

const keyOf = (from: Peer, to: Peer) => `${from.address.join(".")}:${from.port} ${to.address.join(".")}:${to.port}`;

/** The connections of one sandbox. */
export class Streams {
  readonly #way: Way;
  readonly #relays = new Map<Relay, Led>();
  readonly #pending = new Map<string, Pending>();
  #pausing = false;

  constructor(way: Way) {
    this.#way = way;
    for (const sockets of way.families) this.#listen(sockets);
  }

  close(): void {
    for (const { tcp, passing } of this.#way.families) {
      for (const fd of [tcp, passing]) {
        this.#way.loop.remove(fd);
        sys.close(fd);
      }
    }
    for (const relay of this.#relays.keys()) relay.reset();
    for (const key of this.#pending.keys()) this.#drop(key);
  }

  /** By other rules: what is not allowed any more breaks off. */
  judgeAgain(): void {
    for (const [relay, led] of this.#relays) {
      this.#judge(led, (verdict, denied) => {
        if (verdict.allowed || !this.#relays.has(relay)) return;
        denied();
        relay.reset();
      });
    }
    // who is let through already might take his time to come
    for (const [key, pending] of this.#pending) {
      if (pending.outer < 0) continue;
      this.#judge(pending, (verdict, denied) => {
        if (verdict.allowed || this.#pending.get(key) !== pending) return;
        denied();
        this.#refuse(key, pending);
      });
    }
  }

  #judge({ to, names }: Led, judged: (verdict: Verdict, denied: () => void) => void): void {
    const ip = formatAddress(addressOfBytes(to.address));
    const flow = { protocol: "tcp" as const, ip, port: to.port, names: this.#way.namesOf(ip, names) };
    this.#way.judge(flow, (verdict) => judged(verdict, () => this.#way.denied(flow, verdict)));
  }

  #listen({ tcp, passing }: FamilySockets): void {
    this.#way.loop.add(tcp, EPOLLIN, () => this.#accept(tcp));
    this.#way.loop.add(passing, EPOLLIN, () => this.#see(passing));
  }

  /** Who connects waits meanwhile: nothing is refused that could be served a moment later. */
  #pause(): void {
    if (this.#pausing) return;
    this.#pausing = true;
    const { loop, families } = this.#way;
    for (const { tcp, passing } of families) for (const fd of [tcp, passing]) loop.remove(fd);
    loop.after(PAUSE_MS, () => {
      this.#pausing = false;
      if (!this.#way.isClosed) for (const sockets of families) this.#listen(sockets);
    });
  }

  #see(passing: number): void {
    for (let turn = 0; turn < MAX_TAKEN; turn++) {
      const bytes = sys.read(passing, PACKET_BYTES);
      if (typeof bytes === "number") return;
      const opening = readOpening(bytes);
      if (opening && this.#way.isAway(opening.to.address)) this.#begin(opening);
    }
  }

  #begin(opening: Opening): void {
    const key = keyOf(opening.from, opening.to);
    // sent again, as nobody has answered yet
    if (this.#pending.has(key)) return;
    // nor will there be an answer now: it will be sent again
    if (!this.#way.take(DESCRIPTORS)) return;
    const names = this.#way.namesOf(formatAddress(addressOfBytes(opening.to.address)));
    const pending: Pending = { opening, to: opening.to, names, outer: -1 };
    this.#pending.set(key, pending);
    if (this.#way.asksNames(opening.to)) return this.#let(key, pending);
    this.#judge(pending, (verdict, denied) => {
      if (this.#pending.get(key) !== pending) return;
      if (verdict.allowed) return this.#connect(key, pending);
      denied();
      this.#refuse(key, pending);
    });
  }

  #connect(key: string, pending: Pending): void {
    const { to } = pending.opening;
    const { loop, settings } = this.#way;
    const handler = to.port === HTTP_PORT ? settings.handlers[formatAddress(addressOfBytes(to.address))] : undefined;
    const family = to.address.length === 4 ? 4 : 6;
    const outer = handler === undefined ? sys.openSocket("tcp", family) : sys.connectUnix(handler);
    if (outer < 0) return handler === undefined ? this.#drop(key) : this.#refuse(key, pending);
    pending.outer = outer;
    this.#way.hold(outer);
    const result = handler === undefined ? sys.connectTo(outer, to) : 0;
    if (result === 0) return this.#let(key, pending);
    if (result !== -EINPROGRESS) return this.#refuse(key, pending, -result);
    loop.add(outer, EPOLLOUT, (events) => {
      loop.remove(outer);
      const error = sys.getOption(outer, sys.SOL_SOCKET, sys.SO_ERROR);
      if (error !== 0 || events & (EPOLLERR | EPOLLHUP)) this.#refuse(key, pending, error);
      else this.#let(key, pending);
    });
  }

  /** What was held back goes on. */
  #let(key: string, pending: Pending): void {
    const { to, packet } = pending.opening;
    pending.timer = this.#way.loop.after(ACCEPT_MS, () => this.#drop(key));
    // where it leads is here
    if (!this.#way.inject(to.address, packet)) this.#drop(key);
  }

  #refuse(key: string, { opening }: Pending, error = 0): void {
    const isLost = error === EHOSTUNREACH || error === ENETUNREACH;
    this.#way.inject(opening.from.address, isLost ? unreachable("host", opening.packet) : refusal(opening));
    this.#drop(key);
  }

  #drop(key: string): void {
    const pending = this.#pending.get(key);
    if (!pending) return;
    this.#pending.delete(key);
    pending.timer?.cancel();
    if (pending.outer >= 0) {
      this.#way.loop.remove(pending.outer);
      sys.resetSocket(pending.outer);
    }
    this.#way.give(DESCRIPTORS);
  }

  #accept(listener: number): void {
    for (let turn = 0; turn < MAX_TAKEN; turn++) {
      const inner = sys.acceptSocket(listener);
      if (inner === -ECONNABORTED) continue;
      if (inner === -EAGAIN) return;
      if (inner < 0) return this.#pause();
      this.#join(inner);
    }
  }

  #join(inner: number): void {
    const [from, to] = [sys.peerAddress(inner), sys.localAddress(inner)];
    const key = from && to ? keyOf(from, to) : "";
    const pending = this.#pending.get(key);
    // somebody inside has let it through, who can: nothing has been decided, and nobody is there
    if (!pending || !to) return sys.resetSocket(inner);
    this.#pending.delete(key);
    pending.timer?.cancel();
    if (pending.outer >= 0) return this.#relay(inner, pending.outer, { to, names: pending.names });
    if (this.#way.names.serve(inner, () => this.#way.give(DESCRIPTORS))) return;
    this.#way.give(DESCRIPTORS);
    sys.resetSocket(inner);
  }

  #relay(inner: number, outer: number, led: Led): void {
    const { loop, pipes } = this.#way;
    const relay = new Relay(loop, pipes, inner, outer, {
      holder: this.#way.holder,
      left: this.#way.left,
      moved: this.#way.moved,
      ended: () => {
        this.#relays.delete(relay);
        this.#way.give(DESCRIPTORS);
      },
    });
    this.#relays.set(relay, led);
    relay.begin();
  }
}
