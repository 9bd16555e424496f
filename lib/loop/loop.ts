/**
 * One thread waits for many descriptors, and for time to pass. Meanwhile it stands still in the kernel: nothing else of
 * JavaScript runs on it, which is for workers, and for processes that do nothing else.
 * @module
 * @see epoll(7)
 */
import { clearCounter, close, Epoll, eventCounter, EPOLLIN, raiseCounter } from "../../syscalls/index.ts";

/** @param events EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP */
export type Handler = (events: number) => void;

interface Watched {
  handler: Handler;
  mark: number;
}

export interface Timer {
  /** What has been done, or was cancelled, is not done any more. */
  cancel(): void;
}

interface Due {
  at: number;
  act: () => void;
}

/** Of the thread that makes it. */
export class Loop implements Disposable {
  readonly #epoll = new Epoll();
  readonly #counter = eventCounter();
  readonly #watched = new Map<number, Watched>();
  /** Those of one delay end in the order in which they were made, so that the first of a set is the next. */
  readonly #timers = new Map<number, Set<Due>>();
  readonly #failed: (error: unknown) => void;
  #marks = 0;
  #woken = false;

  /** @param failed is told what a handler or a timer throws; without it, {@link run} does */
  constructor(failed: (error: unknown) => void = rethrow) {
    this.#failed = failed;
    this.#epoll.add(this.#counter, EPOLLIN, 0);
  }

  /** Closes nothing of what was added. */
  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
    close(this.#counter);
    this.#watched.clear();
    this.#timers.clear();
  }

  /** Any thread's {@link raiseCounter} of this ends {@link run}. */
  get waker(): number {
    return this.#counter;
  }

  /** The epoll instance, which lists what is watched. */
  get epoll(): number {
    return this.#epoll.fd;
  }

  /** Ends {@link run} when this turn is over. */
  wake(): void {
    raiseCounter(this.#counter);
  }

  /**
   * Calls the handler whenever the descriptor is ready, until it is removed.
   * @param events {@link EPOLLIN}, {@link EPOLLOUT}, {@link EPOLLRDHUP}, {@link EPOLLET}
   */
  add(fd: number, events: number, handler: Handler): void {
    // events that have been told already are not another descriptor's that gets the same number
    const mark = (this.#marks = (this.#marks + 1) >>> 0);
    this.#epoll.add(fd, events, mark);
    this.#watched.set(fd, { handler, mark });
  }

  modify(fd: number, events: number): void {
    const watched = this.#watched.get(fd);
    if (watched) this.#epoll.modify(fd, events, watched.mark);
  }

  /** To be called before it is closed. */
  remove(fd: number): void {
    if (this.#watched.delete(fd)) this.#epoll.remove(fd);
  }

  /** Once, when so much time has passed. Delays should be few different ones. */
  after(delayMs: number, act: () => void): Timer {
    const due: Due = { at: performance.now() + delayMs, act };
    const others = this.#timers.get(delayMs) ?? new Set();
    this.#timers.set(delayMs, others.add(due));
    return {
      cancel: () => {
        others.delete(due);
        if (others.size === 0 && this.#timers.get(delayMs) === others) this.#timers.delete(delayMs);
      },
    };
  }

  /** Blocks until it is woken; or until a signal has come, which JavaScript's own event loop has to be left to tell. */
  run(): void {
    this.#woken = false;
    while (!this.#woken) if (!this.turn(this.#untilNextMs())) return;
  }

  /** The same again and again, and in between what waits in JavaScript's event loop: messages to a worker, signals. */
  async serve(until: () => boolean): Promise<void> {
    while (!until()) {
      this.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** What there is to be done within so much time; -1: however long it takes. @returns false where a signal has come */
  turn(timeoutMs: number): boolean {
    const found = this.#epoll.wait(timeoutMs);
    for (let index = 0; index < (found ?? 0); index++) {
      const [fd, mark] = [this.#epoll.descriptor(index), this.#epoll.mark(index)];
      const watched = this.#watched.get(fd);
      if (watched?.mark === mark) this.#call(watched.handler, this.#epoll.events(index));
      else if (fd === this.#counter) {
        clearCounter(fd);
        this.#woken = true;
      }
    }
    if (this.#timers.size > 0) this.#pass();
    return found !== undefined;
  }

  #untilNextMs(): number {
    let next = Infinity;
    for (const [due] of this.#timers.values()) next = Math.min(next, (due as Due).at);
    return next === Infinity ? -1 : Math.max(0, Math.min(Math.ceil(next - performance.now()), 2 ** 31 - 1));
  }

  #pass(): void {
    const now = performance.now();
    for (const [delay, dues] of this.#timers) {
      for (const due of dues) {
        if (due.at > now) break;
        dues.delete(due);
        this.#call(due.act, 0);
      }
      if (dues.size === 0) this.#timers.delete(delay);
    }
  }

  #call(act: Handler, events: number): void {
    try {
      act(events);
    } catch (error) {
      this.#failed(error);
    }
  }
}

function rethrow(error: unknown): never {
  throw error;
}
