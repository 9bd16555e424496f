/** Removes what does not run. @module */
import { checkOptions } from "../options/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { current, type ContainerFilters } from "./filter.ts";
import { testOf } from "./filter-tests.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord, ContainerStatus } from "./record.ts";
import { remove } from "./remove.ts";
import { writtenBytes } from "./written.ts";

export interface PruneContainersOptions {
  /** `until`, `label`, `label!`. */
  filters?: ContainerFilters;
}

export interface Pruned {
  removed: string[];
  freedBytes: number;
}

const AT_REST: readonly ContainerStatus[] = ["created", "exited", "dead"];
/** Somebody else has removed it, or has just begun to. */
const ELSEWHERE: readonly unknown[] = ["container_not_found", "container_state"];

/** @throws TsboxError `invalid_option` */
export async function prune(home: Home, options: PruneContainersOptions): Promise<Pruned> {
  checkOptions("prune", options, { filters: "filters" });
  const { filters = {} } = options;
  const { until = [], ...others } = filters;
  const fits = testOf(home, others, ["label", "label!"]);
  const before = await timeOf(until);
  const going = (await current(home)).filter(
    (record) => AT_REST.includes(record.status) && record.created < before && fits(record),
  );
  const pruned: Pruned = { removed: [], freedBytes: 0 };
  for (const record of going) {
    const bytes = writtenBytes(home, record.id);
    if (!(await tryRemove(home, record))) continue;
    pruned.removed.push(record.id);
    pruned.freedBytes += bytes;
  }
  return pruned;
}

/** Milliseconds since 1970. */
async function timeOf([until, another]: string[]): Promise<number> {
  if (another !== undefined)
    throw new TsboxError(`invalid filter 'until=${another}': more than one until filter specified`, {
      code: "invalid_option",
    });
  if (until === undefined) return Infinity;
  const { momentOf } = await import("../images/index.ts");
  return momentOf(until).getTime();
}

async function tryRemove(home: Home, { id }: ContainerRecord): Promise<boolean> {
  try {
    await remove(home, id, {});
    return true;
  } catch (error) {
    if (ELSEWHERE.includes((error as TsboxError).code)) return false;
    throw error;
  }
}
