/** Mounts of a RUN, and files for them in a place of the build's own. @module */
import type { MountOption } from "../sandbox/index.ts";
import type { Found, Making } from "./making.ts";
import type { StepMount } from "./step.ts";
import { treeOf } from "./trees.ts";

/** One mount, and what is to be done when it is not needed any more. */
export interface Prepared {
  mount?: MountOption;
  env?: Record<string, string>;
  release?: () => void | Promise<void>;
}

/** Files of a source, in a place of the build's own. */
export async function copied(making: Making, found: Found, mount: StepMount): Promise<string> {
  const { files, source = "/" } = mount;
  const tree = await treeOf(making, found, files as NonNullable<StepMount["files"]>);
  const upper = making.workspace.make("mount");
  const isDirectory = (await making.files.kindIn(tree, source)) === "directory";
  const selection = await making.files.select(tree, { sources: [source] });
  const name = source.slice(source.lastIndexOf("/") + 1);
  await making.files.copy(
    selection,
    { lower: { layers: [], isContext: false }, upper },
    { destination: isDirectory ? "/files/" : `/${name}`, workingDirectory: "/", signal: making.signal },
  );
  return isDirectory ? `${upper}/files` : `${upper}/${name}`;
}
