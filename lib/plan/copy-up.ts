/**
 * `tmpcopyup`: a tmpfs that begins with what lies at its mount point. Nothing is copied but what is changed: an overlay
 * of that directory and of the tmpfs shows both. Where the directory is empty, the tmpfs alone does: containers inside
 * the container could not lay overlays of their own on an overlay.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#linux-mount-options
 */
import { buffer, cstring, named, ref, STAT, type Arch, type Op, type Step } from "../../syscalls/index.ts";
import type { Mount } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { parseMountOptions } from "./mount-options.ts";
import * as mounts from "./mounts.ts";

export const isCopiedUp = ({ type, options }: Mount): boolean =>
  type === "tmpfs" && (options?.includes("tmpcopyup") ?? false);

const HOME: Op = { call: "chdir", args: [cstring("/")] };

function isAttribute(option: string): boolean {
  const { data, superblock } = parseMountOptions([option]);
  return option !== "tmpcopyup" && data.length + superblock.length === 0;
}

const READ_ONLY = ["ro", "rro"];
const isMode = (option: string) => option.startsWith("mode=");

/** The tmpfs, which has to be written before anything of it is read-only. */
export function openCopiedUp({ destination, options = [] }: Mount, tree: string): Step {
  const writable = options.filter((option) => !READ_ONLY.includes(option));
  const asked = options.some(isMode) ? [] : ["mode=755"];
  return mounts.openFilesystem("tmpfs", tree, [...writable, ...asked], `"${destination}"`);
}

/** `linux_dirent64`, of "." and of ".." */
const EMPTY_BYTES = 2 * 24;
/** Room for a third name, however long it is. */
const LISTING_BYTES = 512;

/** Where a directory has more than itself and its parent, or cannot be read. */
function jumpIfFilled(directory: string, filled: string): Op[] {
  const listing = buffer("listing", LISTING_BYTES);
  const list = (out: string): Op => ({
    call: "getdents64",
    args: [ref("opened"), listing, LISTING_BYTES],
    out,
    onError: { jump: filled },
  });
  return [
    {
      call: "openat",
      args: [ref(directory), cstring("."), flags("O_CLOEXEC"), 0],
      out: "opened",
      onError: { jump: filled },
    },
    list("names"),
    { call: "jumpIf", args: [ref("names"), EMPTY_BYTES, named("!=", 1)], label: filled },
    list("more names"),
    { call: "jumpIf", args: [ref("more names"), 0, named("!=", 1)], label: filled },
    { call: "close", args: [ref("opened")] },
  ];
}

/** Instead of attaching it. @param home goes back to the new root */
export function attachCopiedUp(mount: Mount, tree: string, arch: Arch, alone: mounts.Alone, home = HOME): Step {
  const { destination, options = [] } = mount;
  const [below, merged, stat] = [`${tree}:below`, `${tree}:merged`, buffer("status", STAT[arch].size)];
  const data = ["lowerdir=lower", "upperdir=upper", "workdir=work", "userxattr"];
  const overlay = mounts.openFilesystem("overlay", merged, [...data, ...options.filter(isAttribute)], destination);
  const [filled, mounted] = [`something on ${destination}`, `mounted ${tree}`];
  const isReadOnly = parseMountOptions(options).own.set.includes("MOUNT_ATTR_RDONLY");
  const status = (of: string): Op[] => [
    { call: "newfstatat", args: [ref(of), cstring(""), stat, flags("AT_EMPTY_PATH")] },
    { call: "load", args: [{ at: stat, offset: STAT[arch].fields.st_mode[0] }, 4], out: "mode" },
  ];
  const change = (path: string): Op => ({ call: "fchmodat", args: [ref(tree), cstring(path), ref("mode")] });
  const tmpfs = mounts.attach(destination, tree, "directory", alone);
  const again = mounts.attach(destination, merged, "directory", alone);
  return {
    ...tmpfs,
    ops: [
      ...mounts.openOrMake(destination, "directory", "target", alone, below),
      ...jumpIfFilled("target", filled),
      ...status(options.some(isMode) ? tree : "target"),
      change("."),
      ...(isReadOnly ? [mounts.readOnlyTree(tree)] : []),
      ...mounts.attachOps(tree, "target"),
      { call: "jump", args: [], label: mounted },
      { call: "label", args: [], label: filled },
      mounts.openTreeOf("target", below),
      { call: "close", args: [ref("target")] },
      ...tmpfs.ops,
      ...["lower", "upper", "work"].map((name): Op => ({ call: "mkdirat", args: [ref(tree), cstring(name), 0o755] })),
      ...status(options.some(isMode) ? tree : below),
      change("upper"),
      mounts.moveTo(below, ref(tree), "lower"),
      // the names of the layers begin there
      { call: "fchdir", args: [ref(tree)] },
      ...overlay.ops,
      home,
      ...again.ops,
      { call: "label", args: [], label: mounted },
    ],
    hint: (errno) =>
      errno === "EINVAL"
        ? "tmpcopyup needs an overlay, and they can lie on each other only twice"
        : tmpfs.hint?.(errno),
  };
}
