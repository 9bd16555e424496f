/**
 * What becomes of a container that has ended. Its supervisor, or who has waited to start it again, executes tsbox for
 * this, as `tsbox container ended ID` and `tsbox container restart-now ID`.
 * @module
 */
import { kindOfPath, TsboxError } from "../../syscalls/index.ts";
import type { Home } from "./home.ts";
import { locked } from "./lock.ts";
import { releaseMounts } from "./mounts.ts";
import { giveBackNetworks } from "./give-back.ts";
import { settle } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";
import { removeLocked } from "./remove.ts";
import { restartDelay } from "./restart-policy.ts";
import { letGo, RestartWait } from "./restart-wait.ts";
import { callSelf } from "./self.ts";
import { startLocked } from "./start.ts";
import { restartLocked } from "./stop.ts";
import { isAlive } from "./supervisor.ts";

/** It is removed, started again, waited for, or left as it is. */
export const ended = (home: Home, id: string): Promise<void> =>
  ifThere(home, id, async () => {
    letGo(home, id);
    const record = settle(home, id);
    const waits = record?.status === "restarting" && !isAlive(home, id);
    // otherwise somebody was here before, and has started or removed it
    if (!record || !(waits || record.status === "exited")) return;
    if (!goes(record)) await giveBackNetworks(home, record);
    await decide(home, record);
  });

/** What it has in networks goes last then. */
const goes = ({ options, after }: ContainerRecord): boolean => options.remove === true && after !== "restart";

async function decide(home: Home, record: ContainerRecord): Promise<void> {
  const { id } = record;
  await releaseMounts(home, record);
  if (record.after === "restart") return await restartLocked(home, id);
  if (goes(record)) return await removeLocked(home, id, { volumes: true });
  const delayMs = restartDelay(record);
  const next = callSelf(home, "restart-now", id);
  if (delayMs === undefined || !next) return;
  const waiting = new RestartWait(home, id);
  home.state.containers.update<ContainerRecord>(id, (row) => ({
    ...row,
    status: "restarting",
    restarts: row.restarts + 1,
    restartDelay: delayMs,
  }));
  waiting.begin(delayMs, next);
}

/**
 * Its time to wait is over. What was passed on keeps others from taking it for over until it is written down that it is
 * being started; but whoever has the lock may wait for just this end.
 */
export async function restartNow(home: Home, id: string): Promise<void> {
  const late = setTimeout(() => letGo(home, id), LATE_MS);
  await ifThere(home, id, async () => {
    clearTimeout(late);
    const record = home.state.containers.get<ContainerRecord>(id);
    if (record?.status !== "restarting") return;
    const { restarts, restartDelay: delayMs = 0 } = record;
    await startLocked(home, id, { restarts, restartDelay: delayMs }, () => letGo(home, id));
  });
  clearTimeout(late);
}

const LATE_MS = 500;

/** With the lock of the container. Where all of them have been removed, nothing is made anew. */
async function ifThere(home: Home, id: string, work: () => Promise<void>): Promise<void> {
  if (kindOfPath(home.path(id)) === undefined) return;
  try {
    await locked(home, id, work);
  } catch (error) {
    if (!(error instanceof TsboxError) || error.code !== "container_not_found") throw error;
  }
}
