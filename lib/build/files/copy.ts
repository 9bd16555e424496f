/**
 * COPY: files of a selection into a target, as BuildKit does it: a directory's content goes into the destination, a file
 * to it or, where it is a directory, into it; directories are joined, files replaced, one kind never by another.
 * @module
 */
import { turns } from "../../../syscalls/index.ts";
import { Copying } from "./copying.ts";
import type { Copied, CopyOptions, CopyTarget } from "./face.ts";
import { modeChange } from "./mode.ts";
import { bytesOf } from "./names.ts";
import { OpenTree } from "./open-tree.ts";
import { ownerOf } from "./owner.ts";
import type { SelectedFiles } from "./selection.ts";
import type { Style } from "./style.ts";
import { Target } from "./target.ts";

export const styleOf = ({ chown, chmod, latest }: CopyOptions, layers: readonly string[]): Style => ({
  owner: chown === undefined ? undefined : ownerOf(chown, layers),
  mode: chmod === undefined ? undefined : modeChange(chmod),
  latest,
});

/** Absolute; with a slash at its end where it has to be a directory. */
export function destinationOf({ destination, workingDirectory }: CopyOptions): { path: string; isDirectory: boolean } {
  const path = destination.startsWith("/") ? destination : `${workingDirectory}/${destination}`;
  return { path: bytesOf(path), isDirectory: /(?:^|\/)\.{0,2}$/.test(destination) };
}

export async function copyFiles(selection: SelectedFiles, target: CopyTarget, options: CopyOptions): Promise<Copied> {
  options.signal?.throwIfAborted();
  if (selection.isEmpty) return { isSame: true };
  const { latest, link = false } = options;
  const style = styleOf(options, [target.upper, ...target.lower.layers]);
  using into = new Target(target, { latest, isAlone: link });
  using from = new OpenTree(selection.tree);
  const copying = new Copying(selection, from, into, style);
  const turn = turns(options.signal);
  // archives are read as they are unpacked
  const recorded = options.unpack ? undefined : selection.takeRecorded();
  for (const [index, match] of selection.matches.entries()) {
    if (options.unpack && (await copying.unpacked(match, destinationOf(options).path, turn))) continue;
    copying.begin(match, destinationOf(options));
    for (const each of recorded?.[index] ?? []) {
      copying.writeRecorded(each);
      await turn();
    }
    for (const part of recorded ? [] : selection.parts(from, match)) {
      for (const _ of copying.take(part)) await turn();
      await turn();
    }
  }
  into.finish();
  return { isSame: recorded !== undefined || copying.isSame };
}
