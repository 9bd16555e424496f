/**
 * Where a path leads in directories that lie over each other, as if they were the root: symlinks on the way are followed,
 * also that at its end, and none leads out.
 * @module
 */
import { TsboxError } from "../../../syscalls/index.ts";
import type { Found, Pending, Tree } from "../../layer/index.ts";
import type { FileTree } from "./face.ts";
import { join, partsOf, textOf } from "./names.ts";

/** As the kernel follows. */
const MAX_LINKS = 40;

/** Looks names up. */
export interface Look {
  /** What a name stands for; undefined where there is nothing. */
  (above: Step, name: string): Found | undefined;
}

/** A directory on the way. */
export interface Step {
  /** Without symlinks. */
  path: string;
  /** Undefined where there is nothing. */
  pending: Pending | undefined;
}

export interface Place extends Step {
  /** What is there. */
  found: Found | undefined;
  /** The last symlink that was followed, where nothing is there: what leads nowhere. */
  link?: { path: string; target: string };
}

/** What is ignored is not there. */
export const lookIn =
  (tree: Tree, ignore?: FileTree["ignore"]): Look =>
  ({ path, pending }, name) => {
    const found = pending && tree.lookUp(pending, name);
    return found && leavesOut(ignore, join(path, name), found.stated.kind === "directory") ? undefined : found;
  };

/** A directory counts where something in it may. */
export function leavesOut(ignore: FileTree["ignore"], path: string, isDirectory: boolean): boolean {
  if (!ignore) return false;
  const text = textOf(path);
  return isDirectory ? ignore.isIgnoredWhole(text) : ignore.isIgnored(text);
}

/**
 * @param root nothing leads out of it
 * @throws TsboxError `file_refused` where a file is in the way, or symlinks go in a circle
 */
export function resolve(tree: Tree, path: string, look: Look, root: Step = { path: "", pending: tree.root }): Place {
  const rest = partsOf(path);
  let way: Step[] = [root];
  let place: Place = { ...root, found: undefined };
  let links = 0;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "..") {
      if (way.length > 1) way.pop();
      const { link } = place;
      place = { ...(way.at(-1) as Step), found: undefined, ...(link ? { link } : {}) };
      continue;
    }
    const above = way.at(-1) as Step;
    const found = look(above, name);
    const at = join(above.path, name);
    if (found?.stated.kind === "symlink") {
      const target = found.stated.linkName ?? "";
      if (++links > MAX_LINKS) throw refused(path, "too many symlinks");
      rest.unshift(...partsOf(target));
      if (target.startsWith("/")) way = way.slice(0, 1);
      place = { ...(way.at(-1) as Step), found: undefined, link: { path: at, target } };
      continue;
    }
    if (found && found.stated.kind !== "directory" && rest.length > 0)
      throw refused(path, `"${textOf(at)}" is not a directory`);
    const pending = found?.stated.kind === "directory" ? { path: at, layers: found.layers } : undefined;
    const { link } = place;
    place = { path: at, pending, found, ...(link && !found ? { link } : {}) };
    if (found === undefined || pending) way.push({ path: at, pending });
  }
  return place;
}

const refused = (path: string, why: string): TsboxError =>
  new TsboxError(`find ${JSON.stringify(textOf(path))}: ${why}`, { code: "file_refused", path: textOf(path) });
