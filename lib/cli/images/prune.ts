/** `tsbox image prune`: what nobody uses goes. @module */
import type { Images } from "../../images/index.ts";
import { confirm } from "../ask.ts";
import { print } from "../print.ts";
import { safeWord } from "../safe-text.ts";
import { declare, type Add } from "./declare.ts";
import { pruneFilters } from "./filters.ts";
import { humanSize } from "./human.ts";
import { withImages } from "./with-images.ts";

export interface PruneFlags {
  all?: boolean;
  filter?: string[];
  force?: boolean;
}

export const DANGLING = "all dangling images";
export const UNUSED = "all images without at least one container associated to them";

export const PRUNE_FLAGS: [written: string, description: string][] = [
  ["-a, --all", "All unused images, not just those without a name"],
  ["--filter <KEY=VALUE>...", "until=24h, label=KEY[=VALUE], label!=KEY[=VALUE]"],
  ["-f, --force", "Do not ask"],
];

export const addImagePrune: Add = (parent, name) =>
  void declare(
    parent,
    name,
    { summary: "Remove unused images", usage: "[FLAGS]", flags: PRUNE_FLAGS },
    (flags: PruneFlags) => prune(flags, `WARNING! This will remove ${flags.all ? UNUSED : DANGLING}.`),
  );

function prune({ all = false, filter = [], force = false }: PruneFlags, warning: string): Promise<void> {
  return withImages(async (images) => {
    const filters = pruneFilters(filter);
    if (!force && !confirm(warning)) return;
    const pruned = await images.prune({ all, ...filters });
    tellRemoved(pruned);
    print(`Total reclaimed space: ${humanSize(pruned.freedBytes, 4)}\n`);
  });
}

export function tellRemoved({ untagged, deleted }: Awaited<ReturnType<Images["prune"]>>): void {
  const lines = [
    ...untagged.map((each) => `untagged: ${safeWord(each)}\n`),
    ...deleted.map((each) => `deleted: ${each}\n`),
  ];
  if (lines.length > 0) print(`Deleted Images:\n${lines.join("")}\n`);
}
