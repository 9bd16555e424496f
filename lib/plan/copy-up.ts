/**
 * `tmpcopyup`: a tmpfs that begins with what lies at its mount point. Nothing is copied but what is changed: an overlay
 * of that directory and of the tmpfs shows both.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#linux-mount-options
 */
import { buffer, cstring, ref, STAT, type Arch, type Op, type Step } from "../../syscalls/index.ts";
import type { Mount } from "../spec/index.ts";
import { flags } from "./constants.ts";
import { parseMountOptions } from "./mount-options.ts";
import * as mounts from "./mounts.ts";

export const isCopiedUp = ({ type, options }: Mount): boolean =>
  type === "tmpfs" && (options?.includes("tmpcopyup") ?? false);

const HOME: Op = { call: "chdir", args: [cstring("/")] };

const isAttribute = (option: string) => option !== "tmpcopyup" && parseMountOptions([option]).data.length === 0;

/** The tmpfs, which has to be written before anything of it is read-only. */
export function openCopiedUp({ destination, options = [] }: Mount, tree: string): Step {
  const data = options.filter((option) => !isAttribute(option) && !option.startsWith("mode="));
  return mounts.openFilesystem("tmpfs", tree, [...data, "nodev", "nosuid", "mode=755"], `"${destination}"`);
}

/** Instead of attaching it. @param home goes back to the new root */
export function attachCopiedUp(mount: Mount, tree: string, arch: Arch, alone: mounts.Alone, home = HOME): Step {
  const { destination, options = [] } = mount;
  const [below, merged, stat] = [`${tree}:below`, `${tree}:merged`, buffer("status", STAT[arch].size)];
  const data = ["lowerdir=lower", "upperdir=upper", "workdir=work", "userxattr"];
  const overlay = mounts.openFilesystem("overlay", merged, [...data, ...options.filter(isAttribute)], destination);
  const mode = options.find((option) => option.startsWith("mode="))?.slice("mode=".length);
  const modeOps: Op[] = [
    { call: "newfstatat", args: [ref(below), cstring(""), stat, flags("AT_EMPTY_PATH")] },
    { call: "load", args: [{ at: stat, offset: STAT[arch].fields.st_mode[0] }, 4], out: "mode" },
  ];
  const change: Op = { call: "fchmodat", args: [ref(tree), cstring("upper"), ref("mode")] };
  if (mode !== undefined) change.args[2] = Number.parseInt(mode, 8);
  const tmpfs = mounts.attach(destination, tree, "directory", alone);
  const again = mounts.attach(destination, merged, "directory", alone);
  return {
    ...tmpfs,
    ops: [
      ...mounts.openOrMake(destination, "directory", "target", alone, below),
      mounts.openTreeOf("target", below),
      { call: "close", args: [ref("target")] },
      ...tmpfs.ops,
      ...["lower", "upper", "work"].map((name): Op => ({ call: "mkdirat", args: [ref(tree), cstring(name), 0o755] })),
      ...(mode === undefined ? modeOps : []),
      change,
      mounts.moveTo(below, ref(tree), "lower"),
      // the names of the layers begin there
      { call: "fchdir", args: [ref(tree)] },
      ...overlay.ops,
      home,
      ...again.ops,
    ],
    hint: (errno) =>
      errno === "EINVAL"
        ? "tmpcopyup needs an overlay, and they can lie on each other only twice"
        : tmpfs.hint?.(errno),
  };
}
