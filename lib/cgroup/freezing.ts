/**
 * A group whose processes stand still, with those of the groups below it.
 * @module
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html, cgroups(7)
 */
import * as sys from "../../syscalls/index.ts";
import type { Directory } from "./counters.ts";

const FREEZE_MS = 10_000;
/** Version 1 may stay in between for ever where processes appear meanwhile; to go on for a moment helps. */
const TURNS_TO_THAW = 50;

/** @returns 0 or more, or -errno */
export function setFrozen({ version, path }: Directory, frozen: boolean): number {
  if (version === "v2") return sys.writeKernelFile(`${path}/cgroup.freeze`, frozen ? "1" : "0");
  return sys.writeKernelFile(`${path}/freezer.state`, frozen ? "FROZEN" : "THAWED");
}

/**
 * Once it is frozen: until all of its processes are.
 * @param isOver nobody wants it any more: they are to be killed @returns false where one does not stop
 */
export async function waitUntilStopped(group: Directory, isOver = (): boolean => false): Promise<boolean> {
  const end = performance.now() + FREEZE_MS;
  for (let turn = 1; !hasStopped(group); turn++) {
    if (performance.now() > end) return false;
    if (group.version === "v1" && turn % TURNS_TO_THAW === 0) setFrozen(group, false);
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (isOver()) return false;
    if (group.version === "v1") setFrozen(group, true);
  }
  return true;
}

function hasStopped({ version, path }: Directory): boolean {
  const text = sys.readKernelFile(`${path}/${version === "v2" ? "cgroup.events" : "freezer.state"}`) ?? "";
  return /^frozen 1$/m.test(text) || text.startsWith("FROZEN");
}

/** Whether it is frozen itself, rather than with a group above it. */
export function isFrozen({ version, path }: Directory): boolean {
  const file = version === "v2" ? "cgroup.freeze" : "freezer.self_freezing";
  return (sys.readKernelFile(`${path}/${file}`) ?? "").trim() === "1";
}
