/** Lists of containers. @module */
import type { ListOptions } from "./containers.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

/** Docker's, each with the values of which one has to fit: `{ status: ["running"], label: ["a=b"] }`. */
export type ContainerFilters = Record<string, string[]>;

export async function list(_home: Home, _options: ListOptions): Promise<ContainerRecord[]> {
  throw new Error("todo");
}
