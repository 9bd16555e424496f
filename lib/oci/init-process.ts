/** The first process of a container, found again by a later command. @module */
import { close, readKernelFile, sendSignal, trySyscall } from "../../syscalls/index.ts";

/** Which one it is: its number may have been used again. */
export interface InitProcess {
  pid: number;
  /** In clock ticks since boot. */
  pidStartTime: string;
}

/** When a process started; undefined where there is none, or only what its parent has not asked for yet. @see proc_pid_stat(5) */
export function startTimeOf(pid: number): string | undefined {
  const stat = readKernelFile(`/proc/${pid}/stat`);
  // the second field is the command, in parentheses and with anything in it
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields?.[0];
  return state === undefined || "ZXx".includes(state) ? undefined : fields?.[19];
}

export const isRunning = ({ pid, pidStartTime }: InitProcess): boolean => pid > 0 && startTimeOf(pid) === pidStartTime;

/** @returns 0, -errno, or undefined where it is not running any more */
export function signalProcess(init: InitProcess, signal: number): number | undefined {
  if (init.pid <= 0) return undefined;
  const pidfd = trySyscall("pidfd_open", init.pid, 0);
  if (pidfd < 0) return undefined;
  try {
    // looked at after it was opened: this is who it is
    return isRunning(init) ? sendSignal(pidfd, signal) : undefined;
  } finally {
    close(pidfd);
  }
}
