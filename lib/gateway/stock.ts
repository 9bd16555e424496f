/** Unconnected sockets of a namespace, in which this thread can make none. @module */
import { close } from "../../syscalls/index.ts";

/** When half are used, there are to be more. */
const STOCK = 32;

export class Stock {
  readonly #fds: number[] = [];
  readonly #want: (count: number) => void;
  readonly #filled: () => void;
  #ordered = false;
  #isClosed = false;

  /** @param want is told how many are needed, who calls {@link fill} then @param filled there are some again */
  constructor(want: (count: number) => void, filled: () => void) {
    this.#want = want;
    this.#filled = filled;
    this.order();
  }

  get isEmpty(): boolean {
    return this.#fds.length === 0;
  }

  /** Undefined where there is none now. */
  take(): number | undefined {
    const fd = this.#fds.pop();
    this.order();
    return fd;
  }

  fill(fds: readonly number[]): void {
    this.#ordered = false;
    if (this.#isClosed) return fds.forEach(close);
    this.#fds.push(...fds);
    if (fds.length > 0) this.#filled();
  }

  close(): void {
    this.#isClosed = true;
    for (const fd of this.#fds.splice(0)) close(fd);
  }

  /** Asks for more, where there are few. */
  order(): void {
    if (this.#ordered || this.#isClosed || this.#fds.length > STOCK / 2) return;
    this.#ordered = true;
    this.#want(STOCK - this.#fds.length);
  }
}
