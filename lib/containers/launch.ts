/** Starts the processes of a container, under a supervisor that outlives this program. @module */
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

export interface Running {
  /** Of init, on the host. */
  pid: number;
}

/**
 * Once its command is executed. The caller holds the container's lock, and has written down that it is starting.
 * @throws TsboxError as `Sandbox.run`; nothing is left of it then
 */
export async function launchContainer(_home: Home, _record: ContainerRecord): Promise<Running> {
  throw new Error("todo");
}
