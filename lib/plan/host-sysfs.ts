/**
 * The sysfs of a container that has users of its own and the host's network: the kernel lets nobody mount one that shows
 * the network of others, so that it is shown the host's, as crun has it.
 * @module
 */
import type { ContainerSpec, Mount, Spec } from "../spec/index.ts";
import { isOwn } from "./intermediate.ts";
import { MOUNT_OPTIONS } from "./mount-options.ts";

const CGROUPS = "/sys/fs/cgroup";

/** The same, where it can be mounted. */
export function withHostSysfs<Given extends ContainerSpec & Spec>(spec: Given): Given {
  const { mounts, linux } = spec;
  const isOthers = isOwn(spec, "user") && !linux.namespaces.some(({ type }) => type === "network");
  if (!isOthers || !mounts.some(({ type }) => type === "sysfs")) return spec;
  const isShown = mounts.some(({ destination }) => destination === CGROUPS);
  return {
    ...spec,
    mounts: mounts.map((mount) => (mount.type === "sysfs" ? bound(mount) : mount)),
    // those of the host lie below it
    linux: isShown ? linux : { ...linux, maskedPaths: [...(linux.maskedPaths ?? []), CGROUPS] },
  };
}

/** What holds for the mount holds for all that comes along with it. */
function bound({ destination, options = [] }: Mount): Mount {
  const below = (option: string) => (MOUNT_OPTIONS.includes(`r${option}`) ? `r${option}` : option);
  return { destination, type: "bind", source: "/sys", options: ["rbind", ...options.map(below)] };
}
