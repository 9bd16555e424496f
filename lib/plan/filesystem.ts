/**
 * Everything a sandbox sees below "/": sources opened while the host is visible, the root, the mounts, the devices,
 * and what is covered or read-only.
 * @module
 */
import { cstring, ref, structure } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { Mount, Spec } from "../spec/index.ts";
import type { Beside, Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import { attachCopiedUp, isCopiedUp, openCopiedUp } from "./copy-up.ts";
import { fillCgroup, openCgroup } from "./cgroup-mount.ts";
import { isJoined, isOwn } from "./intermediate.ts";
import { imageSteps } from "./image-mounts.ts";
import { isBind, parseMountOptions } from "./mount-options.ts";
import { anotherMount, copyIn, copyOfCover, copyOfTarget, cover, coverIn, type Place } from "./covers.ts";
import * as mounts from "./mounts.ts";
import { dropOldRoot, isSlave, rootSteps } from "./root.ts";

/** Where the open tree of a mount of the specification is, by its index. */
export const mountSlot = (index: number): string => `mount${index}`;

const isFile = (facts: Facts) => (path: string) => facts.kernelPaths.get(path) === "file";

const maskedOf = (spec: Spec, facts: Facts) =>
  (spec.linux.maskedPaths ?? []).filter((path) => facts.kernelPaths.has(path));

const devicesOf = (spec: Spec) =>
  spec.mounts.some((m) => m.destination === "/dev" && m.type === "tmpfs") ? DEVICES : [];

/** What needs no ids yet, and so can be done while the owner writes the id maps. */
export function hostSteps(spec: Spec, facts: Facts): Plan {
  const steps: Plan = [keepMounts(spec)];
  const devices = devicesOf(spec);
  if (devices.length > 0) steps.push(openDevices(devices));
  for (const path of maskedOf(spec, facts).filter(isFile(facts))) {
    steps.push({ ...mounts.openSource("/dev/null", `mask:${path}`), action: `open a cover for "${path}"` });
  }
  return steps;
}

export function keepMounts(spec: Spec): Step {
  // a slave still hears of the host's mounts, and tells nothing of its own
  const hears =
    isSlave(spec.linux.rootfsPropagation) ||
    spec.mounts.some(
      (mount) =>
        isBind(mount) && parseMountOptions(mount.options ?? []).propagation.some(({ type }) => type === "MS_SLAVE"),
    );
  const type = flags(hears ? "MS_SLAVE" : "MS_PRIVATE");
  const attr = structure(`{propagation=${type.text}}`, "mount_attr", { propagation: type.value });
  return {
    action: "keep mounts of this namespace to itself",
    ops: [{ call: "mount_setattr", args: [flags("AT_FDCWD"), cstring("/"), flags("AT_RECURSIVE"), attr, 32] }],
  };
}

/** Who does what: the first process opens, drops and covers, the second attaches, which goes on at the same time. */
export interface FilesystemSteps {
  /** Opens what is to be mounted, and makes the new root the root. */
  opened: Plan;
  /** Drops the host's root, and covers what can be covered meanwhile. */
  dropped: Plan;
  attached: Plan;
}

/** @param dropped where the first process tells that it has done its part @param alone waits for that */
export function filesystemSteps(
  spec: Spec,
  beside: Beside,
  facts: Facts,
  dropped: Data,
  alone: mounts.Alone,
): FilesystemSteps {
  const { root } = beside;
  const trees = spec.mounts.map((mount, index) => ({ mount, tree: mountSlot(index) }));
  const mine = trees.filter(({ mount }) => !isOpenedBetween(spec, mount));
  const opened = mine.flatMap(({ mount, tree }) => openMount(spec, mount, tree, beside, facts));
  const [devices, masked] = [devicesOf(spec), maskedOf(spec, facts)];
  // one empty file system covers all masked directories
  const [first] = masked.filter((path) => !isFile(facts)(path));
  if (first !== undefined) {
    opened.push(mounts.openFilesystem("tmpfs", `mask:${first}`, ["ro"], `a cover for "${first}"`));
  }
  opened.push(...rootSteps(spec, root, facts.privileged));
  const proc = procOf(spec, beside);
  const covers = coverSteps(spec, facts, masked, first, proc >= 0 ? mountSlot(proc) : undefined);
  // the host's root still lies on the new one: a symlink could lead there, and is not followed
  if (proc >= 0) opened.push(mounts.attachOrdinary(PROC, mountSlot(proc), "proc", () => []));
  const attached: Plan = [];
  for (const path of ("writable" in root && root.writable) || []) {
    const tree = `writable:${path}`;
    const step = cover(`keep "${path}" writable`, path, tree, anotherMount(tree));
    // those of an image may be anything
    const open = mounts.openOrMake(path, "directory", "target", alone, tree);
    attached.push(root.kind === "overlay" ? { ...step, ops: [...open, ...step.ops.slice(1)] } : step);
  }
  for (const [index, { mount, tree }] of trees.entries()) {
    if (index === proc) continue;
    if (isRemount(mount)) {
      attached.push(mounts.remount(mount.destination, mount.options ?? []));
      continue;
    }
    attached.push(
      isCopiedUp(mount)
        ? attachCopiedUp(mount, tree, facts.arch, alone)
        : mounts.attach(mount.destination, tree, kindOf(mount, beside, facts), alone),
    );
    if (mount.destination === "/dev" && mount.type === "tmpfs" && devices.length > 0) {
      const directories = spec.mounts.filter(
        (other) => !isRemount(other) && kindOf(other, beside, facts) === "directory",
      );
      attached.push(deviceStep(devices, tree, directories));
    }
    const filled = mount.type === "cgroup" ? fillCgroup(mount, tree, facts) : undefined;
    if (filled) attached.push(filled);
  }
  attached.push(...covers.second);
  // later there is nobody who could
  if (root.kind === "overlay" && spec.process.cwd !== "/" && (spec.root.readonly || beside.idle))
    attached.push(makeDirectory(spec.process.cwd, alone));
  if (spec.root.readonly && root.kind !== "directory") {
    attached.push({ action: "make the root filesystem read-only", ops: [mounts.readOnlyMount("/")] });
  }
  const { rootfsPropagation } = spec.linux;
  if (rootfsPropagation !== undefined) attached.push(mounts.propagateRoot(rootfsPropagation));
  // only when all of it is done: where a step fails, the second process must not go on
  const done: Step = { action: "tell the second process", ops: [{ call: "store", args: [dropped, 1, 8] }] };
  return { opened, dropped: [dropOldRoot(root), ...covers.first, done], attached };
}

const PROC = "/proc";
/** Of no symlink: what covers one covers nothing. */
const NAME_IN_PROC = /^\/proc\/(?!(?:\.\.?|mounts|net|self|thread-self)$)[^/]+$/;

/** The mount of a proc that the first process can attach, as nothing else is mounted, or written, below that; or -1. */
function procOf({ mounts: all, linux, process: { cwd } }: Spec, { root }: Beside): number {
  const { rootfsPropagation, maskedPaths = [], readonlyPaths = [] } = linux;
  const topOf = (path: string) => path.split("/").find((part) => !/^\.?$/.test(part));
  const isBelow = (path: string) => [undefined, "proc"].includes(topOf(path)) || path.split("/").includes("..");
  // one in another, or twice: what the one process covers could lie below what the other has covered meanwhile
  const covered = [...maskedPaths, ...readonlyPaths].filter(isBelow);
  if (new Set(covered).size < covered.length || !covered.every((path) => NAME_IN_PROC.test(path))) return -1;
  // it is opened without waiting, and would be what is below a cover
  if (topOf(cwd) === "proc") return -1;
  const [found, another] = all.flatMap(({ destination }, index) => (isBelow(destination) ? [index] : []));
  if (found === undefined || another !== undefined) return -1;
  if (rootfsPropagation !== undefined) return -1;
  if ("writable" in root && root.writable?.some(isBelow)) return -1;
  const { destination, type, options } = all[found] as Mount;
  return destination === PROC && type === "proc" && !options?.includes("remount") ? found : -1;
}

/**
 * The first process covers what is in proc while the second mounts the rest: it would have to wait otherwise (measured).
 * @param first the masked directory whose cover is a file system of its own, which others copy
 * @param proc the tree that is attached at /proc, where the first process covers what is in it
 */
function coverSteps(spec: Spec, facts: Facts, masked: string[], first: string | undefined, proc: string | undefined) {
  const steps: Record<"first" | "second", Plan> = { first: [], second: [] };
  // meanwhile the second writes to it
  const isWritten = (path: string) => path === "/proc/sys" && spec.linux.sysctl !== undefined;
  const inProc = (path: string): Place | undefined =>
    proc !== undefined && NAME_IN_PROC.test(path) && !isWritten(path) ? [proc, path.slice(PROC.length + 1)] : undefined;
  for (const path of masked) {
    const [action, tree, place] = [`mask "${path}"`, `mask:${path}`, inProc(path)];
    if (place && isFile(facts)(path)) steps.first.push(coverIn(action, place, path, tree));
    else {
      const isCopy = path !== first && !isFile(facts)(path);
      const prepare = isCopy ? copyOfCover(first as string, tree) : undefined;
      steps.second.push(cover(action, path, tree, prepare));
    }
  }
  for (const path of (spec.linux.readonlyPaths ?? []).filter((each) => facts.kernelPaths.has(each))) {
    const [action, tree, place] = [`make "${path}" read-only`, `read-only:${path}`, inProc(path)];
    if (place) steps.first.push(coverIn(action, place, path, tree, copyIn(place, tree)));
    else steps.second.push(cover(action, path, tree, copyOfTarget(tree)));
  }
  return steps;
}

const makeDirectory = (path: string, alone: mounts.Alone): Step => ({
  action: `make the working directory "${path}"`,
  ops: [...mounts.openOrMake(path, "directory", "made", alone), { call: "close", args: [ref("made")] }],
  code: "invalid_option",
  path,
  hint: () => "the working directory has to be a directory inside the root filesystem, or one that can be made there",
});

export const volumeSlot = (destination: string): string => `volume for ${destination}`;

export function openBind(mount: Mount, tree: string, { created, volumes, subpaths }: Beside): Step {
  const { source = "", destination, options = [] } = mount;
  if (volumes?.includes(destination)) return mounts.useTree(volumeSlot(destination), tree, options);
  const subpath = subpaths?.[destination];
  const step =
    subpath === undefined ? mounts.openSource(source, tree, options) : mounts.openBelow(source, subpath, tree, options);
  return created?.includes(source) ? { ...step, ops: [...mounts.makeDirectories(source), ...step.ops] } : step;
}

export const isRemount = ({ options }: Mount): boolean => options?.includes("remount") ?? false;

export function kindOf(
  { source = "", destination }: Mount,
  { volumes, subpaths, files }: Beside,
  facts: Facts,
): "file" | "directory" {
  if (files?.[destination] !== undefined) return "file";
  return volumes?.includes(destination) || subpaths?.[destination] !== undefined
    ? "directory"
    : // what is not there is made as one
      (facts.sources.get(source) ?? "directory");
}

/** Of a bundle's bind mount: its source is the container's own, with what has been mounted there by then. */
export function isInRootfs({ root }: Spec, mount: Mount): boolean {
  const { source = "", options = [], uidMappings } = mount;
  // ids are mapped by the owner, in trees that it has opened
  const isMapped = uidMappings !== undefined || options.includes("idmap") || options.includes("ridmap");
  return isBind(mount) && !isMapped && source.startsWith(`${root.path}/`);
}

/** A sysfs shows a network namespace, for which whoever mounts it needs rights: those that the owner has over one. */
export const isOpenedBetween = (spec: Spec, { type }: Mount): boolean =>
  type === "sysfs" && isJoined(spec, "network") && !isJoined(spec, "user");

/** What is opened in the namespaces that are joined, before there is a user namespace of the sandbox's own. */
export const betweenSteps = (spec: Spec, beside: Beside, facts: Facts): Plan =>
  spec.mounts.flatMap((mount, index) =>
    isOpenedBetween(spec, mount) ? openMount(spec, mount, mountSlot(index), beside, facts) : [],
  );

export function openMount(spec: Spec, mount: Mount, tree: string, beside: Beside, facts: Facts): Plan {
  const options = mount.options ?? [];
  if (isRemount(mount)) return [];
  const file = beside.files?.[mount.destination];
  if (file !== undefined) return [mounts.openFile(mount.destination, file, tree)];
  const image = beside.images?.[mount.destination];
  if (image) return imageSteps(mount, image, tree, facts.privileged);
  if (isBind(mount)) return facts.privileged ? [] : [openBind(mount, tree, beside)];
  if (isCopiedUp(mount)) return [openCopiedUp(mount, tree)];
  if (mount.type === "cgroup") return openCgroup(mount, tree, facts, isOwn(spec, "cgroup"));
  return [mounts.openFilesystem(mount.type ?? "", tree, options, `"${mount.destination}"`)];
}

const DEVICES = ["null", "zero", "full", "random", "urandom", "tty"];

/** Device nodes are the host's, bound one by one: a user namespace may not make any. */
function openDevices(names: string[]): Step {
  return {
    action: `open the host's ${names.join(", ")}`,
    ops: names.flatMap((name) => mounts.openSource(`/dev/${name}`, `device:${name}`).ops),
    code: "mount_failed",
    path: "/dev",
  };
}

function deviceStep(names: string[], tree: string, all: Mount[]): Step {
  // several where a request mounts on what is a mount anyway, such as /dev/shm
  const below = new Set(all.flatMap(({ destination }) => /^\/dev\/([^/]+)$/.exec(destination)?.[1] ?? []));
  const dev = ref(tree);
  const link = (target: string, name: string): Op => ({
    call: "symlinkat",
    args: [cstring(target), dev, cstring(name)],
  });
  return {
    action: "fill /dev",
    ops: [
      // nobody else has been in this file system yet, so its names can be trusted
      ...names.flatMap((name): Op[] => [
        { call: "mknodat", args: [dev, cstring(name), flags("S_IFREG"), 0] },
        mounts.moveTo(`device:${name}`, dev, name),
      ]),
      link("/proc/self/fd", "fd"),
      link("/proc/self/fd/0", "stdin"),
      link("/proc/self/fd/1", "stdout"),
      link("/proc/self/fd/2", "stderr"),
      link("pts/ptmx", "ptmx"),
      ...[...below].map((name): Op => ({ call: "mkdirat", args: [dev, cstring(name), 0o755] })),
    ],
    code: "mount_failed",
    path: "/dev",
  };
}
