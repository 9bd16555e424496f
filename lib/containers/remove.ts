/** Removes a container, with all that it has. @module */
import { checkOptions } from "../options/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { addContainerEvent } from "./events.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { end, markRemoving, removeRest } from "./leftovers.ts";
import { wakeSupervisor } from "./wake.ts";
import { locked } from "./lock.ts";
import { notFound } from "./names.ts";
import { isUp, settle } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";

export interface RemoveOptions {
  /** Also one that runs, which is killed. */
  force?: boolean;
  /** With its own volumes. */
  volumes?: boolean;
}

/** @throws TsboxError `container_state` where it runs, and nothing is forced; `container_not_found` */
export async function remove(home: Home, id: string, options: RemoveOptions): Promise<void> {
  checkOptions("remove", options, { force: "flag", volumes: "flag" });
  if (!options.force) refuseRunning(recordOf(home, id));
  await locked(home, id, () => removeLocked(home, id, options));
}

/** The same, by whoever has its lock. */
export async function removeLocked(home: Home, id: string, { force, volumes }: RemoveOptions): Promise<void> {
  if (force) wakeSupervisor(home, id);
  const record = settle(home, id);
  if (!record) throw notFound(id);
  if (isUp(record)) {
    if (!force) refuseRunning(record);
    home.state.withSpare(() =>
      home.state.transaction(() => {
        addContainerEvent(home, record, "kill", { attributes: { signal: "9" } });
        home.state.containers.update<ContainerRecord>(id, (now) => ({ ...now, stopped: true }));
      }),
    );
    await end(home, id);
    settle(home, id);
  }
  const going = markRemoving(home, id, volumes === true || record.options.remove === true);
  if (going) await removeRest(home, going);
}

const WHY: Partial<Record<ContainerRecord["status"], string>> = {
  running: "container is running: stop the container before removing or force remove",
  starting: "container is running: stop the container before removing or force remove",
  paused: "container is paused and must be unpaused first",
  restarting: "container is restarting: stop the container before removing or force remove",
};

function refuseRunning({ name, status }: ContainerRecord): void {
  const why = WHY[status];
  if (why === undefined) return;
  throw new TsboxError(`cannot remove container "/${name}": ${why}`, { code: "container_state" });
}
