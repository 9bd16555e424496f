/** TCP out of a sandbox: what is accepted there, whatever it was going to, is connected to from here. @module */
import * as sys from "../../syscalls/index.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, type Peer } from "../../syscalls/index.ts";
import { addressOfBytes, formatAddress } from "../ip/index.ts";
import { HTTP_PORT, type Verdict } from "../policy/index.ts";
import { decideFlow } from "./judge.ts";
import { Relay } from "./relay.ts";
import type { Way } from "./way.ts";

const [EINPROGRESS, EAGAIN, ECONNABORTED] = [115, 11, 103];
/** Of a connection: two sockets, and the pipe of each direction. */
const DESCRIPTORS = 6;
const DNS_PORT = 53;
/** Accepted in a turn. */
const MAX_ACCEPTED = 64;
/** What there is no place for is not accepted for so long. */
const PAUSE_MS = 50;

/** The connections of one sandbox. */
export class Streams {
  readonly #way: Way;
  /** Where each of them leads. */
  readonly #relays = new Map<Relay, Peer>();
  /** Accepted, and not connected yet: the descriptors of each. */
  readonly #opening = new Set<number[]>();
  #pausing = false;

  constructor(way: Way) {
    this.#way = way;
    for (const listener of way.sockets.tcp) this.#listen(listener);
  }

  close(): void {
    for (const listener of this.#way.sockets.tcp) {
      this.#way.loop.remove(listener);
      sys.close(listener);
    }
    for (const relay of this.#relays.keys()) relay.reset();
    for (const opening of this.#opening) this.#refuse(opening);
  }

  /** By other rules: what is not allowed any more breaks off. */
  judgeAgain(): void {
    for (const [relay, to] of this.#relays) {
      const flow = this.#flowTo(to);
      const judged = (verdict: Verdict) => {
        if (verdict.allowed || !this.#relays.has(relay)) return;
        this.#way.denied(flow, verdict);
        relay.reset();
      };
      const decision = decideFlow(this.#way.settings, flow, this.#way.isOwn);
      if (decision === "ask") this.#way.questions.ask(flow, judged);
      else judged(decision);
    }
  }

  #flowTo({ address, port }: Peer) {
    const ip = formatAddress(addressOfBytes(address));
    return { protocol: "tcp" as const, ip, port, names: this.#way.pins.namesOf(ip) };
  }

  #listen(listener: number): void {
    this.#way.loop.add(listener, EPOLLIN, () => this.#accept(listener));
  }

  #accept(listener: number): void {
    for (let turn = 0; turn < MAX_ACCEPTED; turn++) {
      if (!this.#way.take(DESCRIPTORS)) return this.#pause();
      const inner = sys.acceptSocket(listener);
      if (inner < 0) {
        this.#way.give(DESCRIPTORS);
        if (inner === -ECONNABORTED) continue;
        if (inner !== -EAGAIN) this.#pause();
        return;
      }
      this.#judge(inner);
    }
  }

  /** Who connects waits meanwhile: nothing is refused that could be served a moment later. */
  #pause(): void {
    if (this.#pausing) return;
    this.#pausing = true;
    const { loop, sockets } = this.#way;
    for (const listener of sockets.tcp) loop.remove(listener);
    loop.after(PAUSE_MS, () => {
      this.#pausing = false;
      if (!this.#way.isClosed) for (const listener of sockets.tcp) this.#listen(listener);
    });
  }

  #judge(inner: number): void {
    const opening = [inner];
    this.#opening.add(opening);
    const to = sys.localAddress(inner);
    if (!to) return this.#refuse(opening);
    if (to.port === DNS_PORT) return this.#answerNames(opening);
    const flow = this.#flowTo(to);
    const judged = (verdict: Verdict) => {
      // it was closed while somebody was asked
      if (!this.#opening.has(opening)) return;
      if (verdict.allowed) return this.#connect(opening, to, flow.ip);
      this.#way.denied(flow, verdict);
      this.#refuse(opening);
    };
    const decision = decideFlow(this.#way.settings, flow, this.#way.isOwn);
    if (decision === "ask") this.#way.questions.ask(flow, judged);
    else judged(decision);
  }

  #answerNames(opening: number[]): void {
    this.#opening.delete(opening);
    if (this.#way.names.serve(opening[0] as number, () => this.#way.give(DESCRIPTORS))) return;
    this.#opening.add(opening);
    this.#refuse(opening);
  }

  #connect(opening: number[], to: Peer, ip: string): void {
    const handler = to.port === HTTP_PORT ? this.#way.settings.handlers[ip] : undefined;
    const outer =
      handler !== undefined ? sys.connectUnix(handler) : sys.openSocket("tcp", to.address.length === 4 ? 4 : 6);
    if (outer < 0) return this.#refuse(opening);
    opening.push(outer);
    const result = handler !== undefined ? 0 : sys.connectTo(outer, to);
    if (result === 0) return this.#relay(opening, to);
    if (result !== -EINPROGRESS) return this.#refuse(opening);
    const { loop } = this.#way;
    loop.add(outer, EPOLLOUT, (events) => {
      loop.remove(outer);
      const failed = events & (EPOLLERR | EPOLLHUP) || sys.getOption(outer, sys.SOL_SOCKET, sys.SO_ERROR) !== 0;
      if (failed) this.#refuse(opening);
      else this.#relay(opening, to);
    });
  }

  #relay(opening: number[], to: Peer): void {
    this.#opening.delete(opening);
    const [inner, outer] = opening as [number, number];
    const { loop, pipes } = this.#way;
    const relay = new Relay(loop, pipes, inner, outer, {
      moved: this.#way.moved,
      ended: () => {
        this.#relays.delete(relay);
        this.#way.give(DESCRIPTORS);
      },
    });
    this.#relays.set(relay, to);
    relay.begin();
  }

  /** As nobody listens there. */
  #refuse(opening: number[]): void {
    if (!this.#opening.delete(opening)) return;
    for (const fd of opening) {
      this.#way.loop.remove(fd);
      sys.resetSocket(fd);
    }
    this.#way.give(DESCRIPTORS);
  }
}
