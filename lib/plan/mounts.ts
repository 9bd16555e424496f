/**
 * Steps that mount, by the descriptor-based API: open a tree or a file system, then attach it where it belongs.
 * @module
 * @see open_tree(2), fsopen(2), move_mount(2), openat2(2)
 */
import { cstring, ref, words } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import { ATTRIBUTE_OPTIONS } from "./compile.ts";
import { flags } from "./constants.ts";

type Attribute = Parameters<typeof flags>[number];
const empty = () => cstring("");

/** mount_setattr(2) on a path of the new root, or on an open tree. */
export function setAttributes(target: string | { tree: string }, attributes: Attribute[], recursive: boolean): Op {
  const set = flags(...attributes);
  const attr = words(`{attr_set=${set.text}}`, set.value, 0, 0, 0);
  if (typeof target === "string")
    return { call: "mount_setattr", args: [flags("AT_FDCWD"), cstring(target), 0, attr, 32] };
  const how = recursive ? flags("AT_EMPTY_PATH", "AT_RECURSIVE") : flags("AT_EMPTY_PATH");
  return { call: "mount_setattr", args: [ref(target.tree), empty(), how, attr, 32] };
}

/**
 * A detached copy of a path of the host.
 * @param options of the mount: `ro`, `nosuid`, `nodev`, `noexec` apply to everything below
 * @param bound the owner has opened it already, as the slot `source:PATH`
 */
export function openSource(
  path: string,
  tree: string,
  recursive: boolean,
  options: string[] = [],
  bound = false,
): Step {
  const attributes = options.flatMap((option) => (ATTRIBUTE_OPTIONS[option] ?? []) as Attribute[]);
  const ops: Op[] = [];
  if (bound) {
    ops.push({ call: "dup", args: [ref(`source:${path}`)], out: tree });
  } else {
    const how = recursive
      ? flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_RECURSIVE")
      : flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC");
    ops.push({ call: "open_tree", args: [flags("AT_FDCWD"), cstring(path), how], out: tree });
  }
  if (attributes.length > 0) ops.push(setAttributes({ tree }, attributes, true));
  return {
    action: `open "${path}"`,
    ops,
    path,
    hint: (errno) => (errno === "ENOENT" ? "the source of the mount does not exist on the host" : undefined),
  };
}

/** A new file system, not attached yet. @param data its own options, `key=value` or a flag */
export function configuredMount(
  type: string,
  tree: string,
  data: string[],
  attributes: Attribute[],
  what: string,
): Step {
  const config = `${tree}:config`;
  const ops: Op[] = [{ call: "fsopen", args: [cstring(type), flags("FSOPEN_CLOEXEC")], out: config }];
  for (const option of data) {
    const equals = option.indexOf("=");
    const [key, value] = equals < 0 ? [option, undefined] : [option.slice(0, equals), option.slice(equals + 1)];
    ops.push(
      value === undefined
        ? { call: "fsconfig", args: [ref(config), flags("FSCONFIG_SET_FLAG"), cstring(key), 0, 0] }
        : { call: "fsconfig", args: [ref(config), flags("FSCONFIG_SET_STRING"), cstring(key), cstring(value), 0] },
    );
  }
  ops.push({ call: "fsconfig", args: [ref(config), flags("FSCONFIG_CMD_CREATE"), 0, 0, 0] });
  ops.push({ call: "fsmount", args: [ref(config), flags("FSMOUNT_CLOEXEC"), flags(...attributes)], out: tree });
  return {
    action: `make a ${type} for ${what}`,
    ops,
    hint: (errno) =>
      errno === "ENODEV"
        ? `the kernel has no ${type} file system`
        : errno === "EPERM"
          ? `the kernel does not let this user namespace mount ${type}`
          : undefined,
  };
}

/** Attaches a tree at a path of the new root, which no symlink leads out of. Makes the mount point. */
export function attach(path: string, tree: string, kind: "file" | "directory", make = true): Plan {
  const here = flags("AT_FDCWD");
  const ops: Op[] = [];
  if (make) {
    const parts = path.split("/").filter(Boolean);
    parts.forEach((_, index) => {
      const prefix = cstring("/" + parts.slice(0, index + 1).join("/"));
      const last = index === parts.length - 1;
      // it may exist, or lie on something read-only where it has to exist; the open below tells
      if (last && kind === "file")
        ops.push({ call: "mknodat", args: [here, prefix, flags("S_IFREG"), 0], onError: "ignore" });
      else ops.push({ call: "mkdirat", args: [here, prefix, 0o755], onError: "ignore" });
    });
  }
  const RESOLVE_NO_MAGICLINKS_IN_ROOT = 0x02 | 0x10;
  const how = words(
    "{O_PATH|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}",
    0o12000000,
    0,
    RESOLVE_NO_MAGICLINKS_IN_ROOT,
  );
  ops.push({ call: "openat2", args: [here, cstring(path), how, 24], out: "target" });
  const move = flags("MOVE_MOUNT_F_EMPTY_PATH", "MOVE_MOUNT_T_EMPTY_PATH");
  ops.push({ call: "move_mount", args: [ref(tree), empty(), ref("target"), empty(), move] });
  ops.push({ call: "close", args: [ref("target")] });
  return [{ action: `mount on "${path}"`, ops, path, hint: targetHint(kind) }];
}

const targetHint = (kind: "file" | "directory") => (errno: string | undefined) => {
  if (errno === "ENOENT")
    return "the mount point does not exist and cannot be made: a read-only root, or a symlink that leads nowhere";
  if (errno === "ELOOP" || errno === "EXDEV")
    return "the mount point is a symlink that leads out of the root filesystem";
  if (errno === "ENOTDIR") return `the source is a ${kind} and the mount point is not`;
  return undefined;
};
