/**
 * Directories of a container's control groups, with those above them; in version 2 with the controllers enabled on the
 * way.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError } from "../../syscalls/index.ts";
import { inheritCpuset } from "./cpuset.ts";
import { controllersIn, enable, isWritable, parentOf } from "./place.ts";

const [EEXIST, EPERM, EACCES, EROFS] = [-17, -1, -13, -30];
const WORDS: Record<number, string> = {
  [EPERM]: "operation not permitted",
  [EACCES]: "permission denied",
  [EROFS]: "read-only file system",
};

/** The user may not make, or join, a group. */
export class NotPermitted extends TsboxError {}

/** @param made is told of each directory that was not there before @throws NotPermitted, TsboxError `limit_unavailable` */
export function makeGroup(mount: string, path: string, controller: string, made: (path: string) => void): void {
  let isOwn = false;
  for (const directory of onTheWay(mount, path)) {
    if (controller === "" && directory !== mount) enableForChildren(parentOf(directory));
    if (directory === mount) continue;
    isOwn = makeOne(directory, made);
    if (controller === "cpuset") inheritCpuset(directory);
  }
  if (!isOwn && !isWritable(path)) throw notPermitted(`join the control group "${path}"`, EACCES);
}

/** From the mount down. */
function onTheWay(mount: string, path: string): string[] {
  const names = path.slice(mount.length + 1).split("/");
  return [mount, ...names.map((_, index) => `${mount}/${names.slice(0, index + 1).join("/")}`)];
}

/** @returns whether it was not there before */
function makeOne(directory: string, made: (path: string) => void): boolean {
  const result = sys.newDirectory(directory);
  if (result >= 0) made(directory);
  if (result >= 0 || result === EEXIST) return result >= 0;
  if (WORDS[result] !== undefined) throw notPermitted(`make the control group "${directory}"`, result);
  throw new TsboxError(`make the control group "${directory}": ${errnoName(-result)}`, {
    code: "limit_unavailable",
    errno: -result,
    path: directory,
  });
}

function notPermitted(action: string, result: number): NotPermitted {
  return new NotPermitted(`unable to apply cgroup configuration: ${action}: ${WORDS[result]}`, {
    code: "permission_denied",
    errno: -result,
    hint: "have a group delegated: systemd-run --user --scope -p Delegate=yes COMMAND",
  });
}

/** As many as can be: those that a limit needs are missed when it is written. */
function enableForChildren(directory: string): void {
  const available = controllersIn(`${directory}/cgroup.controllers`);
  if (enable(available, directory)) return;
  for (const controller of available) {
    // a tree of threads stays one, with those that threads can have
    if (typeOf(directory) === "domain") enable([controller], directory);
    else sys.writeKernelFile(`${directory}/cgroup.subtree_control`, `+${controller}`);
  }
}

/** The root of all groups has none. */
const typeOf = (path: string): string => (sys.readKernelFile(`${path}/cgroup.type`) ?? "domain").trim();

/** Controllers of groups that processes are in, rather than threads. */
const DOMAIN = ["memory", "io", "hugetlb", "rdma"];

/**
 * Where a group of version 2 cannot have processes, as one above it has some, threads may be in it, if none of the
 * limits is about processes.
 *
 * @throws TsboxError `limit_unavailable`
 */
export function settleType(path: string, limited: readonly string[]): void {
  const type = typeOf(path);
  if (type === "domain") return;
  const domain = limited.find((controller) => DOMAIN.includes(controller));
  if (domain !== undefined) {
    throw new TsboxError(`limit ${domain} in the control group "${path}": its type is "${type}"`, {
      code: "limit_unavailable",
      path,
      hint: "a group above it has processes of its own: move them to one beside it",
    });
  }
  if (type === "domain invalid") sys.writeKernelFile(`${path}/cgroup.type`, "threaded");
}
