/** What people are told of a container's status, in Docker's words. @module */
import type { ContainerRecord, ContainerStatus } from "./record.ts";

type Told = Pick<ContainerRecord, "status"> & Partial<Pick<ContainerRecord, "finishedAt" | "restartDelay">>;

/** What is just being made, or started, is still what it was before. */
export function toldStatus({
  status,
  finishedAt,
  restartDelay = 0,
}: Told): Exclude<ContainerStatus, "creating" | "starting"> {
  if (status === "creating") return "created";
  if (status !== "starting") return status;
  if (finishedAt === undefined) return "created";
  return restartDelay > 0 ? "restarting" : "exited";
}
