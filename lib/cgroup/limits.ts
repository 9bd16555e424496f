/** The limits of a container, written to its groups. @module */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError } from "../../syscalls/index.ts";
import type { DeviceRule, Resources } from "../spec/index.ts";
import { v1DeviceLines } from "./devices.ts";
import type { Directory } from "./counters.ts";
import { controllersIn, inEveryGroup, parentOf } from "./place.ts";
import { settingsOf, type Controller, type Setting } from "./settings.ts";
import { decideDevices, writeAll } from "./write.ts";

export interface Groups {
  /** The group that a controller limits. */
  where(controller: Controller): Directory | undefined;
  /** Of pure version 2. */
  unified: string | undefined;
  /** Devices need root. */
  rootless: boolean;
  /** Is told of what the version of cgroups lacks. */
  warn(message: string): void;
}

/** @param devices absent: they stay as they are @throws TsboxError `limit_unavailable`, `invalid_option` */
export function applyLimits(resources: Resources, devices: readonly DeviceRule[] | undefined, groups: Groups): void {
  const { unified = {}, devices: _, ...others } = resources;
  const settings = settingsOf(others);
  // by controller: one of two limits may have to be raised before the other can be
  for (const controller of new Set(settings.map((one) => one.controller)))
    applyOne(
      controller,
      settings.filter((one) => one.controller === controller),
      groups,
    );
  if (others.memory?.kernel !== undefined || others.memory?.kernelTCP !== undefined)
    groups.warn("limits of kernel memory are ignored: kernels have them no more");
  if (devices) applyDevices(devices, groups);
  applyUnified(unified, groups);
}

/** Controllers of version 2 that limits are about. */
export const controllersOf = (resources: Resources): Controller[] =>
  settingsOf({ ...resources, devices: [], unified: {} }).map(({ controller }) => controller);

function applyOne(controller: Controller, settings: readonly Setting[], { where, warn }: Groups): void {
  const group = where(controller);
  const version = group?.version ?? "v2";
  const writes = settings.flatMap((setting) => {
    const files = setting[version];
    if (Array.isArray(files)) return files;
    // whatever the group
    warn(`limit ${controller}: cgroup ${version} has no ${files.lacks}`);
    return [];
  });
  if (writes.length === 0) return;
  if (!group) throw cannotSet(controller);
  if (version === "v2" && !isEnabledIn(group.path, controller)) throw notEnabled(controller, group.path);
  writeAll(controller, group.path, writes);
}

const cannotSet = (controller: string) =>
  new TsboxError(`cannot set ${controller} limit: container could not join or create cgroup`, {
    code: "limit_unavailable",
    hint:
      sys.effectiveUid() === 0
        ? "no group of the container's has it: it is not mounted, or control groups are disabled"
        : "have a group delegated: systemd-run --user --scope -p Delegate=yes COMMAND",
  });

const isEnabledIn = (path: string, controller: Controller): boolean =>
  inEveryGroup(controller) || controllersIn(`${path}/cgroup.controllers`).includes(controller);

/** Tells what is in the way: the nearest group above that has the controller, and processes of its own. */
function notEnabled(controller: string, path: string): TsboxError {
  let above = parentOf(path);
  while (above !== "" && !controllersIn(`${above}/cgroup.controllers`).includes(controller)) above = parentOf(above);
  const details = { code: "limit_unavailable" as const, path };
  if (above === "")
    return new TsboxError(`cannot set ${controller} limit: no group has the controller`, {
      ...details,
      hint: `the kernel lacks it, or whoever delegated the group kept it`,
    });
  const isInUse = (sys.readKernelFile(`${above}/cgroup.procs`) ?? "") !== "";
  return new TsboxError(`cannot set ${controller} limit: the controller is not enabled below "${above}"`, {
    ...details,
    hint: isInUse
      ? "processes in that group are in the way: move them to one below it"
      : "the group is not this user's",
  });
}

const device = (type: "b" | "c", major: number | undefined, minor: number | undefined, access: string): DeviceRule => ({
  allow: true,
  type,
  ...(major === undefined ? {} : { major }),
  ...(minor === undefined ? {} : { minor }),
  access,
});

/** Nodes of any device may be made; null, zero, full, random, urandom, tty, ptmx, pts and net/tun may be used. */
const ALWAYS: DeviceRule[] = [
  device("c", undefined, undefined, "m"),
  device("b", undefined, undefined, "m"),
  ...[3, 5, 7, 8, 9].map((minor) => device("c", 1, minor, "rwm")),
  ...[0, 2].map((minor) => device("c", 5, minor, "rwm")),
  device("c", 136, undefined, "rwm"),
  device("c", 10, 200, "rwm"),
];

/** All of them: nothing is allowed, but what the bundle says, and what every container has. */
export const containerDevices = (rules: readonly DeviceRule[] = []): DeviceRule[] => [
  { allow: false },
  ...rules,
  ...ALWAYS,
];

function applyDevices(rules: readonly DeviceRule[], { where, rootless }: Groups): void {
  const group = where("devices");
  try {
    if (!group) throw cannotSet("devices");
    if (group.version === "v2") return decideDevices(group.path, rules);
    const lines = v1DeviceLines(rules);
    if (!lines) {
      throw new TsboxError("limit devices: a rule takes back a part of what an earlier one says", {
        code: "invalid_option",
        hint: "cgroup v1 knows only exceptions to one rule: put what is denied first",
      });
    }
    for (const line of lines) writeAll("devices", group.path, [line]);
  } catch (error) {
    // who is not root can make no node of a device, and use those only that he may use anyway
    if (!rootless || !(error instanceof TsboxError) || error.code === "invalid_option") throw error;
  }
}

const ENOENT = -2;

function applyUnified(unified: Readonly<Record<string, string>>, { unified: path, where }: Groups): void {
  for (const [file, value] of Object.entries(unified)) {
    if (path === undefined) {
      if (where("cpuacct")?.version === undefined) throw cannotSet(file);
      throw new TsboxError("invalid configuration: cannot use unified resources on cgroup v1", {
        code: "limit_unavailable",
      });
    }
    checkUnified(file, path);
    for (const line of value.split("\n").filter((part, index) => part !== "" || index === 0)) {
      const result = sys.writeKernelFile(`${path}/${file}`, line);
      if (result >= 0) continue;
      const why = result === ENOENT ? "no such file or directory" : errnoName(-result);
      throw new TsboxError(`write ${JSON.stringify(line)} to the cgroup file "${file}": ${why}`, {
        code: "limit_unavailable",
        errno: -result,
      });
    }
  }
}

function checkUnified(file: string, path: string): void {
  const [, controller = ""] = /^([^./]+)\.[^/]+$/.exec(file) ?? [];
  const fail = (why: string) => {
    throw new TsboxError(`write to the cgroup file ${JSON.stringify(file)}: ${why}`, { code: "invalid_option" });
  };
  if (controller === "") fail(`the specified key has not the form CONTROLLER.VALUE \`${file}\``);
  if (controller !== "cgroup" && !controllersIn(`${path}/cgroup.controllers`).includes(controller))
    fail(`the requested cgroup controller \`${controller}\` is not available`);
}
