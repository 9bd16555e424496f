/** Processes into a group, one by one, while they make others. @module */
import * as sys from "../../syscalls/index.ts";
import { errnoName, TsboxError } from "../../syscalls/index.ts";

/** One look at the processes that there are; not whole where some may not have been seen. */
export type Look = () => { pids: readonly number[]; isWhole: boolean };

const ESRCH = -3;
const F_OK = 0;
/** Each leaves fewer that can make some. */
const MAX_LOOKS = 200;

/**
 * Until all are in it, or below it.
 * @param action what for
 * @throws TsboxError `limit_unavailable`
 */
export function moveAll(action: string, path: string, look: Look): void {
  const isBelow = below(path);
  for (let looks = 1; ; looks++) {
    const { pids, isWhole } = look();
    const inside = new Set((sys.readKernelFile(`${path}/cgroup.procs`) ?? "").split("\n"));
    const outside = pids.filter((pid) => !inside.has(String(pid)) && !isBelow(pid));
    for (const pid of outside) {
      const result = sys.writeKernelFile(`${path}/cgroup.procs`, String(pid));
      // one that has ended may have left others
      if (result < 0 && result !== ESRCH) throw failure(`${action}: move process ${pid} to its group`, -result);
    }
    if (outside.length === 0 && isWhole) return;
    if (looks === MAX_LOOKS) throw failure(`${action}: it makes processes too quickly`);
  }
}

function below(path: string): (pid: number) => boolean {
  if (!sys.access(`${path}/cgroup.controllers`, F_OK)) return () => false;
  const inside = new RegExp(`${path.slice(path.lastIndexOf("/"))}(/|$)`);
  const groupOf = (pid: number) => /^0::(.*)$/m.exec(sys.readKernelFile(`/proc/${pid}/cgroup`) ?? "")?.[1] ?? "";
  return (pid) => inside.test(groupOf(pid));
}

const failure = (action: string, errno?: number) =>
  new TsboxError(errno === undefined ? action : `${action}: ${errnoName(errno)}`, {
    code: "limit_unavailable",
    ...(errno === undefined ? {} : { errno }),
  });
