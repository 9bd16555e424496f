/**
 * All that a source of COPY is, in an order that is always the same: a directory, the files in it by their names, then
 * the directories in it. What is left out is never looked at.
 * @module
 */
import { show, TsboxError } from "../../../syscalls/index.ts";
import { DT, GROUP, type Level, type Merged, type Pending, type Tree } from "../../layer/index.ts";
import type { FileTree } from "./face.ts";
import { join, textOf } from "./names.ts";
import { leavesOut } from "./place.ts";

/** Against trees without end. */
const MAX_ENTRIES = 4_000_000;
/** No path of a process leads to what is deeper. */
const MAX_PATH_BYTES = 4095;

export interface Filter {
  /** By paths in the tree. */
  ignore?: FileTree["ignore"];
  /** By paths from where it began. */
  excluded: NonNullable<FileTree["ignore"]>[];
}

/** A part of the walk; the level is open until the next part is asked for. */
export type Part =
  /** @param path from where it began */
  | { kind: "directory"; path: string; level: Level }
  /** At most {@link GROUP} names, none of them of directories; some may be whiteouts. */
  | { kind: "files"; path: string; level: Level; names: Merged[] };

/** A directory on the way down; it is told of before the first thing in it. */
interface Node {
  path: string;
  pending: Pending;
  above?: Node;
  isTold: boolean;
  level?: Level;
}

export function* walk(tree: Tree, start: Pending, filter: Filter): Generator<Part, void> {
  const stack: Node[] = [{ path: "", pending: start, isTold: false }];
  let count = 0;
  for (let node; (node = stack.pop());) {
    const level = tree.enter(node.pending);
    if (!level) continue;
    node.level = level;
    try {
      if (node.path === "" || !isLeftOut(filter, node)) yield* told(node);
      const { files, directories } = sorted(level, node, filter);
      count += files.length + directories.length;
      if (count > MAX_ENTRIES) throw refused(level, `more than ${MAX_ENTRIES} files`);
      if (files.length > 0) yield* told(node);
      for (let at = 0; at < files.length; at += GROUP)
        yield { kind: "files", path: node.path, level, names: files.slice(at, at + GROUP) };
      for (const each of directories.toReversed()) stack.push(each);
    } finally {
      tree.leave(level);
    }
  }
}

/** Those above come first. */
function* told(node: Node): Generator<Part, void> {
  if (node.isTold) return;
  node.isTold = true;
  if (node.above) yield* told(node.above);
  yield { kind: "directory", path: node.path, level: node.level as Level };
}

/** It is there only because of what is in it. */
const isLeftOut = ({ ignore, excluded }: Filter, { path, pending }: Node): boolean =>
  ignore?.isIgnored(textOf(pending.path)) || excluded.some((each) => each.isIgnored(textOf(path)));

function sorted(level: Level, node: Node, { ignore, excluded }: Filter): { files: Merged[]; directories: Node[] } {
  const [files, directories]: [Merged[], Node[]] = [[], []];
  for (const each of level.names) {
    const { name, type, layers } = each;
    if (type === DT.socket) continue;
    if (level.path.length + name.length >= MAX_PATH_BYTES)
      throw refused(level, `a path of more than ${MAX_PATH_BYTES} bytes`);
    const isDirectory = type === DT.directory;
    const [path, at] = [join(node.path, name), join(level.path, name)];
    if (leavesOut(ignore, at, isDirectory) || excluded.some((patterns) => leavesOut(patterns, path, isDirectory)))
      continue;
    if (isDirectory) directories.push({ path, pending: { path: at, layers }, above: node, isTold: false });
    else files.push(each);
  }
  return { files, directories };
}

const refused = ({ path }: Level, why: string): TsboxError =>
  new TsboxError(`copy ${show(textOf(path))}: ${why}`, { code: "file_refused", path: textOf(path) });
