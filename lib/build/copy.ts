/** COPY, ADD and WORKDIR: files of a context, or of what a step has made, into the next layer. @module */
import { Directory } from "../../syscalls/index.ts";
import type { Selection } from "./files/index.ts";
import type { Found, Making } from "./making.ts";
import { lowersOf } from "./snapshot.ts";
import type { CopyOperation, DirectoryOperation } from "./step.ts";
import { layersTree, treeOf } from "./trees.ts";

const encoder = new TextEncoder();

/** What the sources come to; undefined where there are none. */
export async function selectionOf(
  making: Making,
  found: Found,
  { source, sources, exclude, parents }: CopyOperation,
): Promise<Selection | undefined> {
  if (sources.length === 0) return undefined;
  const tree = await treeOf(making, found, source);
  return making.files.select(tree, { sources, exclude, parents });
}

/** @returns whether what was copied is what the selection was known by */
export async function copy(
  making: Making,
  found: Found,
  operation: CopyOperation,
  selection: Selection | undefined,
  layer: string,
): Promise<boolean> {
  const target = targetOf(making, found, layer);
  const { destination, directory, chown, chmod, parents, link, unpack, files } = operation;
  const options = {
    destination,
    workingDirectory: directory,
    parents,
    link,
    unpack: unpack !== "none",
    signal: making.signal,
    ...(chown === undefined ? {} : { chown }),
    ...(chmod === undefined ? {} : { chmod }),
    ...(making.epoch === undefined ? {} : { latest: making.epoch }),
  };
  let isSame = true;
  if (selection) {
    const { changed } = await making.files.copy(selection, target, options);
    isSame = changed.length === 0;
  }
  if (files.length > 0) {
    const contents = files.map(({ name, content }) => ({ name, content: encoder.encode(content) }));
    await making.files.write(contents, target, options);
  }
  return isSame;
}

export async function makeDirectory(
  making: Making,
  found: Found,
  { path, user }: DirectoryOperation,
  layer: string,
): Promise<void> {
  await making.files.write([], targetOf(making, found, layer), {
    destination: path.endsWith("/") ? path : `${path}/`,
    workingDirectory: "/",
    signal: making.signal,
    ...(user === "" ? {} : { chown: user }),
    ...(making.epoch === undefined ? {} : { latest: making.epoch }),
  });
}

function targetOf(making: Making, { below }: Found, layer: string) {
  const upper = `${layer}/upper`;
  Directory.make(upper, 0o755);
  return { lower: layersTree(making, lowersOf(making, below)), upper };
}
