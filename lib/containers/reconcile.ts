/** What the kernel knows better than a record says. @module */
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

/** Undefined where it is gone. */
export function reconciled(_home: Home, record: ContainerRecord): ContainerRecord | undefined {
  return record;
}
