/** Containers by what people call them. @module */
import { TsboxError } from "../../syscalls/index.ts";
import type { Home } from "./home.ts";
import { notFound } from "./names.ts";
import { reconciled } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";

/**
 * By its id, its name, or the beginning of its id, in this order.
 * @throws TsboxError `container_not_found`, `id_ambiguous`
 */
export function find(home: Home, nameOrId: string): ContainerRecord {
  const record = lookUp(home, nameOrId);
  const now = record && reconciled(home, record);
  if (!now) throw notFound(nameOrId);
  return now;
}

function lookUp({ state: { containers } }: Home, nameOrId: string): ContainerRecord | undefined {
  if (typeof nameOrId !== "string" || nameOrId === "") return undefined;
  const named =
    containers.get<ContainerRecord>(nameOrId) ?? containers.byName<ContainerRecord>(nameOrId.replace(/^\//, ""));
  if (named || !/^[0-9a-f]{1,63}$/.test(nameOrId)) return named;
  const [first, second] = containers.byPrefix<ContainerRecord>(nameOrId);
  if (second) throw new TsboxError(`multiple IDs found with provided prefix: ${nameOrId}`, { code: "id_ambiguous" });
  return first;
}

/** As it is now. @throws TsboxError `container_not_found` */
export function recordOf(home: Home, id: string): ContainerRecord {
  const record = home.state.containers.get<ContainerRecord>(id);
  const now = record && reconciled(home, record);
  if (!now) throw notFound(id);
  return now;
}
