/** `tsbox network prune` @module @see https://docs.docker.com/reference/cli/docker/network/prune/ */
import { confirm } from "../ask.ts";
import { declare, type Add } from "../images/declare.ts";
import { valuesOf } from "../images/filters.ts";
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
        ["--filter <KEY=VALUE>...", "label=KEY[=VALUE], label!=KEY[=VALUE]"],
        ["-f, --force", "Do not ask"],
      ],
    },
    ({ filter = [], force = false }: { filter?: string[]; force?: boolean }) =>
      withNetworks(async ({ networks }) => {
        const filters = Object.fromEntries(valuesOf(filter, ["label", "label!"]));
        if (!force && !confirm("WARNING! This will remove all custom networks not used by at least one container."))
          return;
        const removed = await networks.prune(filters);
        if (removed.length > 0) print(`Deleted Networks:\n${removed.map((each) => `${each}\n`).join("")}\n`);
      }),
  );
