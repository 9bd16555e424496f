/**
 * Waits for changes in the directory of a container: that its log grows, that another file is begun, that it has ended.
 * @module
 * @see inotify(7)
 */
import { close, runtime, watchDirectory, unwatch, type Directory } from "../../syscalls/index.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { tryLock } from "./lock.ts";
import type { ContainerRecord } from "./record.ts";
import { isAlive, untilOver } from "./supervisor.ts";

/** Where the kernel has no more watches to give. */
const POLL_MS = 20;
/** Between two looks at a container that somebody stops or starts. */
const SETTLE_MS = 50;

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** It may still write something. */
export const isOn = ({ status }: ContainerRecord): boolean =>
  status === "running" || status === "paused" || status === "restarting" || status === "starting";

/** What it writes, until it has ended and nobody is about to start it again. */
export class Following implements Disposable {
  readonly #home: Home;
  readonly #id: string;
  readonly #watch: Watch;
  readonly #until: number;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal | undefined;
  /** `"drained"`: what it wrote before it ended has been read. */
  #run: "on" | "over" | "drained" = "on";

  constructor(
    home: Home,
    id: string,
    directory: Directory,
    options: { until?: number | bigint; signal?: AbortSignal },
  ) {
    this.#home = home;
    this.#id = id;
    this.#watch = new Watch(directory);
    const { until = Infinity, signal } = options;
    this.#until = typeof until === "bigint" ? Number(until / 1_000_000n) : until;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort, { once: true });
    this.#begin();
  }

  readonly #abort = () => this.#watch.notify();

  #begin(): void {
    this.#run = "on";
    const over = () => {
      this.#run = "over";
      this.#watch.notify();
    };
    untilOver(this.#home, this.#id, this.#over.signal).then(over, over);
  }

  /** All that there was has been read. @returns whether there may be more now */
  async next(): Promise<boolean> {
    if (this.#run === "over") {
      this.#run = "drained";
      return true;
    }
    if (this.#run === "drained") return await this.#goesOn();
    const left = this.#until - Date.now();
    if (left <= 0) return false;
    await this.#watch.next(left);
    return true;
  }

  async #goesOn(): Promise<boolean> {
    for (; !this.#signal?.aborted; await wait(SETTLE_MS)) {
      const record = findRecord(this.#home, this.#id);
      if (!record) return false;
      if (isOn(record)) {
        if (!isAlive(this.#home, this.#id)) continue;
        this.#begin();
        return true;
      }
      using held = tryLock(this.#home, this.#id);
      if (held || record.status === "dead") return false;
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#over.abort();
    this.#watch[Symbol.dispose]();
  }
}

/** Undefined where it is gone. */
export function findRecord(home: Home, id: string): ContainerRecord | undefined {
  try {
    return recordOf(home, id);
  } catch (error) {
    if ((error as { code?: string }).code === "container_not_found") return undefined;
    throw error;
  }
}

export class Watch implements Disposable {
  readonly #fd: number;
  readonly #watch: number;
  #changed = false;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(directory: Directory) {
    const { fd, watch } = watchDirectory(directory.fd, runtime.nonBlockingTerminals);
    this.#fd = fd;
    this.#watch = watch;
    if (fd >= 0) void this.#listen();
  }

  async #listen(): Promise<void> {
    const reader = runtime.readable(this.#fd).getReader();
    try {
      while (!this.#closed && !(await reader.read()).done) this.notify();
    } catch {
      // what is over is found out otherwise
    }
    await reader.cancel().catch(() => {});
    close(this.#fd);
    this.#closed = true;
    this.notify();
  }

  /** As if something had changed. */
  notify(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /** Once something has changed since the last time, or after so long; at once where it is closed. */
  async next(timeoutMs = Infinity): Promise<void> {
    if (!this.#changed && !this.#closed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const ms = this.#fd < 0 ? Math.min(timeoutMs, POLL_MS) : timeoutMs;
      const timer = ms === Infinity ? undefined : setTimeout(resolve, ms);
      await promise;
      clearTimeout(timer);
      this.#wake = undefined;
    }
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    // the last event wakes who listens
    if (this.#fd >= 0) unwatch(this.#fd, this.#watch);
    this.notify();
  }
}
