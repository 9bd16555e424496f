/**
 * UDP out of a sandbox: each pair of addresses is a flow, with a socket of its own here. What comes back there goes into
 * the sandbox as a packet from where it was sent to.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { EPOLLIN, type Datagram, type Peer } from "../../syscalls/index.ts";
import { addressOfBytes, formatAddress } from "../ip/index.ts";
import { MAX_PAYLOAD, udpPacket, unreachable } from "./packet.ts";
import type { Way } from "./way.ts";

/** Silent for so long, a flow is over: sooner where nobody has answered. @see RFC 4787, RFC 5625 */
const [IDLE_MS, ANSWERED_IDLE_MS, SWEEP_MS] = [30_000, 180_000, 5000];
/** What waits while a handler is asked. */
const MAX_WAITING = 4;
const DESCRIPTORS = 1;
const ECONNREFUSED = 111;

interface Flow {
  inner: Peer;
  outer: Peer;
  /** That led there when it began. */
  names: readonly string[];
  /** -1: not decided yet, or denied. */
  fd: number;
  waiting: Uint8Array[];
  used: number;
  answered: boolean;
}

export class Flows {
  readonly #way: Way;
  /** The longest unused first. */
  readonly #flows = new Map<string, Flow>();
  #isSwept = false;

  constructor(way: Way) {
    this.#way = way;
    for (const { udp } of way.families) way.loop.add(udp, EPOLLIN, () => this.#take(udp));
  }

  close(): void {
    const { loop, families } = this.#way;
    for (const { udp } of families) {
      loop.remove(udp);
      sys.close(udp);
    }
    for (const [key, flow] of this.#flows) this.#end(key, flow);
  }

  #take(socket: number): void {
    const found = this.#way.receiver.receive(socket);
    if (typeof found === "number") return;
    for (const datagram of found) if (datagram.to) this.#pass(datagram, datagram.to);
  }

  #pass({ from, bytes }: Datagram, to: Peer): void {
    if (this.#way.asksNames(to)) {
      // questions carry something out as well
      if (!this.#way.fits("out", bytes.length)) return;
      this.#way.moved("out", bytes.length);
      const answer = (reply: Uint8Array) => this.answer(to, from, reply);
      return this.#way.names.ask(bytes.slice(), answer);
    }
    const key = `${from.address.join(".")}:${from.port} ${to.address.join(".")}:${to.port}`;
    const known = this.#flows.get(key);
    const flow = known ?? this.#open(key, from, to);
    if (!flow) return;
    flow.used = performance.now();
    // the map is in the order of use
    if (known) this.#flows.delete(key);
    this.#flows.set(key, flow);
    if (flow.fd >= 0) this.#send(flow, bytes);
    else if (flow.waiting.length < MAX_WAITING) flow.waiting.push(bytes.slice());
  }

  /** By other rules: what is not allowed any more is over. */
  judgeAgain(): void {
    for (const [key, flow] of this.#flows) this.#judge(key, flow, () => {});
  }

  #judge(key: string, flow: Flow, allowed: () => void): void {
    const { address, port } = flow.outer;
    const ip = formatAddress(addressOfBytes(address));
    const wanted = { protocol: "udp" as const, ip, port, names: this.#way.namesOf(ip, flow.names) };
    this.#way.judge(wanted, (verdict) => {
      // it has ended while somebody was asked
      if (this.#flows.get(key) !== flow) return;
      if (verdict.allowed) return allowed();
      this.#way.denied(wanted, verdict);
      this.#refuse(flow);
      this.#end(key, flow);
    });
  }

  #open(key: string, inner: Peer, outer: Peer): Flow | undefined {
    if (!this.#makeRoom()) return undefined;
    const names = this.#way.namesOf(formatAddress(addressOfBytes(outer.address)));
    const flow: Flow = { inner, outer, names, fd: -1, waiting: [], used: 0, answered: false };
    this.#flows.set(key, flow);
    this.#judge(key, flow, () => this.#connect(key, flow));
    this.#sweepLater();
    return this.#flows.get(key);
  }

  /** The one that nobody has used for longest goes. */
  #makeRoom(): boolean {
    while (!this.#way.take(DESCRIPTORS)) {
      const [oldest] = this.#flows;
      if (!oldest) return false;
      this.#end(...oldest);
    }
    return true;
  }

  #connect(key: string, flow: Flow): void {
    const { loop } = this.#way;
    const fd = sys.openSocket("udp", flow.outer.address.length === 4 ? 4 : 6);
    if (fd < 0 || sys.connectTo(fd, flow.outer) < 0) {
      if (fd >= 0) sys.close(fd);
      return this.#end(key, flow);
    }
    flow.fd = fd;
    loop.add(fd, EPOLLIN, () => this.#back(flow));
    for (const bytes of flow.waiting.splice(0)) this.#send(flow, bytes);
  }

  #send(flow: Flow, bytes: Uint8Array): void {
    // what does not fit is lost, as on a slow line
    if (!this.#way.fits("out", bytes.length)) return;
    const sent = sys.send(flow.fd, bytes);
    if (sent === -ECONNREFUSED) this.#refuse(flow);
    else if (sent > 0) this.#way.moved("out", sent);
  }

  #back(flow: Flow): void {
    const found = this.#way.receiver.receive(flow.fd);
    if (found === -ECONNREFUSED) this.#refuse(flow);
    if (typeof found === "number") return;
    flow.used = performance.now();
    flow.answered = true;
    for (const { bytes } of found) this.answer(flow.outer, flow.inner, bytes);
  }

  /** As a datagram of the one to the other, who is inside. */
  answer(from: Peer, to: Peer, bytes: Uint8Array): void {
    if (bytes.length > MAX_PAYLOAD[to.address.length === 4 ? 4 : 6] || !this.#way.fits("in", bytes.length)) return;
    if (this.#way.inject(to.address, udpPacket(from, to, bytes))) this.#way.moved("in", bytes.length);
  }

  /** Whoever has sent to it is told that nobody is there. */
  #refuse({ inner, outer }: Flow): void {
    this.#way.inject(inner.address, unreachable("port", udpPacket(inner, outer, new Uint8Array())));
  }

  #sweepLater(): void {
    if (this.#isSwept || this.#flows.size === 0) return;
    this.#isSwept = true;
    this.#way.loop.after(SWEEP_MS, () => {
      this.#isSwept = false;
      const now = performance.now();
      for (const [key, flow] of this.#flows)
        if (now - flow.used > (flow.answered ? ANSWERED_IDLE_MS : IDLE_MS)) this.#end(key, flow);
      this.#sweepLater();
    });
  }

  #end(key: string, flow: Flow): void {
    if (this.#flows.get(key) !== flow) return;
    this.#flows.delete(key);
    this.#way.give(DESCRIPTORS);
    if (flow.fd < 0) return;
    this.#way.loop.remove(flow.fd);
    sys.close(flow.fd);
    flow.fd = -1;
  }
}
