/**
 * The root filesystem: put together over "/", made the root by pivot_root(2), and the host's dropped.
 * @module
 * @see pivot_root(2), https://docs.kernel.org/filesystems/overlayfs.html
 */
import { cstring, named, ref } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import type { Spec } from "../spec/index.ts";
import type { DiskLimit, OverlayRoot, Root, RootEntry } from "./compile.ts";
import { flags } from "./constants.ts";
import { moveTo, openFilesystem, openSource } from "./mounts.ts";
import { passOps } from "./pass.ts";

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

/** `linux.rootfsPropagation` is that the root hears of the host's mounts. */
export const isSlave = (name: string | undefined): name is string => /^r?slave$/.test(name ?? "");

/** As the slots {@link rootSlots}. */
export function openRoot(spec: Spec, root: Root): Plan {
  const readOnly = root.kind === "directory" && spec.root.readonly;
  const { rootfsPropagation } = spec.linux;
  // a private one could not become a slave of the host's any more
  const slave = isSlave(rootfsPropagation) ? [rootfsPropagation] : [];
  const options = root.kind === "bundle" ? ["rbind", ...slave] : ["rbind", "rnodev", ...(readOnly ? ["rro"] : [])];
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

function overlaySteps({ limit, layer, layers: stacked, passed }: OverlayRoot): Plan {
  const what = layer === undefined ? "the writable layer" : "the places of the layers";
  const layers = openFilesystem("tmpfs", "layers", ["mode=755", ...sizeOf(limit)], what);
  // both have to be on one mount
  const [upper, work] = layer === undefined ? ["upper", "work"] : ["layer/upper", "layer/work"];
  const directories = ["lower", ...(layer === undefined ? [upper, work] : ["layer"]), "merged"];
  const place = [moveTo("rootfs", here, "lower"), ...(layer === undefined ? [] : [moveTo("layer", here, "layer")])];
  const lower = lowerOf(stacked);
  const overlay = mountOverlay(lower.names, upper, work);
  const hint: Step["hint"] = (errno) => {
    if (errno !== "EINVAL") return overlay.hint?.(errno);
    if (layer !== undefined)
      return `the file system of "${layer}" cannot be the upper one of an overlay: it is one itself, or has no user attributes`;
    return lower.names.length > MAX_LAYERS ? `the kernel stacks at most ${MAX_LAYERS} layers` : overlay.hint?.(errno);
  };
  const pass = passed ? passUpper(upper) : [];
  const enter: Op[] = [{ call: "chdir", args: [cstring("merged")] }];
  return [
    { ...layers, ops: [...layers.ops, ...enterTree("layers"), ...directories.map(makeHere), ...lower.ops] },
    { ...overlay, ops: [...place, ...overlay.ops, ...pass, ...enter], hint },
  ];
}

const makeHere = (name: string): Op => ({ call: "mkdirat", args: [here, cstring(name), 0o755] });

/** OVL_MAX_STACK */
const MAX_LAYERS = 500;
/** A string of fsconfig(2), its NUL included. */
const MAX_STRING = 256;

/** Names of the layers, top first, that are short however many they are: what is behind a symlink is looked up once. */
function lowerOf(layers: readonly string[] | undefined): { names: string[]; ops: Op[] } {
  if (layers === undefined) return { names: ["lower"], ops: [] };
  // an image without layers
  if (layers.length === 0) return { names: ["empty"], ops: [makeHere("empty")] };
  const link = (layer: string, index: number): Op => ({
    call: "symlinkat",
    args: [cstring(`lower/${layer}`), here, cstring(String(index))],
  });
  return { names: layers.map((_, index) => String(index)), ops: layers.map(link) };
}

/**
 * On "merged". Where the names do not fit in one string they are told one by one, since Linux 6.7; before that, all at
 * once by mount(2), whose options are a page: that has room for as many as an overlay can have.
 */
function mountOverlay(names: string[], upper: string, work: string): Step {
  const lowerdir = `lowerdir=${names.join(":")}`;
  // userxattr: a user namespace may not write the trusted ones. Since Linux 5.11
  const rest = [`upperdir=${upper}`, `workdir=${work}`, "userxattr"];
  const isShort = names.join(":").length < MAX_STRING;
  const lowers = isShort ? [lowerdir] : names.map((name) => `lowerdir+=${name}`);
  const step = openFilesystem("overlay", "merged", [...lowers, ...rest, "nodev"], "the root filesystem");
  const attach = moveTo("merged", here, "merged");
  if (isShort) return { ...step, ops: [...step.ops, attach] };
  const ops = step.ops.map((op): Op => (op.call === "fsconfig" ? { ...op, onError: { jump: "one page" } } : op));
  const page = cstring([lowerdir, ...rest].join(","));
  const args = [cstring("overlay"), cstring("merged"), cstring("overlay"), flags("MS_NODEV"), page];
  ops.push(attach, { call: "jump", args: [], label: "merged" });
  ops.push({ call: "label", args: [], label: "one page" }, { call: "mount", args });
  return { ...step, ops: [...ops, { call: "label", args: [], label: "merged" }] };
}

/** Nothing leads to it once the host's root is gone. */
const passUpper = (upper: string): Op[] => [
  { call: "openat", args: [here, cstring(upper), flags("O_PATH", "O_CLOEXEC"), 0], out: "upper" },
  ...passOps("upper"),
  { call: "close", args: [ref("upper")] },
];

/** Both names are the same directory: the old root ends up on top of the new one. @see pivot_root(2) */
export const PIVOT: Step = {
  action: "make it the root",
  ops: [
    { call: "pivot_root", args: [cstring("."), cstring(".")] },
    { call: "chdir", args: [cstring("/")] },
  ],
};

/** One that stayed would be seen by the new root's "..": an escape. */
export function dropOldRoot(root: Root): Step {
  // of an overlay, the file system that holds its layers lies on top of the host's root
  const covers = root.kind === "overlay" ? 2 : 1;
  const drop: Op = { call: "umount2", args: [cstring("."), flags("MNT_DETACH")] };
  return { action: "drop the host's root", ops: Array.from({ length: covers }, () => drop) };
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
