/**
 * How netd is talked to: a connection for each request, a line of JSON with descriptors, and perhaps an answer of the same
 * kind. Nobody else's connections are listened to.
 * @module
 */
import {
  acceptSocket,
  close,
  closeAll,
  effectiveUid,
  EPOLLIN,
  peerUser,
  receivePassed,
  sendPassing,
  type Passed,
} from "../../syscalls/index.ts";
import type { Loop, Timer } from "../loop/index.ts";

/** In the store's directory. */
export const SOCKET = "netd.sock";
export const LINE_BYTES = 4096;
/** Whoever connects has something to say. */
const LATE_MS = 1000;
const EAGAIN = 11;

/** What is wanted, by a word, and what that is about. */
export interface Request {
  verb: string;
  /** The id of a network. */
  network?: string;
  /** Of descriptors, the first so many are of datagrams. */
  udp?: number;
  /** Of something that is kept. */
  name?: string;
  /** The id of one. */
  container?: string;
}

export interface Answer {
  line?: object;
  /** They stay whose they are. */
  fds?: readonly number[];
}

export const lineOf = (value: object): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value)}\n`);

/** Undefined for what is no request. */
export function parseRequest({ bytes }: Pick<Passed, "bytes">): Request | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const isRequest = typeof value === "object" && value !== null && typeof (value as Request).verb === "string";
    return isRequest ? (value as Request) : undefined;
  } catch {
    return undefined;
  }
}

/** @param fds the handler's from then on */
export type Handle = (request: Request, fds: readonly number[]) => Answer | undefined;

/** The end that listens. */
export class Control implements Disposable {
  readonly #loop: Loop;
  readonly #listener: number;
  readonly #handle: Handle;
  readonly #waiting = new Map<number, Timer>();
  #isOpen = true;

  /** @param listener taken over; it does not block */
  constructor(loop: Loop, listener: number, handle: Handle) {
    this.#loop = loop;
    this.#listener = listener;
    this.#handle = handle;
    loop.add(listener, EPOLLIN, () => this.takeAll());
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const fd of this.#waiting.keys()) this.#end(fd);
    this.#loop.remove(this.#listener);
    close(this.#listener);
  }

  /** All that has come by now. */
  takeAll(): void {
    for (let fd = acceptSocket(this.#listener); fd >= 0; fd = acceptSocket(this.#listener)) {
      const own = fd;
      if (peerUser(own) !== effectiveUid() && peerUser(own) !== 0) {
        close(own);
        continue;
      }
      this.#waiting.set(
        own,
        this.#loop.after(LATE_MS, () => this.#end(own)),
      );
      this.#loop.add(own, EPOLLIN, () => this.#take(own));
      this.#take(own);
    }
  }

  #take(fd: number): void {
    const passed = receivePassed(fd, LINE_BYTES);
    if (passed === -EAGAIN) return;
    if (typeof passed !== "number") {
      const request = parseRequest(passed);
      if (!request) closeAll(passed.fds);
      const answer = request && this.#handle(request, passed.fds);
      if (answer) sendPassing(fd, lineOf(answer.line ?? {}), answer.fds ?? []);
    }
    this.#end(fd);
  }

  #end(fd: number): void {
    this.#waiting.get(fd)?.cancel();
    this.#waiting.delete(fd);
    this.#loop.remove(fd);
    close(fd);
  }
}
