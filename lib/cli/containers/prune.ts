/** `tsbox container prune`: what does not run goes. @module */
import type { ContainerFilters, Pruned } from "../../containers/index.ts";
import { confirm } from "../ask.ts";
import { pruneFilters } from "../images/filters.ts";
import { humanSize } from "../images/human.ts";
import { declare, type Add } from "../images/declare.ts";
import { print } from "../print.ts";
import { withContainers } from "./with-containers.ts";

interface PruneFlags {
  filter?: string[];
  force?: boolean;
}

export const addContainerPrune: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove all stopped containers",
      usage: "[FLAGS]",
      flags: [
        ["--filter <KEY=VALUE>...", "until=24h, label=KEY[=VALUE], label!=KEY[=VALUE]"],
        ["-f, --force", "Do not ask"],
      ],
    },
    ({ filter = [], force = false }: PruneFlags) =>
      withContainers(async (containers) => {
        const filters = containerFilters(filter);
        if (!force && !confirm("WARNING! This will remove all stopped containers.")) return;
        const pruned = await containers.prune({ filters });
        tellRemoved(pruned);
        print(`Total reclaimed space: ${humanSize(pruned.freedBytes, 4)}\n`);
      }),
  );

export function tellRemoved({ removed }: Pick<Pruned, "removed">): void {
  if (removed.length > 0) print(`Deleted Containers:\n${removed.map((id) => `${id}\n`).join("")}\n`);
}

/** Of `prune`, as the library has them. @throws TsboxError `invalid_option` */
export function containerFilters(filter: readonly string[]): ContainerFilters {
  const { until, label, notLabel } = pruneFilters(filter);
  return {
    ...(until === undefined ? {} : { until: [until] }),
    ...(label ? { label } : {}),
    ...(notLabel ? { "label!": notLabel } : {}),
  };
}
