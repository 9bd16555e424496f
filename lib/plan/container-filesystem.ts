/**
 * What a container of a bundle sees below "/". All of it is mounted before the host's root is left, since the hooks that
 * look at it are the host's; only what covers parts of it comes later.
 * @module
 */
import { buffer, cstring, named, ref, STAT } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import type { ContainerSpec, Mount, Spec } from "../spec/index.ts";
import { fillCgroup } from "./cgroup-mount.ts";
import type { Beside, Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import { attachCopiedUp, isCopiedUp } from "./copy-up.ts";
import { deviceSteps } from "./device-nodes.ts";
import { isInRootfs, isOpenedBetween, isRemount, keepMounts, kindOf, mountSlot, openMount } from "./filesystem.ts";
import { isOwn } from "./intermediate.ts";
import { contextOptions } from "./labels.ts";
import { isBind } from "./mount-options.ts";
import * as mounts from "./mounts.ts";
import { makeRoot, PIVOT } from "./root.ts";

const BUNDLE: Beside = { root: { kind: "bundle" }, idle: false };
/** Nothing of the host's lies on the new root yet. */
const ALONE: mounts.Alone = () => [];
const HOME: Op = { call: "fchdir", args: [ref("rootfs")] };

const isReadOnly = (option: string) => option === "ro" || option === "rro";
const isDev = ({ destination }: Mount) => /^\/dev\/*$/.test(destination);

/**
 * Up to where the hooks of the runtime run.
 *
 * Sources are opened in the order of the config, as mounts are listed in the order in which they are made since Linux
 * 6.8; and before the mounts of this namespace are kept to itself, or a bind mount could not be shared with the host.
 *
 * @param hasNodes the owner has made the devices that are asked for
 */
export function containerMounts(spec: ContainerSpec & Spec, facts: Facts, hasNodes: boolean): Plan {
  // a read-only /dev has to be filled first
  const trees = spec.mounts.map((mount, index) => ({ mount: sourced(isDev(mount) ? writable(mount) : mount), index }));
  const opened = trees.flatMap(({ mount, index }) =>
    isOpenedBetween(spec, mount) || isInRootfs(spec, mount)
      ? []
      : openMount(spec, mount, mountSlot(index), BUNDLE, facts),
  );
  const attached = trees.flatMap(({ mount, index }) => [
    ...(isInRootfs(spec, mount) ? [openInside(spec, mount, mountSlot(index))] : []),
    ...attachSteps(spec, mount, mountSlot(index), facts),
  ]);
  return [
    ...openMasks(spec, contextOptions(spec, facts.modules)),
    ...opened,
    ...(isOwn(spec, "mount") ? [keepMounts(spec)] : []),
    ...makeRoot(spec, BUNDLE.root, facts.privileged),
    ...attached,
    ...deviceSteps(spec, hasNodes),
  ];
}

const writable = (mount: Mount): Mount => ({
  ...mount,
  options: mount.options?.filter((option) => !isReadOnly(option)) ?? [],
});

/** What a file system that is made is called in lists of mounts. */
function sourced(mount: Mount): Mount {
  const { source, options = [] } = mount;
  return source === undefined || source === "" || isBind(mount) || isRemount(mount)
    ? mount
    : { ...mount, options: [...options, `source=${source}`] };
}

/** By the path that it has inside, which a symlink does not leave. */
const openInside = ({ root }: Spec, { source = "", options = [] }: Mount, tree: string): Step =>
  mounts.openInside(source.slice(root.path.length), tree, options);

function attachSteps(spec: Spec, mount: Mount, tree: string, facts: Facts): Plan {
  const { destination, options = [], type } = mount;
  if (isRemount(mount)) return [mounts.remount(destination, options)];
  if (isCopiedUp(mount)) return [attachCopiedUp(mount, tree, facts.arch, ALONE, HOME)];
  if (type === "proc" || type === "sysfs") return [mounts.attachOrdinary(destination, tree, type, ALONE)];
  const step = mounts.attach(destination, tree, kindOf(mount, BUNDLE, facts), ALONE);
  const keepsMode = type === "tmpfs" && !options.some((option) => option.startsWith("mode="));
  const steps = [keepsMode ? { ...step, ops: [...takeMode(destination, tree, facts), ...step.ops] } : step];
  const filled = type === "cgroup" ? fillCgroup(mount, tree, facts, isOwn(spec, "cgroup")) : undefined;
  if (filled) steps.push(filled);
  return steps;
}

/** A tmpfs gets the mode of the directory that it covers, as runc has it. */
function takeMode(path: string, tree: string, { arch }: Facts): Op[] {
  const stat = buffer("status", STAT[arch].size);
  const none = `no mode of ${tree}`;
  return [
    { ...mounts.openInRoot(path, "target"), onError: { jump: none } },
    { call: "newfstatat", args: [ref("target"), cstring(""), stat, flags("AT_EMPTY_PATH")] },
    { call: "load", args: [{ at: stat, offset: STAT[arch].fields.st_mode[0] }, 4], out: "mode" },
    { call: "fchmodat", args: [ref(tree), cstring("."), ref("mode")] },
    { call: "close", args: [ref("target")] },
    { call: "label", args: [], label: none },
  ];
}

/** Makes what has been put together the root; without pivot_root(2), where the host's root cannot be moved. */
export function enterRoot(pivot: boolean): Plan {
  if (pivot)
    return [
      PIVOT,
      { action: "drop the host's root", ops: [{ call: "umount2", args: [cstring("."), flags("MNT_DETACH")] }] },
    ];
  const ops: Op[] = [
    { call: "chroot", args: [cstring(".")] },
    { call: "chdir", args: [cstring("/")] },
  ];
  return [{ action: "make it the root, and leave the host's below", ops }];
}

/** What takes away again. */
export function containerCovers(spec: Spec): Plan {
  const { maskedPaths = [], readonlyPaths = [], rootfsPropagation } = spec.linux;
  const steps: Plan = [];
  const dev = spec.mounts.find(isDev);
  if (dev?.options?.some(isReadOnly))
    steps.push({ action: "make /dev read-only", ops: [mounts.readOnlyMount("/dev")], code: "mount_failed" });
  if (rootfsPropagation !== undefined) steps.push(mounts.propagateRoot(rootfsPropagation));
  if (spec.root.readonly)
    steps.push({
      action: "make the root filesystem read-only",
      ops: [mounts.readOnlyMount("/")],
      code: "mount_failed",
    });
  // engines name some twice
  for (const path of new Set(readonlyPaths)) steps.push(readOnlyStep(path));
  for (const path of new Set(maskedPaths)) steps.push(maskStep(path));
  return steps;
}

/** Opened while the host's can be seen: the container's own may be anything (CVE-2025-31133). */
const openMasks = ({ linux: { maskedPaths = [] } }: Spec, options: string[]): Plan =>
  maskedPaths.length === 0
    ? []
    : [
        { ...mounts.openSource("/dev/null", FILE_MASK), action: "open a cover for files" },
        mounts.openFilesystem("tmpfs", DIRECTORY_MASK, ["ro", ...options], "a cover for directories"),
      ];

const [FILE_MASK, DIRECTORY_MASK] = ["mask of files", "mask of directories"];
const [ENOENT, ENOTDIR] = [2, 20];

/** Opens a path as the slot `target`; one that does not exist is passed over. */
function openExisting(path: string, rest: Op[], what: string): Op[] {
  const [failed, passed, found] = [`no ${what} ${path}`, `passed ${what} ${path}`, `found ${what} ${path}`];
  const target = mounts.openInRoot(path, "target");
  return [
    { ...target, onError: { jump: failed } },
    { call: "jump", args: [], label: found },
    { call: "label", args: [], label: failed },
    ...[ENOENT, ENOTDIR].map((errno): Op => ({
      call: "jumpIf",
      args: [ref("target"), -errno, named("==", 0)],
      label: passed,
    })),
    { call: "fail", args: [ref("target")] },
    { call: "label", args: [], label: found },
    ...rest,
    { call: "label", args: [], label: passed },
  ];
}

const COPY = flags("OPEN_TREE_CLONE", "OPEN_TREE_CLOEXEC", "AT_EMPTY_PATH");

function maskStep(path: string): Step {
  const [file, covered] = [`a file ${path}`, `masked ${path}`];
  const copy = (mask: string): Op => ({ call: "open_tree", args: [ref(mask), cstring(""), COPY], out: "mask" });
  const O_DIRECTORY = flags("O_PATH", "O_CLOEXEC");
  const rest: Op[] = [
    { call: "openat", args: [ref("target"), cstring("."), O_DIRECTORY, 0], out: "inside", onError: { jump: file } },
    { call: "close", args: [ref("inside")] },
    copy(DIRECTORY_MASK),
    { call: "jump", args: [], label: covered },
    { call: "label", args: [], label: file },
    copy(FILE_MASK),
    { call: "label", args: [], label: covered },
    ...mounts.attachOps("mask", "target"),
    { call: "close", args: [ref("mask")] },
  ];
  return { action: `mask "${path}"`, ops: openExisting(path, rest, "mask"), code: "mount_failed", path };
}

function readOnlyStep(path: string): Step {
  const rest = [
    mounts.openTreeOf("target", "cover"),
    mounts.readOnlyTree("cover"),
    ...mounts.attachOps("cover", "target"),
    { call: "close", args: [ref("cover")] } satisfies Op,
  ];
  return { action: `make "${path}" read-only`, ops: openExisting(path, rest, "read-only"), code: "mount_failed", path };
}
