/** Whether somebody has to decide what becomes of a container when it has ended: its supervisor cannot. @module */
import { Directory } from "../../syscalls/index.ts";
import type { Home } from "./home.ts";
import { DECIDE } from "./layout.ts";
import type { ContainerRecord } from "./record.ts";
import { policyOf } from "./restart-policy.ts";

export const isDecided = ({ options }: Pick<ContainerRecord, "options">): boolean =>
  options.remove === true || policyOf(options.restart).name !== "no";

/** A file tells the supervisor, whenever that ends: a policy can be changed while the container runs. */
export function setDecided(home: Home, record: Pick<ContainerRecord, "id" | "options">): void {
  using directory: Directory | undefined = home.directory(record.id);
  if (isDecided(record)) directory?.replace(DECIDE, new Uint8Array());
  else if (directory?.status(DECIDE)) directory.remove(DECIDE);
}
