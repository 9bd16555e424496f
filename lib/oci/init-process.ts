/** The first process of a container, found again by a later command. @module */
import { close, readKernelFile, sendSignal, trySyscall } from "../../syscalls/index.ts";

/** Which one it is: its number may have been used again. */
export interface InitProcess {
  pid: number;
  /** In clock ticks since boot. */
  pidStartTime: string;
}

/** From the third field on: the second is the command, in parentheses and with anything in it. @see proc_pid_stat(5) */
function statOf(pid: number): string[] {
  const stat = readKernelFile(`/proc/${pid}/stat`);
  return stat === undefined ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** When a process started; undefined where there is none, or only what its parent has not asked for yet. */
export function startTimeOf(pid: number): string | undefined {
  const { 0: state, 19: started } = statOf(pid);
  return state === undefined || "ZXx".includes(state) ? undefined : started;
}

/**
 * Whether it runs no more, and has left its groups: the first process of a pid namespace is there until somebody has
 * asked for all that were in it.
 */
export function isEnding(pid: number): boolean {
  const PF_EXITING = 4;
  return (Number(statOf(pid)[6]) & PF_EXITING) !== 0;
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
