/** Serves sockets that are bound already: datagrams by the batch, and connections. @module @see RFC 7766 */
import type { Loop } from "../loop/index.ts";
import {
  acceptSocket,
  close,
  DatagramReceiver,
  DatagramSender,
  EPOLLIN,
  peerAddress,
  type Datagram,
  type Peer,
} from "../../syscalls/index.ts";
import { DATAGRAM_BYTES } from "./message.ts";
import type { Asker, Resolving } from "./resolver.ts";
import { StreamAsker } from "./stream.ts";

export interface ServedSockets {
  /** Bound. */
  udp: readonly number[];
  /** Listening. */
  tcp: readonly number[];
}

/** Whose question it is; undefined: nobody's, and it gets no answer. */
export type FindAsker = (network: string, address: Uint8Array) => Asker | undefined;

const BATCH = 32;
/** So often a socket is read before others have their turn. */
const TURNS = 4;
/** Of everybody, and of one address. */
const [MOST_STREAMS, MOST_OF_ONE] = [128, 8];
const PAUSE_MS = 100;
const EAGAIN = 11;

export class NameServer implements Disposable {
  readonly #loop: Loop;
  readonly #resolver: Resolving;
  readonly #find: FindAsker;
  readonly #receiver = new DatagramReceiver(BATCH, DATAGRAM_BYTES);
  readonly #sender = new DatagramSender(BATCH, DATAGRAM_BYTES);
  /** What is answered later goes alone. */
  readonly #late = new DatagramSender(1, DATAGRAM_BYTES);
  readonly #streams = new Map<StreamAsker, { from: string; network: string }>();
  readonly #served = new Set<Disposable>();

  constructor(loop: Loop, resolver: Resolving, find: FindAsker) {
    this.#loop = loop;
    this.#resolver = resolver;
    this.#find = find;
  }

  [Symbol.dispose](): void {
    for (const each of this.#served) each[Symbol.dispose]();
    for (const each of [this.#receiver, this.#sender, this.#late]) each[Symbol.dispose]();
  }

  /** Takes the sockets over, until what is returned is disposed. */
  serve(network: string, { udp, tcp }: ServedSockets): Disposable {
    const served = {
      isOpen: true,
      [Symbol.dispose]: () => {
        if (!this.#served.delete(served)) return;
        served.isOpen = false;
        for (const [stream, of] of this.#streams) if (of.network === network) stream.end();
        for (const fd of [...udp, ...tcp]) {
          this.#loop.remove(fd);
          close(fd);
        }
      },
    };
    this.#served.add(served);
    try {
      for (const fd of udp) this.#loop.add(fd, EPOLLIN, () => this.#datagrams(fd, network, served));
      for (const fd of tcp) this.#loop.add(fd, EPOLLIN, () => this.#accept(fd, network, served));
    } catch (error) {
      served[Symbol.dispose]();
      throw error;
    }
    return served;
  }

  #datagrams(fd: number, network: string, served: { isOpen: boolean }): void {
    for (let turn = 0; turn < TURNS; turn++) {
      const found = this.#receiver.receive(fd);
      if (typeof found === "number" || found.length === 0) return;
      let isBatch = true;
      for (const datagram of found)
        this.#answer(datagram, network, (bytes, to) => {
          if (isBatch) this.#sender.add(bytes, to);
          else if (served.isOpen) {
            this.#late.add(bytes, to);
            this.#late.send(fd);
          }
        });
      isBatch = false;
      this.#sender.send(fd);
      if (found.length < BATCH) return;
    }
  }

  #answer({ bytes, from }: Datagram, network: string, send: (bytes: Uint8Array, to: Peer) => void): void {
    const asker = this.#find(network, from.address);
    if (asker) this.#resolver.resolve(bytes, asker, "udp", (answer) => send(answer, from));
  }

  #accept(fd: number, network: string, served: { isOpen: boolean }): void {
    for (let turn = 0; turn < BATCH; turn++) {
      const stream = acceptSocket(fd);
      if (stream === -EAGAIN) return;
      // who has broken off before he was accepted; or no descriptor is left, which takes a while to change
      if (stream < 0) return this.#pause(fd, network, served);
      this.#take(stream, network);
    }
  }

  #pause(fd: number, network: string, served: { isOpen: boolean }): void {
    this.#loop.remove(fd);
    this.#loop.after(PAUSE_MS, () => {
      if (served.isOpen) this.#loop.add(fd, EPOLLIN, () => this.#accept(fd, network, served));
    });
  }

  #take(fd: number, network: string): void {
    const peer = peerAddress(fd);
    const asker = peer && this.#find(network, peer.address);
    const from = peer ? peer.address.join(".") : "";
    const ofOne = [...this.#streams].filter(([, other]) => other.network === network && other.from === from);
    if (!asker) return close(fd);
    // whoever has the most gives way
    if (ofOne.length >= MOST_OF_ONE) ofOne[0]?.[0].end();
    else if (this.#streams.size >= MOST_STREAMS) return close(fd);
    const stream = new StreamAsker(this.#loop, fd, this.#resolver, asker, () => this.#streams.delete(stream));
    this.#streams.set(stream, { from, network });
  }
}
