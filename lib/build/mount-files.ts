/** Mounts of a RUN, and files for them in a place of the build's own. @module */
import type { Selection } from "./files/index.ts";
import type { MountOption } from "../sandbox/index.ts";
import type { Found, Making } from "./making.ts";
import type { StepMount } from "./step.ts";
import { treeOf } from "./trees.ts";

/** One mount, and what is to be done when it is not needed any more. */
export interface Prepared {
  mount?: MountOption;
  env?: Record<string, string>;
  release?: () => void | Promise<void>;
  /** False: its files were changed since they were looked at. */
  isSame?: boolean;
}

/** With what of a context the step is known by. */
export interface SelectedMount extends StepMount {
  selection?: Selection | undefined;
}

/** Files of a source, in a place of the build's own. */
export async function copied(
  making: Making,
  found: Found,
  mount: SelectedMount,
): Promise<{ path: string; isSame: boolean }> {
  const { files, source = "/" } = mount;
  const tree = await treeOf(making, found, files as NonNullable<StepMount["files"]>);
  const upper = making.workspace.make("mount");
  const isDirectory = (await making.files.kindIn(tree, source)) === "directory";
  const selection = mount.selection ?? (await making.files.select(tree, { sources: [source] }));
  const name = source.slice(source.lastIndexOf("/") + 1);
  const { isSame } = await making.files.copy(
    selection,
    { lower: { layers: [], isContext: false }, upper },
    { destination: isDirectory ? "/files/" : `/${name}`, workingDirectory: "/", signal: making.signal },
  );
  return { path: isDirectory ? `${upper}/files` : `${upper}/${name}`, isSame };
}
