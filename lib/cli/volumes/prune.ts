/** `tsbox volume prune` @module @see https://docs.docker.com/reference/cli/docker/volume/prune/ */
import type { PrunedVolumes } from "../../volumes/index.ts";
import { confirm } from "../ask.ts";
import { declare, type Add } from "../images/declare.ts";
import { valuesOf } from "../images/filters.ts";
import { humanSize } from "../images/human.ts";
import { print } from "../print.ts";
import { withVolumes } from "./with-volumes.ts";

interface PruneFlags {
  all?: boolean;
  filter?: string[];
  force?: boolean;
}

export const addPrune: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove unused volumes",
      more: ": those without a name that no container has",
      usage: "[FLAGS]",
      flags: [
        ["-a, --all", "Those with a name as well"],
        ["--filter <KEY=VALUE>...", "label=KEY[=VALUE], label!=KEY[=VALUE], all=true"],
        ["-f, --force", "Do not ask"],
      ],
    },
    ({ all = false, filter = [], force = false }: PruneFlags) =>
      withVolumes(async (volumes) => {
        const { all: named = [], ...filters } = Object.fromEntries(valuesOf(filter, ["label", "label!", "all"]));
        const isAll = all || named.some((value) => /^(1|t|true)$/i.test(value));
        const which = isAll ? "all" : "all anonymous";
        if (!force && !confirm(`WARNING! This will remove ${which} local volumes not used by at least one container.`))
          return;
        const pruned = await volumes.prune({ all: isAll, filters });
        tellRemoved(pruned);
        print(`Total reclaimed space: ${humanSize(pruned.freedBytes, 4)}\n`);
      }),
  );

export function tellRemoved({ removed }: Pick<PrunedVolumes, "removed">): void {
  if (removed.length > 0) print(`Deleted Volumes:\n${removed.map((each) => `${each}\n`).join("")}\n`);
}
