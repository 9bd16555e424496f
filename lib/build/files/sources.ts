/** Sources of COPY and ADD as they are written: each is a path, or a pattern, in a tree. @module */
import { TsboxError } from "../../../syscalls/index.ts";
import { excluding, type Ignore } from "../../dockerfile/index.ts";
import { globOf } from "../../images/index.ts";
import { DT, type Found, type Pending, type Tree } from "../../layer/index.ts";
import type { FileTree, SelectOptions } from "./face.ts";
import { bytesOf, join, plain, split, textOf } from "./names.ts";
import { leavesOut, lookIn, resolve } from "./place.ts";

/** What one of the sources came to. */
export interface Match {
  /** What it is called where it goes. */
  name: string;
  found: Found;
  /** Where it is in the tree, without symlinks. */
  path: string;
  /** A directory's. */
  pending?: Pending;
  /** With `--parents`: all but what is taken of it, by the path from there. */
  others?: Ignore;
}

const isGlob = (text: string): boolean => /(?:^|[^\\])(?:\\\\)*[*?[]/.test(text);
const unescaped = (text: string): string => text.replace(/\\([^])/g, "$1");

/** @throws TsboxError `file_not_found`, `file_refused`, `invalid_option` */
export function matchesOf(tree: Tree, files: FileTree, { sources, parents = false }: SelectOptions): Match[] {
  return sources.flatMap((source) => (parents ? withParents(tree, files, source) : matching(tree, files, source)));
}

function withParents(tree: Tree, files: FileTree, source: string): Match[] {
  const pivot = source.indexOf("/./");
  const [above, below] = pivot < 0 ? ["/", plain(source)] : [source.slice(0, pivot), plain(source.slice(pivot + 3))];
  if (!isGlob(above) && !isGlob(below)) one(tree, files, plain(`${above}/${below}`), source);
  const others = excluding(["**", `!${below === "" ? "**" : below}`]);
  return matching(tree, files, above === "" ? "/" : above).map((match) => ({ ...match, others }));
}

function matching(tree: Tree, files: FileTree, source: string): Match[] {
  const parts = plain(source).split("/");
  const first = parts.findIndex(isGlob);
  if (first < 0) return [one(tree, files, unescaped(parts.join("/")), source)];
  const start = resolve(tree, bytesOf(unescaped(parts.slice(0, first).join("/"))), lookIn(tree, files.ignore));
  let found: { path: string; pending: Pending | undefined; found?: Found }[] = [start];
  for (const part of parts.slice(first)) {
    const matches = globOf(part);
    if (!matches)
      throw new TsboxError(`copy ${JSON.stringify(source)}: not a pattern`, { code: "invalid_option", path: source });
    found = found.flatMap(({ pending }) => (pending ? namesIn(tree, files, pending, matches) : []));
  }
  return found.flatMap(({ path }) => one(tree, files, textOf(path), source));
}

function namesIn(
  tree: Tree,
  { ignore }: FileTree,
  pending: Pending,
  matches: (name: string) => boolean,
): { path: string; pending: Pending | undefined }[] {
  const level = tree.enter(pending);
  if (!level) return [];
  tree.leave(level);
  return level.names.flatMap(({ name, type, layers }) => {
    const path = join(pending.path, name);
    const isDirectory = type === DT.directory;
    if (!matches(textOf(name)) || leavesOut(ignore, path, isDirectory)) return [];
    // a whiteout
    if (type === DT.character && !tree.lookUp(pending, name)) return [];
    return [{ path, pending: isDirectory ? { path, layers } : undefined }];
  });
}

function one(tree: Tree, { ignore, isContext }: FileTree, path: string, source: string): Match {
  const { found, pending, path: at, link } = resolve(tree, bytesOf(path), lookIn(tree, ignore));
  if (!found && !pending) {
    const where = isContext ? "the build context" : "the image";
    const hint =
      link === undefined
        ? isContext
          ? "paths begin at the context's directory; .dockerignore may leave it out"
          : undefined
        : `"${textOf(link.path)}" is a symlink to "${textOf(link.target)}", and none leads out of ${where}`;
    throw new TsboxError(`copy ${JSON.stringify(source)}: not in ${where}`, {
      code: "file_not_found",
      path: source,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  const name = split(bytesOf(path))[1];
  const it = found ?? (pending && rootOf(tree, pending, at));
  if (!it) throw new TsboxError(`copy ${JSON.stringify(source)}: it is gone`, { code: "file_not_found", path: source });
  return { name, found: it, path: at, ...(pending ? { pending } : {}) };
}

/** Of what `..` or `/` came to. */
function rootOf(tree: Tree, pending: Pending, path: string): Found | undefined {
  if (path !== "") {
    const [above, name] = split(path);
    const { pending: parent } = resolve(tree, above, lookIn(tree));
    return parent && tree.lookUp(parent, name);
  }
  const level = tree.enter(pending);
  if (!level) return undefined;
  tree.leave(level);
  return { stated: level.directory, layers: pending.layers };
}
