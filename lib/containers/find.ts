/** Containers by what people call them. @module */
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

/** @throws TsboxError `container_not_found` */
export function find(_home: Home, _nameOrId: string): ContainerRecord {
  throw new Error("todo");
}

/** As it is now. @throws TsboxError `container_not_found` */
export function recordOf(_home: Home, _id: string): ContainerRecord {
  throw new Error("todo");
}
