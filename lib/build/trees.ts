/** Files of a context, or of what a step has made, as a tree. @module */
import { Directory } from "../../syscalls/index.ts";
import type { FileTree } from "./files/index.ts";
import type { Found, Making } from "./making.ts";
import { lowersOf } from "./snapshot.ts";
import type { Source } from "./step.ts";

export async function treeOf(making: Making, found: Pick<Found, "snapshots">, source: Source): Promise<FileTree> {
  if (source.kind === "context") return making.contexts.tree(source.name);
  const layers = lowersOf(making, found.snapshots.get(source.step) ?? []);
  return layersTree(making, layers.length > 0 ? layers : [emptyIn(making)]);
}

/** What FROM scratch is: there is nothing in it, but it is there. */
function emptyIn({ workspace }: Making): string {
  const directory = `${workspace.make("empty")}/files`;
  Directory.make(directory, 0o755);
  return directory;
}

export const layersTree = ({ ids }: Pick<Making, "ids">, layers: readonly string[]): FileTree => ({
  layers,
  isContext: false,
  ...(ids ? { ids } : {}),
});
