/**
 * Which control groups this machine has, and where this process is in them.
 * @module
 * @see cgroups(7), proc_pid_mountinfo(5), proc_pid_cgroup(5)
 */
import { readKernelFile } from "../../syscalls/index.ts";

/** Where it is mounted, and this process's own directory in it. */
export interface Hierarchy {
  mount: string;
  own: string;
}

export interface Hierarchies {
  /** Per controller its v1 hierarchy. */
  v1: Map<string, Hierarchy>;
  v2?: Hierarchy;
}

/** @param text of /proc/self/mountinfo and /proc/self/cgroup, for tests */
export function findHierarchies(
  mountinfo = readKernelFile("/proc/self/mountinfo") ?? "",
  membership = readKernelFile("/proc/self/cgroup") ?? "",
): Hierarchies {
  const found: Hierarchies = { v1: new Map() };
  // 31 23 0:28 ROOT MOUNTPOINT options - TYPE SOURCE SUPEROPTIONS
  const mounts = mountinfo.split("\n").flatMap((line) => {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root = "", mount = ""] = left.split(" ");
    const [type, , options = ""] = right.split(" ");
    return type === "cgroup" || type === "cgroup2"
      ? [{ root: unescape(root), mount: unescape(mount), type, options: options.split(",") }]
      : [];
  });
  for (const line of membership.split("\n")) {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (names === undefined || path === undefined) continue;
    const controllers = names.split(",");
    const mount = mounts.find((m) =>
      names === "" ? m.type === "cgroup2" : m.type === "cgroup" && m.options.includes(controllers[0] as string),
    );
    if (!mount) continue;
    const hierarchy = { mount: mount.mount, own: (mount.mount + below(mount.root, path)).replace(/\/$/, "") };
    if (names === "") found.v2 = hierarchy;
    else for (const controller of controllers) found.v1.set(controller, hierarchy);
  }
  return found;
}

/** In a container without a cgroup namespace of its own, the mount shows only a part of what the paths are in. */
function below(root: string, path: string): string {
  if (root === "/") return path;
  if (path === root || path.startsWith(root + "/")) return path.slice(root.length);
  return "/";
}

const unescape = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
