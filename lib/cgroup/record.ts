/**
 * Where the control groups of a container are, in each hierarchy: named before anything is made, so that it can be
 * written down first.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#cgroups-path
 */
import { absolute, access, TsboxError } from "../../syscalls/index.ts";
import type { Hierarchies, Hierarchy } from "./hierarchy.ts";
import { parentOf } from "./place.ts";
import type { Unit } from "./unit.ts";

/** It goes through JSON. */
export interface CgroupRecord {
  /** Directories by controller, and by `""` in version 2; `name=systemd` is a hierarchy without controllers. */
  paths: Record<string, string>;
  /** By `linux.cgroupsPath`: the container is to be there, or not at all. */
  asked: boolean;
  /** Where permission lacks, and nothing is limited, the container does without. */
  rootless: boolean;
  /** They are the container's: before, there may be somebody else in them. */
  made: boolean;
  /** A scope of systemd, which keeps them. */
  unit?: Unit;
}

export interface CgroupName {
  id: string;
  /** `linux.cgroupsPath` */
  cgroupsPath?: string | undefined;
  rootless: boolean;
  /** Of the bundle: with systemd, some are about the unit. */
  annotations?: Readonly<Record<string, string>> | undefined;
}

/**
 * An absolute path is one from the mount of each hierarchy; any other, and the id where there is none, is below the
 * caller's own group. In pure version 2 it is beside that: a group with processes has no groups with limits below it.
 *
 * @throws TsboxError `invalid_option`
 */
export function recordOf(
  { id, cgroupsPath, rootless }: CgroupName,
  hierarchies: Hierarchies,
  isSeen = isMounted,
): CgroupRecord {
  const asked = cgroupsPath !== undefined && cgroupsPath !== "";
  const name = asked ? cgroupsPath : id;
  const isPure = hierarchies.v1.size === 0;
  return {
    paths: pathsIn(hierarchies, isSeen, (hierarchy) => {
      const path = absolute(`/${name}`);
      if (path === "/") {
        throw new TsboxError(`use the cgroup path ${JSON.stringify(name)}: it is the root of all groups`, {
          code: "invalid_option",
        });
      }
      return (name.startsWith("/") ? hierarchy.mount : besideOwn(hierarchy, isPure)) + path;
    }),
    asked,
    rootless,
    made: false,
  };
}

function besideOwn({ mount, own }: Hierarchy, isPure: boolean): string {
  return isPure && own !== mount ? parentOf(own) : own;
}

/** One for each hierarchy that can be seen: others may be mounted over it. */
export function pathsIn(
  { v1, v2 }: Hierarchies,
  isSeen: (hierarchy: Hierarchy) => boolean,
  place: (hierarchy: Hierarchy) => string,
): Record<string, string> {
  const paths: Record<string, string> = {};
  for (const [controller, hierarchy] of v1) if (isSeen(hierarchy)) paths[controller] = place(hierarchy);
  if (v2 && isSeen(v2)) paths[""] = place(v2);
  return paths;
}

export function isMounted({ mount }: Hierarchy): boolean {
  const F_OK = 0;
  return access(`${mount}/cgroup.procs`, F_OK);
}

/**
 * What was written down is below the hierarchies that it is said to be in: nothing else is ever removed, or written to.
 *
 * @throws TsboxError `container_unreadable`
 */
export function checkRecord({ paths }: CgroupRecord, { v1, v2 }: Hierarchies): void {
  for (const [controller, path] of Object.entries(paths)) {
    const mount = (controller === "" ? v2 : v1.get(controller))?.mount;
    if (mount !== undefined && path.startsWith(`${mount}/`) && absolute(path) === path) continue;
    throw new TsboxError(`use the control group ${JSON.stringify(path)} of a container: it is none of this machine's`, {
      code: "container_unreadable",
      path,
    });
  }
}
