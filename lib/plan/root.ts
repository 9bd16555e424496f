/**
 * The root filesystem: put together over "/", made the root by pivot_root(2), and the host's dropped.
 * @module
 * @see pivot_root(2), https://docs.kernel.org/filesystems/overlayfs.html
 */
import { cstring, named, ref } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import type { DiskLimit, Root, RootEntry } from "./compile.ts";
import { flags } from "./constants.ts";
import { moveTo, openFilesystem, openSource } from "./mounts.ts";

const here = flags("AT_FDCWD");

/** @param opened there is an open tree of the root filesystem's directory already */
export const rootSteps = (spec: Spec, root: Root, opened: boolean): Plan => [...makeRoot(spec, root, opened), PIVOT];

/** What is at "/" afterwards is seen by nobody but this process, which goes there. */
const enterTree = (tree: string, at = "/"): Op[] => [moveTo(tree, here, at), { call: "fchdir", args: [ref(tree)] }];

/** Absolute paths still lead to the host's root then; relative ones are in the new one. */
export function makeRoot(spec: Spec, root: Root, opened: boolean): Plan {
  if (root.kind === "tmpfs") {
    const made = openFilesystem(
      "tmpfs",
      "root",
      ["mode=755", "nodev", "nosuid", ...sizeOf(root.limit)],
      "the root filesystem",
    );
    return [
      { ...made, ops: [...made.ops, ...enterTree("root")] },
      { action: "lay out the root filesystem", ops: root.entries.flatMap(entryOps) },
    ];
  }
  const source = opened ? [] : openRoot(spec, root);
  if (root.kind === "overlay") return [...source, ...overlaySteps(root)];
  // a bundle's stays at its own path, where hooks of the host look for it, and mount
  const at = root.kind === "bundle" ? spec.root.path : "/";
  const what = root.kind === "bundle" ? "itself" : "the host's root";
  const place = { action: `put "${spec.root.path}" over ${what}`, ops: enterTree("rootfs", at) };
  return [...source, { ...place, code: "mount_failed" }];
}

/** As the slots {@link rootSlots}. */
export function openRoot(spec: Spec, root: Root): Plan {
  const readOnly = root.kind === "directory" && spec.root.readonly;
  const options = root.kind === "bundle" ? ["rbind"] : ["rbind", "rnodev", ...(readOnly ? ["rro"] : [])];
  const steps = [openSource(spec.root.path, "rootfs", options)];
  if (root.kind !== "overlay" || root.layer === undefined) return steps;
  const { layer } = root;
  const make = ["upper", "work"].map((name): Op => ({
    call: "mkdirat",
    args: [here, cstring(`${layer}/${name}`), 0o755],
    onError: { ignore: "EEXIST" },
  }));
  const open = openSource(layer, "layer", []);
  return [...steps, { ...open, ops: [...make, ...open.ops] }];
}

/** Open trees that the root filesystem is made of. */
export function rootSlots(root: Root): string[] {
  if (root.kind === "tmpfs") return [];
  return root.kind === "overlay" && root.layer !== undefined ? ["rootfs", "layer"] : ["rootfs"];
}

const sizeOf = (limit: DiskLimit | undefined): string[] =>
  limit ? [`size=${limit.sizeBytes}`, `nr_inodes=${limit.inodes}`] : [];

function overlaySteps({ limit, layer }: Extract<Root, { kind: "overlay" }>): Plan {
  const what = layer === undefined ? "the writable layer" : "the places of the layers";
  const layers = openFilesystem("tmpfs", "layers", ["mode=755", ...sizeOf(limit)], what);
  // both have to be on one mount
  const [upper, work] = layer === undefined ? ["upper", "work"] : ["layer/upper", "layer/work"];
  const directories = ["lower", ...(layer === undefined ? [upper, work] : ["layer"]), "merged"];
  const mkdir = (name: string): Op => ({ call: "mkdirat", args: [here, cstring(name), 0o755] });
  // userxattr: a user namespace may not write the trusted ones. Since Linux 5.11
  const data = ["lowerdir=lower", `upperdir=${upper}`, `workdir=${work}`, "userxattr", "nodev"];
  const overlay = openFilesystem("overlay", "merged", data, "the root filesystem");
  const place = [moveTo("rootfs", here, "lower"), ...(layer === undefined ? [] : [moveTo("layer", here, "layer")])];
  const enter: Op[] = [moveTo("merged", here, "merged"), { call: "chdir", args: [cstring("merged")] }];
  const hint: Step["hint"] = (errno) =>
    layer !== undefined && errno === "EINVAL"
      ? `the file system of "${layer}" cannot be the upper one of an overlay: it is one itself, or has no user attributes`
      : overlay.hint?.(errno);
  return [
    { ...layers, ops: [...layers.ops, ...enterTree("layers"), ...directories.map(mkdir)] },
    { ...overlay, ops: [...place, ...overlay.ops, ...enter], hint },
  ];
}

/** Both names are the same directory: the old root ends up on top of the new one. @see pivot_root(2) */
export const PIVOT: Step = {
  action: "make it the root",
  ops: [
    { call: "pivot_root", args: [cstring("."), cstring(".")] },
    { call: "chdir", args: [cstring("/")] },
  ],
};

/**
 * One that stayed would be seen by the new root's "..": an escape.
 * @param dropped tells the second process
 */
export function dropOldRoot(root: Root, dropped: Data): Step {
  // of an overlay, the file system that holds its layers lies on top of the host's root
  const covers = root.kind === "overlay" ? 2 : 1;
  const drop: Op = { call: "umount2", args: [cstring("."), flags("MNT_DETACH")] };
  const tell: Op = { call: "store", args: [dropped, 1, 8] };
  return { action: "drop the host's root", ops: [...Array.from({ length: covers }, () => drop), tell] };
}

function entryOps(entry: RootEntry): Op[] {
  const path = cstring(entry.path.slice(1));
  if (entry.symlink !== undefined) return [{ call: "symlinkat", args: [cstring(entry.symlink), here, path] }];
  if (entry.directory !== undefined) {
    const ops: Op[] = [{ call: "mkdirat", args: [here, path, entry.directory & 0o777] }];
    if (entry.directory & 0o1000) ops.push({ call: "fchmodat", args: [here, path, entry.directory] });
    return ops;
  }
  const content = entry.file ?? new Uint8Array();
  return [
    { call: "openat", args: [here, path, named("O_WRONLY|O_CREAT", 0o101), 0o644], out: "file" },
    { call: "write", args: [ref("file"), { data: content, text: `${content.length} bytes` }, content.length] },
    { call: "close", args: [ref("file")] },
  ];
}
