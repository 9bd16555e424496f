/** The group that a process joins, which may be below a container's own. @module */
import { readKernelFile, TsboxError } from "../../syscalls/index.ts";
import { controllersIn } from "./place.ts";

export interface Joined {
  path: string;
  /** Below it: `"a/b"`; `"/"`: itself; empty: itself, where it can have processes. */
  sub: string;
  version: "v1" | "v2";
  /** The container's first process. */
  first?: number | undefined;
}

/** @throws TsboxError `invalid_option` */
export function joinPath({ path, sub, version, first }: Joined): string {
  const parts = sub.split("/").filter((part) => part !== "");
  if (parts.some((part) => part === ".." || part === ".")) {
    throw new TsboxError(
      `join the cgroup ${JSON.stringify(sub)}: bad sub cgroup path, \`..\` components are not allowed`,
      {
        code: "invalid_option",
      },
    );
  }
  if (parts.length > 0) return `${path}/${parts.join("/")}`;
  if (sub !== "") return path;
  if (version === "v1" || first === undefined || canHaveProcesses(path)) return path;
  const own = /^0::(.*)$/m.exec(readKernelFile(`/proc/${first}/cgroup`) ?? "")?.[1] ?? "";
  // the path is from the root of this process's cgroup namespace, which may not be that of the mount
  const at = own.lastIndexOf(nameOf(path));
  return at < 0 ? path : `${path}${own.slice(at + nameOf(path).length)}`;
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/"));

/** Controllers of threads may be enabled for groups below one that has processes. */
const THREADED = ["cpu", "cpuset", "perf_event", "pids"];

function canHaveProcesses(path: string): boolean {
  return controllersIn(`${path}/cgroup.subtree_control`).every((controller) => THREADED.includes(controller));
}
