/** Waits for the end of a container. @module */
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";
import { runs } from "./status.ts";
import { untilOver } from "./supervisor.ts";

export interface WaitOptions {
  /** Default `"not-running"`, which it may be already; `"next-exit"`: of a run from now on. */
  condition?: "not-running" | "next-exit" | "removed";
  signal?: AbortSignal;
}

export interface Ended {
  exitCode: number;
  oomKilled: boolean;
  error?: string;
}

/** Between looks at what nobody tells: that it has been started, or removed. */
const LOOK_MS = 20;
/** One whose policy starts it again is over without an end of its supervision. */
const RUN_MS = 100;

/**
 * A run that has ended counts, also where its policy starts the container again.
 * @throws TsboxError `container_not_found`; the reason of `signal`, where that fires
 */
export async function wait(home: Home, id: string, { condition = "not-running", signal }: WaitOptions): Promise<Ended> {
  signal?.throwIfAborted();
  const since = home.state.lastEvent();
  const first = recordOf(home, id);
  if (condition === "not-running" && !runs(first) && first.status !== "restarting") return endOf(first);
  let last = first;
  for (;;) {
    await nextLook(home, last, signal);
    const now = lookAt(home, id);
    const code = lastExit(home, id, since);
    if (!now) return { ...endOf(last), ...(code === undefined ? {} : { exitCode: code }) };
    if (condition !== "removed" && code !== undefined) return { ...endOf(now), exitCode: code };
    last = now;
  }
}

async function nextLook(home: Home, record: ContainerRecord, signal: AbortSignal | undefined): Promise<void> {
  const isLive = runs(record);
  const timer = AbortSignal.timeout(isLive ? RUN_MS : LOOK_MS);
  const stop = signal ? AbortSignal.any([timer, signal]) : timer;
  const timeIsOver = new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
  if (!isLive) await timeIsOver;
  else
    await untilOver(home, record.id, stop).catch((error: unknown) =>
      stop.aborted ? undefined : Promise.reject(error),
    );
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

/** Of the last run that has ended since an event. */
function lastExit(home: Home, id: string, since: number): number | undefined {
  const died = home.state.eventsAfter(since).findLast((event) => event.id === id && event.action === "die");
  return died && Number(died.attributes["exitCode"]);
}

const endOf = ({ exitCode = 0, oomKilled = false, error }: ContainerRecord): Ended => ({
  exitCode,
  oomKilled,
  ...(error === undefined ? {} : { error }),
});
