/** Removes what does not run. @module */
import type { ContainerFilters } from "./filter.ts";
import type { Home } from "./home.ts";

export interface PruneContainersOptions {
  /** `until`, `label`, `label!`. */
  filters?: ContainerFilters;
}

export interface Pruned {
  removed: string[];
  freedBytes: number;
}

export async function prune(_home: Home, _options: PruneContainersOptions): Promise<Pruned> {
  throw new Error("todo");
}
