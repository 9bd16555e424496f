/** What happens to containers, for whoever follows it. @module */
import { checkOptions } from "../options/index.ts";
import type { Directory } from "../../syscalls/index.ts";
import { openRoot } from "../state/index.ts";
import { eventTest } from "./event-tests.ts";
import { tellEndedExecs } from "./exec-end.ts";
import { Watch } from "./follow.ts";
import type { Home } from "./home.ts";
import { reconciled, UP } from "./reconcile.ts";
import type { ContainerEvent, ContainerRecord } from "./record.ts";

export interface EventsOptions {
  /** Milliseconds since 1970. */
  since?: number;
  /** Ends there. */
  until?: number;
  /** Docker's, by name. */
  filters?: Record<string, string[]>;
  signal?: AbortSignal;
}

/** A container that ends where nobody is told is noticed so soon. */
const LOOK_MS = 250;

/**
 * What happened since a time, where one is named, and then what happens, until the engine is disposed of.
 * @throws TsboxError `invalid_option` for filters
 */
export async function* events(home: Home, options: EventsOptions): AsyncGenerator<ContainerEvent, void, void> {
  checkOptions("events", options, { since: "number", until: "number", filters: "filters", signal: "signal" });
  const { since, until = Infinity, filters = {}, signal } = options;
  const fits = eventTest(filters);
  settleAll(home);
  let last = since === undefined ? home.state.lastEvent() : 0;
  const isWanted = (event: ContainerEvent) => event.time >= (since ?? 0) && event.time <= until && fits(event);
  using changes = new Changes(home, signal);
  // an end is written down by whoever notices it: by then others may be
  let isHistory = true;
  while (!signal?.aborted) {
    const isOver = Date.now() >= until;
    const found = eventsAfter(home, last);
    last = found.at(-1)?.sequence ?? last;
    if (isHistory) found.sort((a, b) => a.time - b.time || a.sequence - b.sequence);
    isHistory = false;
    for (const event of found) if (isWanted(event)) yield event;
    if (isOver) return;
    await changes.next(Math.min(LOOK_MS, until - Date.now()));
    if (home.isOver) return;
    settleAll(home);
  }
}

/** All of them where the database was made anew meanwhile. */
function eventsAfter(home: Home, sequence: number): ContainerEvent[] {
  const isAnew = home.state.lastEvent() < sequence;
  return home.state.eventsAfter(isAnew ? 0 : sequence) as ContainerEvent[];
}

function settleAll(home: Home): void {
  for (const record of home.state.containers.where<ContainerRecord>("status", UP)) {
    tellEndedExecs(home, record);
    reconciled(home, record);
  }
}

/** That something is written to the database, by anybody. */
class Changes implements Disposable {
  readonly #watch: Watch;
  readonly #directory: Directory;
  readonly #signal: AbortSignal | undefined;

  constructor(home: Home, signal: AbortSignal | undefined) {
    this.#directory = openRoot(home.root, "make");
    this.#watch = new Watch(this.#directory);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort, { once: true });
  }

  readonly #abort = () => this.#watch.notify();

  next(timeoutMs: number): Promise<void> {
    return this.#watch.next(Math.max(1, timeoutMs));
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#watch[Symbol.dispose]();
    this.#directory[Symbol.dispose]();
  }
}
