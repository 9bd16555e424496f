/**
 * Where the groups of each controller are made: below the group that this process is in, below the nearest one above it
 * where the controllers can be had, or below a parent that was asked for.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { findHierarchies, type Hierarchies, type Hierarchy } from "./hierarchy.ts";
import type { Controller } from "./settings.ts";

export interface Place {
  version: "v1" | "v2";
  parent: string;
}

let hierarchies: Hierarchies | undefined;
export const ownHierarchies = (): Hierarchies => (hierarchies ??= findHierarchies());

/** Whether children of a group can have these controllers; asking may enable them. */
export type Able = (controllers: readonly string[], directory: string) => boolean;

const nameInV1 = (controller: Controller): string => (controller === "io" ? "blkio" : controller);
/** Every group of version 2 counts CPU time, can be frozen, and takes programs that decide about devices. */
export const inEveryGroup = (controller: Controller) => ["cpuacct", "devices", "freezer"].includes(controller);

/**
 * One place for all that version 2 has: a process is in one group there.
 * @param below a group to make them in, from the mount of each hierarchy; else the own one
 * @throws TsboxError `limit_unavailable`
 */
export function findPlaces(
  controllers: readonly Controller[],
  below: string | undefined,
  able: Able,
  { v1, v2 }: Hierarchies = ownHierarchies(),
): Map<Controller, Place> {
  const places = new Map<Controller, Place>();
  const rest: Controller[] = [];
  for (const controller of controllers) {
    const hierarchy = v1.get(nameInV1(controller));
    // what is frozen in version 2 can be killed
    if (!hierarchy || (controller === "freezer" && v2)) rest.push(controller);
    else places.set(controller, { version: "v1", parent: v1Parent(controller, hierarchy, below) });
  }
  if (rest.length === 0) return places;
  const parent = v2Parent(rest, v2, below, able);
  for (const controller of rest) places.set(controller, { version: "v2", parent });
  return places;
}

function v1Parent(controller: Controller, { mount, own }: { mount: string; own: string }, below: string | undefined) {
  const parent = below === undefined ? own : mount + below;
  if (isWritable(parent)) return parent;
  if (below !== undefined) throw noParent(controller, parent);
  throw unavailable(controller, "control groups of version 1 belong to root: run as root, or boot with cgroup v2");
}

/** What a sandbox may be limited by later. */
const USUAL = ["memory", "cpu", "pids"];

function v2Parent(controllers: readonly Controller[], v2: Hierarchies["v2"], below: string | undefined, able: Able) {
  const [first] = controllers as [Controller];
  if (!v2) throw unavailable(first, "no control groups are mounted: mount cgroup2 on /sys/fs/cgroup");
  const { mount, own } = v2;
  const wanted = controllers.filter((controller) => !inEveryGroup(controller));
  const available = controllersIn(`${mount}/cgroup.controllers`);
  const missing = wanted.find((controller) => !available.includes(controller));
  if (missing !== undefined) throw unavailable(missing, `the kernel has no ${missing} controller`);
  if (below !== undefined) {
    const directory = mount + below;
    if (!isWritable(directory)) throw noParent(first, directory);
    if (able(wanted, directory)) return directory;
    throw unavailable(wanted[0] ?? first, `its controllers cannot be enabled in "${directory}"`);
  }
  const later = wanted.length === 0 ? USUAL.filter((name) => available.includes(name)) : [];
  const parent = nearest(v2, [...wanted, ...later], able) ?? (later.length > 0 ? nearest(v2, [], able) : undefined);
  if (parent !== undefined) return parent;
  throw unavailable(
    wanted[0] ?? first,
    sys.effectiveUid() === 0
      ? `its controllers cannot be enabled in "${own}" or above it`
      : "no control group is delegated to this user: systemd-run --user --scope -p Delegate=yes COMMAND makes one",
  );
}

/** Upwards from this process's own group. */
function nearest({ mount, own }: Hierarchy, controllers: readonly string[], able: Able): string | undefined {
  for (let directory = own; directory.startsWith(mount); directory = parentOf(directory)) {
    if (isWritable(directory) && able(controllers, directory)) return directory;
  }
  return undefined;
}

/**
 * Whether others may use up the memory of groups in this one: it has a limit, or one above it has that this process is
 * not in itself.
 * @param below from the mount of the hierarchy
 */
export function isCrowded(below: string, { v1, v2 }: Hierarchies = ownHierarchies()): boolean {
  const { mount = "", own = "" } = v1.get("memory") ?? v2 ?? {};
  const isAbove = (directory: string) => `${own}/`.startsWith(`${directory}/`);
  const file = v1.has("memory") ? "memory.limit_in_bytes" : "memory.max";
  for (let directory = mount + below; directory !== "" && !isAbove(directory); directory = parentOf(directory)) {
    const limit = sys.readKernelFile(`${directory}/${file}`);
    // none is "max", and in version 1 as many pages as there can be; where memory is not limited at all, there is no file
    if (limit !== undefined && Number(limit) < 2 ** 62) return true;
  }
  return false;
}

export const parentOf = (directory: string): string => directory.slice(0, directory.lastIndexOf("/"));

export const unavailable = (controller: string, hint: string): TsboxError =>
  new TsboxError(`limit ${controller}: not possible here`, { code: "limit_unavailable", hint });

const noParent = (controller: string, parent: string) =>
  new TsboxError(`limit ${controller} below the control group "${parent}": no such group, or not this user's`, {
    code: "limit_unavailable",
    path: parent,
    hint: "the parent has to be there: mkdir it, in each hierarchy of version 1",
  });

/** Whether groups can be made in it, and processes moved there. */
export function isWritable(directory: string): boolean {
  const W_OK = 2;
  return sys.access(directory, W_OK) && sys.access(`${directory}/cgroup.procs`, W_OK);
}

export const controllersIn = (file: string): string[] =>
  (sys.readKernelFile(file) ?? "").trim().split(" ").filter(Boolean);

export function isEnabled(controllers: readonly string[], directory: string): boolean {
  if (controllers.length === 0) return true;
  const enabled = controllersIn(`${directory}/cgroup.subtree_control`);
  return controllers.every((name) => enabled.includes(name));
}

export function enable(controllers: readonly string[], directory: string): boolean {
  if (isEnabled(controllers, directory)) return isDomain(directory);
  const before = controllersIn(`${directory}/cgroup.subtree_control`);
  const change = (sign: "+" | "-") => {
    const words = controllers.filter((name) => !before.includes(name)).map((name) => `${sign}${name}`);
    sys.writeKernelFile(`${directory}/cgroup.subtree_control`, words.join(" "));
  };
  change("+");
  if (isDomain(directory)) return isEnabled(controllers, directory);
  change("-");
  return false;
}

/**
 * Whether groups below it can have processes. A group with processes of its own may enable controllers that threads can
 * have, such as pids; but it is the root of a threaded tree then, and groups below it take threads only.
 */
function isDomain(directory: string): boolean {
  // the root of all groups has no type
  return (sys.readKernelFile(`${directory}/cgroup.type`) ?? "domain").trim() === "domain";
}
