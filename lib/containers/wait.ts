/** Waits for the end of a container. @module */
import { checkChoice, checkOptions } from "../options/index.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord, Ended } from "./record.ts";
import { runs } from "./status.ts";
import { untilOver } from "./supervisor.ts";

export interface WaitOptions {
  /** Default `"not-running"`, which it may be already; `"next-exit"`: of a run from now on. */
  condition?: "not-running" | "next-exit" | "removed";
  signal?: AbortSignal;
}

const CONDITIONS = ["not-running", "next-exit", "removed"] as const;
/** Between looks at what nobody tells: that it has been started, or removed. */
const LOOK_MS = 20;
/** One whose policy starts it again is over without an end of its supervision. */
const RUN_MS = 100;

/**
 * A run that has ended counts, also where its policy starts the container again.
 * @throws TsboxError `container_not_found`; the reason of `signal`, where that fires
 */
export async function wait(home: Home, id: string, options: WaitOptions): Promise<Ended> {
  checkOptions("wait", options, { condition: "any", signal: "signal" });
  const { signal } = options;
  const condition = checkChoice("condition to wait for", options.condition, ...CONDITIONS);
  signal?.throwIfAborted();
  const exits = new Exits(home, id);
  let last = recordOf(home, id);
  if (condition === "not-running" && !runs(last) && last.status !== "restarting") return endOf(last);
  for (;;) {
    await nextLook(home, last, signal);
    const now = lookAt(home, id);
    const exitCode = exits.last();
    const seen = exitCode === undefined ? {} : { exitCode };
    if (!now) return { ...endOf(last), ...seen };
    if (condition !== "removed" && exitCode !== undefined) return { ...endOf(now), ...seen };
    last = now;
  }
}

/** Runs that end from now on. */
class Exits {
  readonly #home: Home;
  readonly #id: string;
  #sequence: number;
  #last: number | undefined;

  constructor(home: Home, id: string) {
    this.#home = home;
    this.#id = id;
    this.#sequence = home.state.lastEvent();
  }

  /** The exit code of the last one. */
  last(): number | undefined {
    for (const { sequence, id, action, attributes } of this.#home.state.eventsAfter(this.#sequence)) {
      this.#sequence = sequence;
      if (id === this.#id && action === "die") this.#last = Number(attributes["exitCode"]);
    }
    return this.#last;
  }
}

async function nextLook(home: Home, record: ContainerRecord, signal: AbortSignal | undefined): Promise<void> {
  const isLive = runs(record);
  // unlike that of AbortSignal.timeout, this one keeps a program from ending meanwhile
  const time = Promise.withResolvers<void>();
  const over = new AbortController();
  const stop = () => {
    over.abort();
    time.resolve();
  };
  const timer = setTimeout(stop, isLive ? RUN_MS : LOOK_MS);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    if (!isLive) await time.promise;
    else
      await untilOver(home, record.id, over.signal).catch((error: unknown) =>
        over.signal.aborted ? undefined : Promise.reject(error),
      );
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
  signal?.throwIfAborted();
}

function lookAt(home: Home, id: string): ContainerRecord | undefined {
  try {
    return recordOf(home, id);
  } catch (error) {
    if ((error as { code?: string }).code === "container_not_found") return undefined;
    throw error;
  }
}

const endOf = ({ exitCode = 0, oomKilled = false, reason, error }: ContainerRecord): Ended => ({
  exitCode,
  oomKilled,
  ...(reason === undefined ? {} : { reason }),
  ...(error === undefined ? {} : { error }),
});
