/** Lists of containers. @module */
import { checkOptions } from "../options/index.ts";
import type { Home } from "./home.ts";
import { sweepLeftovers } from "./leftovers.ts";
import { reconciled } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";

/** Docker's, each with the values of which one has to fit: `{ status: ["running"], label: ["a=b"] }`. */
export type ContainerFilters = Record<string, string[]>;

export interface ListOptions {
  /** Not only those that run. */
  all?: boolean;
  filters?: ContainerFilters;
}

const RUNNING: readonly ContainerRecord["status"][] = ["running", "paused", "restarting"];

/** The newest first. @throws TsboxError `invalid_option`; `container_not_found` for one that others are compared with */
export async function list(home: Home, options: ListOptions): Promise<ContainerRecord[]> {
  checkOptions("list", options, { all: "flag", filters: "filters" });
  const { all = false, filters = {} } = options;
  const names = Object.keys(filters).filter((name) => (filters[name] as string[]).length > 0);
  // a mistake in them is told before anything is looked at
  const fits = names.length > 0 ? (await import("./filter-tests.ts")).testOf(home, filters) : undefined;
  const isWanted = ({ status }: ContainerRecord) => all || names.includes("status") || RUNNING.includes(status);
  const found = await current(home);
  return found.filter((record) => isWanted(record) && (fits === undefined || fits(record)));
}

/** All, as they are now; what is left of commands that were killed is gone. */
export async function current(home: Home): Promise<ContainerRecord[]> {
  const rows = home.state.containers.list<ContainerRecord>();
  const settled = rows.flatMap((row) => (row.status === "creating" ? row : (reconciled(home, row) ?? [])));
  const kept = (await sweepLeftovers(home, settled)) ? home.state.containers.list<ContainerRecord>() : settled;
  return kept.filter(({ status }) => status !== "creating");
}
