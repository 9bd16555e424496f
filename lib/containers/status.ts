/** What can be done with a container, by its status. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

type Known = Pick<ContainerRecord, "id" | "status">;

/** It has processes. */
export const runs = ({ status }: Known): boolean => status === "running" || status === "paused";

/** As Docker says it, whose messages know containers by their ids. */
export const notRunning = (id: string): TsboxError =>
  new TsboxError(`container ${id} is not running`, { code: "container_state" });

/** Of one that runs; one that has ended meanwhile stays what it is. @param event that comes with it */
export function setStatus(
  home: Home,
  id: string,
  status: "running" | "paused",
  event?: string,
  more: Pick<ContainerRecord, "committing"> = {},
): void {
  home.state.transaction(() => {
    let isChanged = false;
    const row = home.state.containers.update<ContainerRecord>(id, (before) => {
      const { committing: _, ...each } = before;
      isChanged = each.status === "running" || each.status === "paused";
      return isChanged ? { ...each, ...more, status } : undefined;
    });
    if (row && isChanged && event !== undefined) addContainerEvent(home, row, event);
  });
}
