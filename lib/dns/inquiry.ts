/**
 * One question to other servers: by UDP, each from a port of its own with an id of its own, and with letters of a size that
 * nobody else knows; by TCP where the answer is longer, or somebody seems to guess.
 * @module
 * @see RFC 5452 (guessed answers), RFC 7766 (TCP)
 */
import type { Loop, Timer } from "../loop/index.ts";
import {
  close,
  connectTo,
  EPOLLIN,
  EPOLLOUT,
  getOption,
  openSocket,
  read,
  send,
  setOption,
  SO_BINDTODEVICE,
  SO_ERROR,
  SOL_SOCKET,
} from "../../syscalls/index.ts";
import { CD, HEADER_BYTES, OPT_BYTES, put, RCODE, RD, writeOpt, type Query } from "./message.ts";
import { isSameLetter, readReply, type Reply } from "./reply.ts";
import type { Upstream } from "./resolv-conf.ts";

/** So long each of them has, the first time and later. */
const [FIRST_MS, LATER_MS, TCP_MS] = [1000, 2000, 3000];
const MOST_TRIES = 6;
/** Whoever sends so many wrong answers is guessing. */
const MOST_WRONG = 8;
const [EAGAIN, EINPROGRESS] = [11, 115];
const LENGTH_BYTES = 2;

/** A message, with the id and letters of the inquiry; undefined where nobody has answered. */
export type Finished = (found: { message: Uint8Array; reply: Reply; from: number } | undefined) => void;

export class Inquiry {
  readonly #loop: Loop;
  readonly #upstreams: readonly Upstream[];
  readonly #first: number;
  readonly #finished: Finished;
  readonly #message: Uint8Array;
  readonly #questionEnd: number;
  #tries = 0;
  #wrong = 0;
  #fd = -1;
  #timer: Timer | undefined;
  /** What is better than nothing. */
  #kept: Parameters<Finished>[0];
  #isOver = false;

  /** @param first of the upstreams, that is asked before the others @param asked the message with the question */
  constructor(
    loop: Loop,
    asked: Uint8Array,
    query: Query,
    upstreams: readonly Upstream[],
    first: number,
    finished: Finished,
  ) {
    this.#loop = loop;
    this.#upstreams = upstreams;
    this.#first = first;
    this.#finished = finished;
    this.#questionEnd = query.end;
    this.#message = messageFor(asked, query);
  }

  /** Asks the next. */
  begin(): void {
    const index = (this.#first + this.#tries) % this.#upstreams.length;
    const upstream = this.#upstreams[index];
    if (!upstream || this.#tries >= Math.min(MOST_TRIES, 3 * this.#upstreams.length)) return this.#finish(this.#kept);
    const round = Math.floor(this.#tries++ / this.#upstreams.length);
    this.#wrong = 0;
    randomize(this.#message, this.#questionEnd);
    const fd = this.#connect("udp", upstream);
    if (fd < 0 || send(fd, this.#message) < 0) return this.#next();
    this.#watch(EPOLLIN, round === 0 ? FIRST_MS : LATER_MS, () => this.#receive(upstream, index));
  }

  /** Nobody is told any more. */
  cancel(): void {
    this.#isOver = true;
    this.#close();
  }

  #receive(upstream: Upstream, index: number): void {
    for (;;) {
      const message = read(this.#fd);
      // whoever is not there says so: ECONNREFUSED
      if (typeof message === "number") return message === -EAGAIN ? undefined : this.#next();
      const reply = readReply(message, this.#message, this.#questionEnd);
      if (reply === "another") {
        if (isAnswerTo(message, this.#message, this.#questionEnd) || ++this.#wrong > MOST_WRONG)
          return this.#askByTcp(upstream, index);
      } else if (reply === "broken") return this.#askByTcp(upstream, index);
      else if (reply.isCut) {
        this.#kept = { message, reply, from: index };
        return this.#askByTcp(upstream, index);
      } else return this.#take(message, reply, index);
    }
  }

  /** What one cannot say, another perhaps can. */
  #take(message: Uint8Array, reply: Reply, index: number): void {
    const found = { message, reply, from: index };
    if (reply.rcode === RCODE.NOERROR || reply.rcode === RCODE.NXDOMAIN) return this.#finish(found);
    this.#kept ??= found;
    // the same would say the same
    if (this.#tries >= this.#upstreams.length) return this.#finish(this.#kept);
    this.#next();
  }

  #askByTcp(upstream: Upstream, index: number): void {
    this.#close();
    const fd = this.#connect("tcp", upstream);
    if (fd < 0) return this.#next();
    const framed = new Uint8Array(LENGTH_BYTES + this.#message.length);
    put(framed, 0, this.#message.length);
    framed.set(this.#message, LENGTH_BYTES);
    this.#watch(EPOLLOUT, TCP_MS, () => {
      // a new connection takes so much at once
      if (getOption(fd, SOL_SOCKET, SO_ERROR) !== 0 || send(fd, framed) !== framed.length) return this.#next();
      this.#close(false);
      this.#watch(EPOLLIN, TCP_MS, this.#streamReader(index));
    });
  }

  #streamReader(index: number): () => void {
    let got = new Uint8Array(0);
    return () => {
      const part = read(this.#fd);
      if (part === -EAGAIN) return;
      if (typeof part === "number" || part.length === 0) return this.#next();
      const all = new Uint8Array(got.length + part.length);
      all.set(got);
      all.set(part, got.length);
      got = all;
      if (got.length < LENGTH_BYTES) return;
      const length = ((got[0] as number) << 8) | (got[1] as number);
      if (got.length < LENGTH_BYTES + length) return;
      const message = got.slice(LENGTH_BYTES, LENGTH_BYTES + length);
      const reply = readReply(message, this.#message, this.#questionEnd, true);
      if (typeof reply === "string" || reply.isCut) return this.#next();
      this.#take(message, reply, index);
    };
  }

  #connect(protocol: "udp" | "tcp", { address, port, device }: Upstream): number {
    const fd = openSocket(protocol, address.length === 4 ? 4 : 6);
    if (fd < 0) return fd;
    this.#fd = fd;
    if (device !== undefined) setOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${device}\0`));
    const result = connectTo(fd, { address, port });
    return result === 0 || result === -EINPROGRESS ? fd : result;
  }

  #watch(events: number, timeoutMs: number, act: () => void): void {
    this.#loop.add(this.#fd, events, act);
    this.#timer = this.#loop.after(timeoutMs, () => this.#next());
  }

  #next(): void {
    this.#close();
    if (!this.#isOver) this.begin();
  }

  #finish(found: Parameters<Finished>[0]): void {
    this.#close();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#finished(found);
  }

  /** @param whole the socket as well */
  #close(whole = true): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#fd < 0) return;
    this.#loop.remove(this.#fd);
    if (!whole) return;
    close(this.#fd);
    this.#fd = -1;
  }
}

/** Nothing of the asker but the question, and what it can do. */
function messageFor(asked: Uint8Array, query: Query): Uint8Array {
  const message = new Uint8Array(query.end + (query.edns ? OPT_BYTES : 0));
  message.set(asked.subarray(HEADER_BYTES, query.end), HEADER_BYTES);
  put(message, 2, RD | (query.flags & CD));
  put(message, 4, 1);
  put(message, 10, query.edns ? 1 : 0);
  if (query.edns) writeOpt(message, query.end, 0, query.dnssecOk);
  return message;
}

const CASE = 0x20;

/** Another id, and other letters. The type and class behind the name are no letters of it. */
function randomize(message: Uint8Array, questionEnd: number): void {
  const random = crypto.getRandomValues(new Uint8Array(questionEnd - 4));
  message.set(random.subarray(0, 2), 0);
  for (let at = HEADER_BYTES; at < questionEnd - 5;) {
    const stop = at + 1 + (message[at] as number);
    for (at++; at < stop; at++) {
      const byte = message[at] as number;
      if (isSameLetter(byte, byte)) message[at] = (byte & ~CASE) | ((random[at] as number) & CASE);
    }
  }
}

/** It has the id, and the letters but for their size: from a server that writes them in its own way. */
function isAnswerTo(message: Uint8Array, asked: Uint8Array, questionEnd: number): boolean {
  if (message.length < questionEnd || message[0] !== asked[0] || message[1] !== asked[1]) return false;
  for (let at = HEADER_BYTES; at < questionEnd; at++) {
    const [ours, theirs] = [asked[at] as number, message[at] as number];
    if (ours !== theirs && !isSameLetter(ours, theirs)) return false;
  }
  return true;
}
