/** Files of a context, or of what a step has made, as a tree. @module */
import type { FileTree } from "./files/index.ts";
import type { Found, Making } from "./making.ts";
import { lowersOf } from "./snapshot.ts";
import type { Source } from "./step.ts";

export async function treeOf(making: Making, found: Pick<Found, "snapshots">, source: Source): Promise<FileTree> {
  if (source.kind === "context") return making.contexts.tree(source.name);
  return layersTree(making, lowersOf(making, found.snapshots.get(source.step) ?? []));
}

export const layersTree = ({ ids }: Pick<Making, "ids">, layers: readonly string[]): FileTree => ({
  layers,
  isContext: false,
  ...(ids ? { ids } : {}),
});
