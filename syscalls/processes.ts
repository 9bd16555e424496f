/** Children, signals, limits, and who the caller is. @module */
import { syscall, systemError, trySyscall } from "./kernel.ts";
import { path, scratch } from "./scratch.ts";
import { offsetOf } from "./structs.ts";

/**
 * `int prlimit64(0, int resource, const struct rlimit64 *new, struct rlimit64 *old)`: a hard limit of this process that
 * is at least so high, where this may be. @see prlimit(2)
 */
export function raiseHardLimit(resource: number, hard: bigint): void {
  if (trySyscall("prlimit64", 0, resource, 0, scratch.address) < 0) return;
  const at = offsetOf("rlimit64", "rlim_max");
  if (scratch.view.getBigUint64(at, true) >= hard) return;
  scratch.view.setBigUint64(at, hard, true);
  trySyscall("prlimit64", 0, resource, scratch.address, 0);
}

/** `int prlimit64(0, int resource, NULL, struct rlimit64 *old)`: the soft limit of this process. @see prlimit(2) */
export function softLimit(resource: number): number {
  syscall("read a limit", "prlimit64", 0, resource, 0, scratch.address);
  return Number(scratch.view.getBigUint64(offsetOf("rlimit64", "rlim_cur"), true));
}

/** `int prlimit64(0, int resource, const struct rlimit64 *new, NULL)`: the soft limit becomes the hard one. @see prlimit(2) */
export function raiseSoftLimit(resource: number): void {
  if (trySyscall("prlimit64", 0, resource, 0, scratch.address) < 0) return;
  const [soft, hard] = [offsetOf("rlimit64", "rlim_cur"), offsetOf("rlimit64", "rlim_max")];
  scratch.view.setBigUint64(soft, scratch.view.getBigUint64(hard, true), true);
  trySyscall("prlimit64", 0, resource, scratch.address, 0);
}

/**
 * `int execveat(int fd, "", [NULL], [NULL], AT_EMPTY_PATH)`: this process becomes another program, all threads of it.
 * @see execveat(2)
 */
export function becomeImage(fd: number): never {
  const AT_EMPTY_PATH = 0x1000;
  const none = scratch.size - 8;
  scratch.view.setBigUint64(none, 0n, true);
  const list = scratch.address + none;
  const result = trySyscall("execveat", fd, path(""), list, list, AT_EMPTY_PATH);
  throw systemError("become another program", "execveat", -result);
}

/** `int ppoll({pidfd, POLLIN}, 1, timeout)`: stands still until a process has ended, for so long at most; whether it has. @see pidfd_open(2) */
export function waitBriefly(pidfd: number, timeoutUs: number): boolean {
  const POLLIN = 1;
  scratch.view.setInt32(0, pidfd, true);
  scratch.view.setInt32(4, POLLIN, true);
  scratch.view.setBigInt64(8, BigInt(Math.floor(timeoutUs / 1e6)), true);
  scratch.view.setBigInt64(16, BigInt(Math.round((timeoutUs % 1e6) * 1000)), true);
  return trySyscall("ppoll", scratch.address, 1, scratch.address + 8, 0, 8) > 0;
}

/**
 * `pid_t wait4(pid_t pid, int *status, WNOHANG, NULL)`: the wait status of a child that has ended, which is reaped;
 * undefined while it runs. @see wait4(2)
 */
export function reap(pid: number): number | undefined {
  const WNOHANG = 1;
  const result = trySyscall("wait4", pid, scratch.address, WNOHANG);
  return result === pid ? scratch.view.getInt32(0, true) : result < 0 ? 0 : undefined;
}

/** `int waitid(P_ALL, 0, siginfo_t *infop, WEXITED | WNOHANG | WNOWAIT)`: a child that has ended, not reaped yet. @see waitid(2) */
export function endedChild(): number | undefined {
  const [P_ALL, WEXITED_WNOHANG_WNOWAIT, SI_PID] = [0, 0x01000005, 16];
  scratch.view.setInt32(SI_PID, 0, true);
  const result = trySyscall("waitid", P_ALL, 0, scratch.address, WEXITED_WNOHANG_WNOWAIT, 0);
  const pid = scratch.view.getInt32(SI_PID, true);
  // 0: there are children, and none has ended
  return result < 0 || pid === 0 ? undefined : pid;
}

/** `int pidfd_send_signal(int pidfd, int sig, NULL, 0)`: 0 or -errno. @see pidfd_send_signal(2) */
export function sendSignal(pidfd: number, signal: number): number {
  return trySyscall("pidfd_send_signal", pidfd, signal);
}

/**
 * SIGKILL for a process, and for the group that it leads. Before Linux 6.9 groups have numbers alone.
 * @see pidfd_send_signal(2)
 */
export function killWithGroup(pidfd: number, pid: number): void {
  const [SIGKILL, PIDFD_SIGNAL_PROCESS_GROUP, EINVAL] = [9, 4, 22];
  if (trySyscall("pidfd_send_signal", pidfd, SIGKILL, 0, PIDFD_SIGNAL_PROCESS_GROUP) === -EINVAL) killGroup(pid);
  sendSignal(pidfd, SIGKILL);
}

/** `int kill(-pgid, SIGKILL)`: the process group that a child which is not reaped yet was the leader of. @see kill(2) */
export function killGroup(pgid: number): void {
  trySyscall("kill", -pgid, 9);
}

/** `int pidfd_open(pid_t pid, 0)`: of a child that is not reaped yet. @see pidfd_open(2) */
export function openPidfd(pid: number): number {
  return syscall(`open process ${pid}`, "pidfd_open", pid, 0);
}

/** `uid_t geteuid(void)` @see geteuid(2) */
export const effectiveUid = (): number => trySyscall("geteuid");

/** `gid_t getegid(void)` @see getegid(2) */
export const effectiveGid = (): number => trySyscall("getegid");
