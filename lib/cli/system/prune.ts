/** `tsbox system prune`: whatever nobody uses goes. @module */
import { confirm } from "../ask.ts";
import { tellRemoved as tellCache } from "../build/prune.ts";
import { containerFilters, tellRemoved as tellContainers } from "../containers/prune.ts";
import type { Tsbox } from "../../engine/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { pruneFilters } from "../images/filters.ts";
import { humanSize } from "../images/human.ts";
import { DANGLING, PRUNE_FLAGS, tellRemoved as tellImages, UNUSED, type PruneFlags } from "../images/prune.ts";
import { safely } from "../images/with-images.ts";
import { invalid } from "../invalid.ts";
import { networkFilters, tellRemoved as tellNetworks } from "../networks/prune.ts";
import { print } from "../print.ts";
import { tellRemoved as tellVolumes } from "../volumes/prune.ts";

interface SystemPruneFlags extends PruneFlags {
  volumes?: boolean;
}

export const addSystemPrune: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove unused data",
      more: ": containers that do not run, networks, images, build cache, and what was left of downloads that broke off",
      usage: "[FLAGS]",
      flags: [...PRUNE_FLAGS, ["--volumes", "Also volumes without a name that no container has"]],
    },
    (flags: SystemPruneFlags) =>
      safely(async () => {
        const { filter = [], force = false, volumes = false } = flags;
        const until = filter.find((each) => /^\s*until\s*=/i.test(each));
        if (volumes && until !== undefined)
          throw invalid("--filter", until, 'the "until" filter is not supported with "--volumes"');
        pruneFilters(filter); // mistakes are told before anything is asked
        if (!force && !confirm(warning(flags))) return;
        const { Tsbox } = await import("../../engine/index.ts");
        using engine = new Tsbox();
        print(`Total reclaimed space: ${humanSize(await prune(engine, flags), 4)}\n`);
      }),
  );

function warning({ all = false, filter = [], volumes = false }: SystemPruneFlags): string {
  const kinds = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(volumes ? ["all anonymous volumes not used by at least one container"] : []),
    all ? UNUSED : DANGLING,
    all ? "all build cache" : "unused build cache",
    "what was left of downloads that broke off",
  ];
  const filtered = ["", "  Items to be pruned will be filtered with:", ...filter.map((each) => `  - ${each}`)];
  const lines = ["WARNING! This will remove:", ...kinds.map((kind) => `  - ${kind}`)];
  return `${[...lines, ...(filter.length > 0 ? filtered : [])].join("\n")}\n`;
}

/** Containers first: what they use is used until then. @returns the bytes that are free again */
async function prune(
  engine: Tsbox,
  { all = false, filter = [], volumes: withVolumes = false }: SystemPruneFlags,
): Promise<number> {
  const { containers, images, networks, volumes } = engine;
  const filters = containerFilters(filter);
  const ended = await containers.prune({ filters });
  tellContainers(ended);
  tellNetworks(await networks.prune(await networkFilters(filter)));
  const unused = withVolumes ? await volumes.prune({ filters }) : { removed: [], freedBytes: 0 };
  tellVolumes(unused);
  const gone = await images.prune({ all, ...pruneFilters(filter) });
  tellImages(gone);
  // labels are what a step of a build has none of
  const cache = filter.length > 0 ? { removed: [], freedBytes: 0 } : await engine.pruneBuildCache({ all });
  tellCache(cache);
  return ended.freedBytes + unused.freedBytes + gone.freedBytes + cache.freedBytes;
}
