/**
 * Steps that mount, by the descriptor-based API: a tree or a file system is opened while the host is visible, and
 * attached later, inside the new root.
 * @module
 * @see open_tree(2), fsopen(2), move_mount(2), mount_setattr(2), openat2(2)
 */
import { cstring, named, O_DIRECTORY, ref, structure, TsboxError } from "../../syscalls/index.ts";
import type { Data, Named, Op, Step } from "../../syscalls/index.ts";
import type { MountedFile } from "./compile.ts";
import { F_DUPFD_CLOEXEC } from "./clone.ts";
import { flags } from "./constants.ts";
import { parseMountOptions, type Attribute, type Attributes, type MountOptions } from "./mount-options.ts";

const here = flags("AT_FDCWD");
const nothing = cstring("");
const RECURSIVELY = flags("AT_EMPTY_PATH", "AT_RECURSIVE");
const ALONE = flags("AT_EMPTY_PATH");

/** mount_setattr(2) on an open tree. */
function setAttributes(tree: string, how: Named, { set, clear }: Attributes, propagation?: Attribute): Op {
  const fields = {
    attr_set: flags(...set),
    attr_clr: flags(...clear),
    propagation: flags(...[propagation ?? []].flat()),
  };
  const told = Object.entries(fields).filter(([, { value }]) => value !== 0);
  const attr = structure(
    `{${told.map(([field, { text }]) => `${field}=${text}`).join(", ")}}`,
    "mount_attr",
    Object.fromEntries(told.map(([field, { value }]) => [field, value])),
  );
  return { call: "mount_setattr", args: [ref(tree), nothing, how, attr, 32] };
}

const isEmpty = ({ set, clear }: Attributes) => set.length + clear.length === 0;
const NONE: Attributes = { set: [], clear: [] };

/** What all below gets where the top alone is named: it must not stay shared with the host unless that is wanted. */
const BELOW: Partial<Record<Attribute, Attribute>> = {
  MS_PRIVATE: "MS_PRIVATE",
  MS_UNBINDABLE: "MS_PRIVATE",
  MS_SLAVE: "MS_SLAVE",
};

/**
 * A copy of a shared mount is shared with it, and what is mounted there would be on the host as well: so every tree is
 * private, unless something else is asked for.
 */
export function attributeOps(tree: string, { own, recursive, rbind, propagation }: MountOptions): Op[] {
  const merged: Attributes = { set: [...recursive.set, ...own.set], clear: [...recursive.clear, ...own.clear] };
  const [first = { type: "MS_PRIVATE", recursive: true } as const, ...more] = propagation;
  const everywhere = first.recursive || !rbind ? first.type : BELOW[first.type];
  const all = rbind ? recursive : merged;
  const ops: Op[] = [];
  if (everywhere || !isEmpty(all)) ops.push(setAttributes(tree, RECURSIVELY, all, everywhere));
  if (rbind && !isEmpty(own)) ops.push(setAttributes(tree, ALONE, own));
  for (const { type, recursive: below } of everywhere === first.type ? more : propagation)
    ops.push(setAttributes(tree, below ? RECURSIVELY : ALONE, NONE, type));
  return ops;
}

/** Makes the mount that a path lies on read-only. */
export function readOnlyMount(path: string): Op {
  const attr = structure("{attr_set=MOUNT_ATTR_RDONLY}", "mount_attr", { attr_set: flags("MOUNT_ATTR_RDONLY").value });
  return { call: "mount_setattr", args: [here, cstring(path), 0, attr, 32] };
}

/** What is executed from it gains nothing, and nothing is: for single files of the host. */
export const restrictTree = (tree: string): Op =>
  setAttributes(tree, ALONE, { set: ["MOUNT_ATTR_NOSUID", "MOUNT_ATTR_NOEXEC"], clear: [] });

/** What is attached, and all below it, cannot be written any more. */
export const readOnlyTree = (tree: string): Op =>
  setAttributes(tree, RECURSIVELY, { set: ["MOUNT_ATTR_RDONLY"], clear: [] });

/** `linux.rootfsPropagation`: how the new root passes on what is mounted later. */
export function propagateRoot(name: string): Step {
  const [first, ...more] = parseMountOptions([name]).propagation;
  if (!first || more.length > 0) {
    throw new TsboxError(`use the rootfsPropagation "${name}": unknown`, {
      code: "invalid_option",
      hint: "private, shared, slave, unbindable, or one of them with an r before it",
    });
  }
  const type = flags(first.type);
  const attr = structure(`{propagation=${type.text}}`, "mount_attr", { propagation: type.value });
  const below = first.recursive ? flags("AT_RECURSIVE") : 0;
  return {
    action: `make the root filesystem ${name}`,
    ops: [{ call: "mount_setattr", args: [here, cstring("/"), below, attr, 32] }],
    code: "mount_failed",
  };
}

/** A detached copy of a path of the host. */
export function openSource(path: string, tree: string, options?: readonly string[]): Step {
  const parsed = parseMountOptions(options ?? []);
  const how = parsed.rbind
    ? flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_RECURSIVE")
    : flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC");
  const ops: Op[] = [{ call: "open_tree", args: [here, cstring(path), how], out: tree }];
  // nothing is mounted on a single device
  if (options) ops.push(...attributeOps(tree, parsed));
  return {
    action: `open "${path}"`,
    ops,
    code: "mount_failed",
    path,
    hint: (errno) => (errno === "ENOENT" ? "the source of the mount does not exist on the host" : undefined),
  };
}

/** How an open path is copied, with what is mounted below it where that is asked for. */
const copyOf = ({ rbind }: ReturnType<typeof parseMountOptions>) =>
  flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_EMPTY_PATH", ...(rbind ? ["AT_RECURSIVE" as const] : []));

/** A detached copy of a directory in one of the host that somebody else may be changing: no symlink leads out of that. */
export function openBelow(path: string, subpath: string, tree: string, options: readonly string[]): Step {
  const parsed = parseMountOptions(options);
  const how = copyOf(parsed);
  const [top, below] = ["source-top", "source"];
  const ops: Op[] = [
    { call: "openat", args: [here, cstring(path), flags("O_PATH", "O_CLOEXEC"), 0], out: top },
    { call: "openat2", args: [ref(top), cstring(subpath), DIRECTORY_IN_ROOT, 24], out: below },
    { call: "open_tree", args: [ref(below), nothing, how], out: tree },
    { call: "close", args: [ref(below)] },
    { call: "close", args: [ref(top)] },
    ...attributeOps(tree, parsed),
  ];
  return {
    action: `open "${subpath}" in "${path}"`,
    ops,
    code: "mount_failed",
    path: `${path}/${subpath}`,
    hint: (errno) => (errno === "ENOENT" ? "there is no such directory in the volume: make it first" : undefined),
  };
}

/** A detached copy of a path of the new root. */
export function openInside(path: string, tree: string, options: readonly string[]): Step {
  const parsed = parseMountOptions(options);
  const how = copyOf(parsed);
  const ops: Op[] = [
    openInRoot(path, "source"),
    { call: "open_tree", args: [ref("source"), nothing, how], out: tree },
    { call: "close", args: [ref("source")] },
    ...attributeOps(tree, parsed),
  ];
  return { action: `open "${path}" of the root filesystem`, ops, code: "mount_failed", path };
}

/** Makes a directory of the host, and those above it. */
export function makeDirectories(path: string): Op[] {
  const parts = path.split("/").filter(Boolean);
  // where one cannot be made, opening it fails and tells why
  return parts.map((_, index): Op => ({
    call: "mkdirat",
    args: [here, cstring(`/${parts.slice(0, index + 1).join("/")}`), 0o755],
    onError: "ignore",
  }));
}

/** A tree that has been taken from another sandbox, bound as `given`. */
export function useTree(given: string, tree: string, options: readonly string[]): Step {
  return {
    action: `use the "${given}"`,
    ops: [
      { call: "fcntl", args: [ref(given), F_DUPFD_CLOEXEC, 10], out: tree },
      ...attributeOps(tree, parseMountOptions(options)),
    ],
    code: "mount_failed",
  };
}

/** Files of an open tree look owned as `attr` says, which holds a user namespace. */
export const mapIds = (tree: string, attr: Data, recursive: boolean): Op => ({
  call: "mount_setattr",
  args: [ref(tree), nothing, recursive ? flags("AT_EMPTY_PATH", "AT_RECURSIVE") : flags("AT_EMPTY_PATH"), attr, 32],
});

/** A new file system, not attached yet. @param options also its own, `key=value` or a flag */
export function openFilesystem(type: string, tree: string, options: readonly string[], what: string): Step {
  const { data, superblock, own, recursive, propagation } = parseMountOptions(options);
  const config = "config";
  const ops: Op[] = [{ call: "fsopen", args: [cstring(type), flags("FSOPEN_CLOEXEC")], out: config }];
  for (const option of [...superblock, ...data]) {
    const equals = option.indexOf("=");
    const [key, value] = equals < 0 ? [option, undefined] : [option.slice(0, equals), option.slice(equals + 1)];
    ops.push(
      value === undefined
        ? { call: "fsconfig", args: [ref(config), flags("FSCONFIG_SET_FLAG"), cstring(key), 0, 0] }
        : { call: "fsconfig", args: [ref(config), flags("FSCONFIG_SET_STRING"), cstring(key), cstring(value), 0] },
    );
  }
  ops.push({ call: "fsconfig", args: [ref(config), flags("FSCONFIG_CMD_CREATE"), 0, 0, 0] });
  ops.push({
    call: "fsmount",
    args: [ref(config), flags("FSMOUNT_CLOEXEC"), flags(...own.set, ...recursive.set)],
    out: tree,
  });
  for (const { type: wanted } of propagation)
    if (wanted !== "MS_PRIVATE") ops.push(setAttributes(tree, ALONE, NONE, wanted));
  return {
    action: `make a ${type} for ${what}`,
    ops,
    code: "mount_failed",
    hint: (errno) => {
      if (errno === "ENODEV") return `the kernel has no ${type} file system`;
      if (errno === "EPERM") return `the kernel does not let this user namespace mount ${type}`;
      if (errno === "EINVAL")
        return `the kernel does not know one of the options, or an id is none of the user namespace: ${[...superblock, ...data].join(", ")}`;
      return undefined;
    },
  };
}

/**
 * A file that nobody can write, of a file system of its own, which lies over "/" for as long as that takes: a part of what
 * is not attached yet cannot be copied.
 */
export function openFile(
  destination: string,
  { content: data, mode = 0o644, uid = 0, gid = 0 }: MountedFile,
  tree: string,
): Step {
  const place = "file place";
  const content = { data, text: `${data.length} bytes` };
  const size = `size=${(Math.ceil(data.length / 4096) + 16) * 4}k`;
  const options = ["mode=755", size, "nosuid", "nodev", ...(mode & 0o111 ? [] : ["noexec"])];
  const made = openFilesystem("tmpfs", place, options, `"${destination}"`);
  const name = cstring("file");
  const write = named("O_CREAT|O_EXCL|O_WRONLY|O_CLOEXEC", 0o2000301);
  const ops: Op[] = [
    ...made.ops,
    moveTo(place, here, "/"),
    { call: "fchdir", args: [ref(place)] },
    { call: "openat", args: [here, name, write, 0o600], out: "file" },
    { call: "write", args: [ref("file"), content, data.length] },
    { call: "fchown", args: [ref("file"), uid, gid] },
    { call: "fchmod", args: [ref("file"), mode] },
    { call: "close", args: [ref("file")] },
    { call: "open_tree", args: [here, name, flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC")], out: tree },
    setAttributes(tree, ALONE, { set: ["MOUNT_ATTR_RDONLY"], clear: [] }, "MS_PRIVATE"),
    // absolute paths have led to the host all the time
    { call: "umount2", args: [cstring("."), flags("MNT_DETACH")] },
    { call: "chdir", args: [cstring("/")] },
    { call: "close", args: [ref(place)] },
  ];
  return { ...made, action: `make a file for "${destination}"`, ops };
}

/** move_mount(2) of an open tree to a path below an open directory. */
export function moveTo(tree: string, directory: Named | { ref: string }, path: string): Op {
  return { call: "move_mount", args: [ref(tree), nothing, directory, cstring(path), flags("MOVE_MOUNT_F_EMPTY_PATH")] };
}

const [RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT] = [0x02, 0x04, 0x10];
const OPEN_PATH = 0o12000000;
const IN_ROOT = structure("{O_PATH|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}", "open_how", {
  flags: OPEN_PATH,
  resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
});
const NO_SYMLINKS = structure("{O_PATH|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS}", "open_how", {
  flags: OPEN_PATH,
  resolve: RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
});
const DIRECTORY_IN_ROOT = structure(
  "{O_PATH|O_DIRECTORY|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}",
  "open_how",
  { flags: OPEN_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS },
);
const HOW = { anything: IN_ROOT, "no symlink": NO_SYMLINKS };

/**
 * Opens a path of the new root as the slot `out`, without leaving the root by a symlink or by a magic link of /proc:
 * while the sandbox is being made, /proc/self/fd leads to descriptors of the host (CVE-2024-21626).
 */
export const openInRoot = (path: string, out: string, how: keyof typeof HOW = "anything"): Op => ({
  call: "openat2",
  args: [here, cstring(path), HOW[how], 24],
  out,
});

/**
 * The same, making what is missing. Each missing part is made below its parent's descriptor, since mkdirat(2) itself
 * would follow a magic link.
 * @param alone waits until the host's root is gone: as long as it lies on the new one, ".." in a symlink leads there
 * @param where makes the names of labels different @param how whether symlinks are followed
 */
export function openOrMake(
  path: string,
  kind: "file" | "directory",
  out: string,
  alone: Alone,
  where = out,
  how: keyof typeof HOW = "anything",
): Op[] {
  const parts = path.split("/").filter(Boolean);
  const found = `found ${where} ${path}`;
  const ops: Op[] = parts.includes("..")
    ? []
    : [
        { ...openInRoot(path, out, "no symlink"), onError: { jump: `make ${found}` } },
        { call: "jump", args: [], label: found },
      ];
  ops.push(
    { call: "label", args: [], label: `make ${found}` },
    ...alone(`${where} ${path}`),
    openInRoot("/", out, how),
  );
  parts.forEach((part, index) => {
    // where it cannot be made, opening it fails and tells why
    if (index === parts.length - 1 && kind === "file") {
      ops.push({
        call: "mknodat",
        args: [ref(out), cstring(part), named("S_IFREG|0644", 0o100644), 0],
        onError: "ignore",
      });
    } else ops.push({ call: "mkdirat", args: [ref(out), cstring(part), 0o755], onError: "ignore" });
    ops.push({ call: "close", args: [ref(out)] }, openInRoot("/" + parts.slice(0, index + 1).join("/"), out, how));
  });
  ops.push({ call: "label", args: [], label: found });
  return ops;
}

export type Alone = (where: string) => Op[];

/** Attaches a tree on an open mount point, and closes that. */
export const attachOps = (tree: string, target: string): Op[] => [
  {
    call: "move_mount",
    args: [ref(tree), nothing, ref(target), nothing, flags("MOVE_MOUNT_F_EMPTY_PATH", "MOVE_MOUNT_T_EMPTY_PATH")],
  },
  { call: "close", args: [ref(target)] },
];

/** Attaches a tree at a path of the new root; makes the mount point. */
export function attach(path: string, tree: string, kind: "file" | "directory", alone: Alone): Step {
  const ops = [...openOrMake(path, kind, "target", alone, tree), ...attachOps(tree, "target")];
  return { action: `mount on "${path}"`, ops, code: "mount_failed", path, hint: targetHint(kind) };
}

/** The same for the kernel's own file systems: what is covered or written there has to be theirs (CVE-2019-19921). */
export function attachOrdinary(path: string, tree: string, type: string, alone: Alone): Step {
  const step = attach(path, tree, "directory", alone);
  const ops = [...openOrMake(path, "directory", "target", alone, tree, "no symlink"), ...attachOps(tree, "target")];
  const isOther = (errno?: string) => errno === "ELOOP" || errno === "ENOTDIR" || errno === "EINVAL";
  const hint: Step["hint"] = (errno) =>
    isOther(errno) ? `filesystem "${type}" must be mounted on ordinary directory` : step.hint?.(errno);
  return { ...step, ops, hint };
}

/** Changes what is mounted at a path already, and nothing that a symlink leads to. */
export function remount(path: string, options: readonly string[]): Step {
  const { own, recursive, propagation } = parseMountOptions(options);
  const ops: Op[] = [openInRoot(path, "target", "no symlink")];
  if (!isEmpty(recursive)) ops.push(setAttributes("target", RECURSIVELY, recursive));
  if (!isEmpty(own)) ops.push(setAttributes("target", ALONE, own));
  for (const { type, recursive: below } of propagation)
    ops.push(setAttributes("target", below ? RECURSIVELY : ALONE, NONE, type));
  ops.push({ call: "close", args: [ref("target")] });
  const hint = (errno: string | undefined) => (errno === "EINVAL" ? "nothing is mounted there" : undefined);
  return { action: `change the mount on "${path}"`, ops, code: "mount_failed", path, hint };
}

/** A copy of what is mounted at, and below, an open path. */
export const openTreeOf = (target: string, tree: string): Op => ({
  call: "open_tree",
  args: [ref(target), nothing, flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_RECURSIVE", "AT_EMPTY_PATH")],
  out: tree,
});

export const targetHint = (kind: "file" | "directory") => (errno: string | undefined) => {
  if (errno === "ENOENT" || errno === "EROFS") {
    return "the mount point does not exist and cannot be made: a read-only root, or a symlink that leads nowhere";
  }
  if (errno === "ELOOP" || errno === "EXDEV") return "the mount point is a symlink that must not be followed";
  if (errno === "ENOTDIR" || errno === "EINVAL") return `the source is a ${kind}, the mount point is not`;
  return undefined;
};
