/** `tsbox network prune` @module @see https://docs.docker.com/reference/cli/docker/network/prune/ */
import type { NetworkFilters } from "../../network/index.ts";
import { confirm } from "../ask.ts";
import { containerFilters } from "../containers/prune.ts";
import { declare, type Add } from "../images/declare.ts";
import { print } from "../print.ts";
import { withNetworks } from "./with-networks.ts";

export const addPrune: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove unused networks",
      usage: "[FLAGS]",
      flags: [
        ["--filter <KEY=VALUE>...", "until=24h, label=KEY[=VALUE], label!=KEY[=VALUE]"],
        ["-f, --force", "Do not ask"],
      ],
    },
    ({ filter = [], force = false }: { filter?: string[]; force?: boolean }) =>
      withNetworks(async ({ networks }) => {
        const filters = await networkFilters(filter);
        if (!force && !confirm("WARNING! This will remove all custom networks not used by at least one container."))
          return;
        tellRemoved(await networks.prune(filters));
      }),
  );

/** Of `prune`, as the library has them. @throws TsboxError `invalid_option` */
export async function networkFilters(filter: readonly string[]): Promise<NetworkFilters> {
  const { until, ...others } = containerFilters(filter);
  if (!until) return others;
  const { momentOf } = await import("../../images/index.ts");
  return { ...others, until: until.map((text) => String(momentOf(text).getTime())) };
}

export function tellRemoved(removed: readonly string[]): void {
  if (removed.length > 0) print(`Deleted Networks:\n${removed.map((each) => `${each}\n`).join("")}\n`);
}
