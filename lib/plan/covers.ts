/**
 * What lies over a path of the kernel's own file systems: masks, read-only copies, and mounts that stay writable.
 * @module
 * @see open_tree(2), move_mount(2)
 */
import { cstring, ref } from "../../syscalls/index.ts";
import type { Op, Step } from "../../syscalls/index.ts";
import { flags } from "./constants.ts";
import { parseMountOptions } from "./mount-options.ts";
import { attachOps, attributeOps, moveTo, openInRoot, openTreeOf, targetHint } from "./mounts.ts";

const here = flags("AT_FDCWD");
const nothing = cstring("");

/**
 * Covers a path of the kernel's own file systems, which a symlink of the root filesystem must not stand for.
 * @param prepare makes the cover, once the path is open as the slot `target`
 */
export function cover(action: string, path: string, tree: string, prepare: (target: string) => Op[] = () => []): Step {
  const ops = [openInRoot(path, "target", "no symlink"), ...prepare("target"), ...attachOps(tree, "target")];
  return { action, ops, code: "mount_failed", path, hint: coverHint(path) };
}

/** The kernel has such a path: without it, something else is there. */
const coverHint = (path: string) => (errno: string | undefined) =>
  errno === "ENOENT"
    ? `something is mounted over "/${path.split("/")[1]}": mount on what is in it instead`
    : targetHint("directory")(errno);

/** A name in the file system that an open tree is. */
export type Place = readonly [tree: string, name: string];

/**
 * The same of what is not found by a path: whatever the root filesystem is made of, it is in that file system.
 */
export function coverIn(
  action: string,
  [tree, name]: Place,
  path: string,
  cover: string,
  prepare: readonly Op[] = [],
): Step {
  return {
    action,
    ops: [...prepare, moveTo(cover, ref(tree), name)],
    code: "mount_failed",
    path,
    hint: coverHint(path),
  };
}

const READ_ONLY_COVER = parseMountOptions(["rro", "rnosuid", "rnodev", "rnoexec"]);

/** A read-only copy of what is to be covered by it. */
export const copyOfTarget =
  (tree: string) =>
  (target: string): Op[] => [openTreeOf(target, tree), ...attributeOps(tree, READ_ONLY_COVER)];

/** The same of a name in an open tree. */
export const copyIn = ([directory, name]: Place, tree: string): Op[] => [
  {
    call: "open_tree",
    args: [
      ref(directory),
      cstring(name),
      flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_RECURSIVE", "AT_SYMLINK_NOFOLLOW"),
    ],
    out: tree,
  },
  ...attributeOps(tree, READ_ONLY_COVER),
];

/** The same directory as a mount of its own, which stays what it is when the one below it becomes read-only. */
export const anotherMount =
  (tree: string) =>
  (target: string): Op[] => [
    {
      call: "open_tree",
      args: [ref(target), nothing, flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_EMPTY_PATH")],
      out: tree,
    },
  ];

/** Another mount of what covers a path already. */
export const copyOfCover = (path: string, tree: string) => (): Op[] => [
  { call: "open_tree", args: [here, cstring(path), flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC")], out: tree },
];
