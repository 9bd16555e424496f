/** One who asks by TCP: messages behind each other, each after its length. @module @see RFC 1035 §4.2.2, RFC 7766 */
import type { Loop, Timer } from "../loop/index.ts";
import { close, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, read, send } from "../../syscalls/index.ts";
import { put } from "./message.ts";
import type { Asker, Resolving } from "./resolver.ts";

/** Whoever says and reads nothing for so long is gone. */
const IDLE_MS = 10_000;
/** Answers that may wait to be read, before no more questions are. */
const MOST_OUT_BYTES = 64 * 1024;
/** Questions that wait for an answer. */
const MOST_WAITING = 16;
const [LENGTH_BYTES, SEND_BYTES] = [2, 32 * 1024];
const EAGAIN = 11;

export class StreamAsker {
  readonly #loop: Loop;
  readonly #fd: number;
  readonly #resolver: Resolving;
  readonly #asker: Asker;
  readonly #ended: () => void;
  #in: Uint8Array = new Uint8Array(0);
  #out: Uint8Array[] = [];
  #outBytes = 0;
  #waiting = 0;
  #events = EPOLLIN;
  #timer: Timer;
  #isTaking = false;
  #isHalf = false;
  #isOver = false;

  /** @param fd is taken over */
  constructor(loop: Loop, fd: number, resolver: Resolving, asker: Asker, ended: () => void) {
    this.#loop = loop;
    this.#fd = fd;
    this.#resolver = resolver;
    this.#asker = asker;
    this.#ended = ended;
    this.#timer = loop.after(IDLE_MS, () => this.end());
    loop.add(fd, EPOLLIN, (events) => this.#ready(events));
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer.cancel();
    this.#loop.remove(this.#fd);
    close(this.#fd);
    this.#ended();
  }

  #ready(events: number): void {
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) return this.end();
    if ((events & EPOLLOUT) !== 0) this.#write();
    if (!this.#isOver && (events & EPOLLIN) !== 0) this.#read();
    if (!this.#isOver) this.#listen();
  }

  #read(): void {
    const part = read(this.#fd);
    if (part === -EAGAIN) return;
    if (typeof part === "number") return this.end();
    if (part.length === 0) this.#isHalf = true;
    else {
      this.#stir();
      this.#in = this.#in.length === 0 ? part : concatenated(this.#in, part);
    }
    this.#takeMessages();
  }

  /** No more than may wait: the rest comes when something has been answered. */
  #takeMessages(): void {
    if (this.#isTaking) return;
    this.#isTaking = true;
    while (!this.#isOver && this.#mayTake && this.#takeMessage());
    this.#isTaking = false;
    if (!this.#isOver && this.#isHalf && this.#waiting === 0 && this.#outBytes === 0) this.end();
  }

  /** @returns whether there was one */
  #takeMessage(): boolean {
    if (this.#in.length < LENGTH_BYTES) return false;
    const length = ((this.#in[0] as number) << 8) | (this.#in[1] as number);
    if (this.#in.length < LENGTH_BYTES + length) return false;
    const message = this.#in.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
    this.#in = this.#in.subarray(LENGTH_BYTES + length);
    this.#waiting++;
    const isQuestion = this.#resolver.resolve(message, this.#asker, "tcp", (bytes) => {
      this.#waiting--;
      this.#answer(bytes);
    });
    // with whoever says anything else there is nothing to be talked about
    if (!isQuestion) this.end();
    return true;
  }

  get #mayTake(): boolean {
    return this.#waiting < MOST_WAITING && this.#outBytes < MOST_OUT_BYTES;
  }

  #answer(bytes: Uint8Array): void {
    if (this.#isOver) return;
    const framed = new Uint8Array(LENGTH_BYTES + bytes.length);
    put(framed, 0, bytes.length);
    framed.set(bytes, LENGTH_BYTES);
    this.#out.push(framed);
    this.#outBytes += framed.length;
    this.#write();
    if (!this.#isOver) this.#listen();
  }

  #write(): void {
    while (this.#out.length > 0) {
      const first = this.#out[0] as Uint8Array;
      const written = send(this.#fd, first.subarray(0, SEND_BYTES));
      if (written === -EAGAIN) return;
      if (written < 0) return this.end();
      this.#stir();
      this.#outBytes -= written;
      if (written === first.length) this.#out.shift();
      else this.#out[0] = first.subarray(written);
    }
  }

  /** Something goes on. */
  #stir(): void {
    this.#timer.cancel();
    this.#timer = this.#loop.after(IDLE_MS, () => this.end());
  }

  #listen(): void {
    this.#takeMessages();
    if (this.#isOver || this.#isTaking) return;
    const wantsIn = this.#mayTake && !this.#isHalf;
    const events = (wantsIn ? EPOLLIN : 0) | (this.#out.length > 0 ? EPOLLOUT : 0);
    if (events === this.#events) return;
    this.#events = events;
    this.#loop.modify(this.#fd, events);
  }
}

function concatenated(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
