/**
 * Waits for changes in the directory of a container: that its log grows, that another file is begun, that it has ended.
 * @module
 * @see inotify(7)
 */
import {
  close,
  OpenFile,
  runtime,
  waitBriefly,
  watchDirectory,
  unwatch,
  type Directory,
} from "../../syscalls/index.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { LOG, LOG_TURN } from "./layout.ts";
import { tryLock } from "./lock.ts";
import { rotationOf } from "./log-rotation.ts";
import type { LogOptions } from "./options.ts";
import { isUp } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";
import { isAlive, untilOver } from "./supervisor.ts";

/** Where the kernel has no more watches to give. */
const POLL_MS = 20;
/** Between two looks at a container that somebody stops or starts. */
const SETTLE_MS = 50;
/** So long it may take who restarts it to start it again. */
const RESTART_MS = 10_000;

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Whoever replaces a file has the lock for less than this. */
const [LOCK_US, LOCK_TURNS] = [100, 1000];

interface FollowOptions {
  /** As the container has it. */
  log?: LogOptions | undefined;
  until?: number | bigint;
  signal?: AbortSignal;
  /** It does not run, as this says: from when it is started. */
  ahead?: ContainerRecord;
  /** Until it has ended, whatever comes then. */
  once?: boolean;
}

/** What it writes, until it has ended and nobody is about to start it again. */
export class Following implements Disposable {
  readonly #home: Home;
  readonly #id: string;
  readonly #watch: Watch;
  readonly #directory: Directory;
  readonly #until: number;
  readonly #limitBytes: number;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal | undefined;
  /** One that does not run yet. */
  readonly #ahead: ContainerRecord | undefined;
  readonly #once: boolean;
  /** `"drained"`: what it wrote before it ended has been read. */
  #run: "ahead" | "on" | "over" | "drained" = "ahead";

  constructor(home: Home, id: string, directory: Directory, options: FollowOptions) {
    this.#home = home;
    this.#id = id;
    this.#watch = new Watch(directory);
    this.#directory = directory;
    this.#hold();
    const { until = Infinity, signal, ahead, once = false, log } = options;
    this.#limitBytes = rotationOf(log).sizeBytes ?? Infinity;
    this.#ahead = ahead;
    this.#once = once;
    this.#until = typeof until === "bigint" ? Number(until / 1_000_000n) : until;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort, { once: true });
    if (!ahead) this.#begin();
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

  /** As long as somebody reads, no file of the log is replaced by the next without leave: `lib/plan/supervisor.ts`. */
  #hold(): void {
    for (let turn = 0; turn < LOCK_TURNS && !this.#directory.tryShare(); turn++) waitBriefly(-1, LOCK_US);
    this.#directory.remove(LOG_TURN);
  }

  /** All is read: a file that is large enough may be replaced by the next, once. */
  #giveLeave(): void {
    const { sizeBytes = 0 } = this.#directory.status(LOG) ?? {};
    if (sizeBytes >= this.#limitBytes) OpenFile.open(this.#directory, LOG_TURN, { as: "maker" })?.[Symbol.dispose]();
  }

  /** All that there was has been read. @returns whether there may be more now */
  async next(): Promise<boolean> {
    if (this.#run === "over") {
      this.#run = "drained";
      return true;
    }
    if (this.#run === "drained") return !this.#once && (await this.#goesOn());
    if (this.#run === "ahead") return await this.#lookAhead();
    const left = this.#until - Date.now();
    if (left <= 0) return false;
    this.#giveLeave();
    await this.#watch.next(left);
    return true;
  }

  async #lookAhead(): Promise<boolean> {
    await this.#watch.next(SETTLE_MS);
    if (isAlive(this.#home, this.#id)) this.#begin();
    else {
      const record = findRecord(this.#home, this.#id);
      // it may have run in the meantime
      if (!record || (!isUp(record) && record.startedAt !== this.#ahead?.startedAt)) this.#run = "over";
    }
    return true;
  }

  async #goesOn(): Promise<boolean> {
    const end = performance.now() + RESTART_MS;
    for (; !this.#signal?.aborted; await wait(SETTLE_MS)) {
      const record = findRecord(this.#home, this.#id);
      if (!record) return false;
      if (isUp(record)) {
        if (!isAlive(this.#home, this.#id)) continue;
        this.#begin();
        return true;
      }
      if (record.after === "restart" && performance.now() < end) continue;
      using held = tryLock(this.#home, this.#id);
      if (held || record.status === "dead") return false;
    }
    return true;
  }

  /** Whoever waits for more looks again. */
  wake(): void {
    this.#watch.notify();
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#over.abort();
    this.#directory.unlock();
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
