/** Stops all processes of a container, without their noticing. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import { locked } from "./lock.ts";
import { notFound } from "./names.ts";
import { requireCgroup } from "./own-cgroup.ts";
import { settle } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";
import { notRunning, setStatus } from "./status.ts";

const refused = (message: string) => new TsboxError(message, { code: "container_state" });

/**
 * @param more what is written down with it
 * @throws TsboxError `container_state`; `limit_unavailable` where it has no control group that can be frozen
 */
export async function pause(home: Home, id: string, more: Pick<ContainerRecord, "committing"> = {}): Promise<void> {
  await locked(home, id, async () => {
    const record = settle(home, id);
    if (!record) throw notFound(id);
    if (record.status === "paused") throw refused(`Container ${id} is already paused`);
    if (record.status === "restarting")
      throw refused(`Container ${id} is restarting, wait until the container is running`);
    if (record.status !== "running") throw notRunning(id);
    const cgroup = requireCgroup(record, "pause");
    // written down first: whoever comes after a crash finds what is to be thawed
    setStatus(home, id, "paused", undefined, more);
    try {
      await cgroup.freeze();
    } catch (error) {
      setStatus(home, id, "running");
      throw error;
    }
    addContainerEvent(home, record, "pause");
  });
}

/** @throws TsboxError `container_state` where it is not paused */
export async function unpause(home: Home, id: string): Promise<void> {
  await locked(home, id, () => unpauseLocked(home, id));
}

/** The same, by whoever has its lock. */
export async function unpauseLocked(home: Home, id: string): Promise<void> {
  const record = settle(home, id);
  if (!record) throw notFound(id);
  if (record.status !== "paused") throw refused(`Container ${id} is not paused`);
  await requireCgroup(record, "unpause").thaw();
  setStatus(home, id, "running", "unpause");
}
