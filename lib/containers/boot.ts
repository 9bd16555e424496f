/** After the machine has started. @module */
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";
import { startsAtBoot } from "./restart-policy.ts";
import { start } from "./start.ts";
import { runs } from "./status.ts";

/**
 * Those that were made first come first. One that cannot be started keeps none of the others from it.
 * @param failed is told of it
 * @returns ids of those that were started
 */
export async function boot(
  home: Home,
  failed: (record: ContainerRecord, error: unknown) => void = () => {},
): Promise<string[]> {
  const started: string[] = [];
  for (const { id } of home.state.containers.list<ContainerRecord>().toReversed()) {
    let record: ContainerRecord | undefined;
    try {
      record = recordOf(home, id);
      if (runs(record) || record.status === "restarting" || !startsAtBoot(record)) continue;
      await start(home, id);
      started.push(id);
    } catch (error) {
      // one that goes with its end is gone by now
      if (record) failed(record, error);
    }
  }
  return started;
}
