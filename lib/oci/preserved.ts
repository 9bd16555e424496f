/** Descriptors that the caller passes through to a container's process: those right behind stdio. @module */
import { namesIn, readKernelFile, readLink, trySyscall } from "../../syscalls/index.ts";
import type { Logger } from "./log.ts";

/**
 * Keeps those of them that are open so in what is executed: the JavaScript runtime has marked all that it was started
 * with. To be called before anything else is opened.
 *
 * @param count how many numbers from 3 on are passed; the caller need not have all of them open
 * @returns how many there are up to the last one that is open
 */
export function keepOpen(count: number, log: Logger): number {
  if (count === 0) return 0;
  const F_SETFD = 2;
  const own = ownDescriptors().add(log.fd ?? -1);
  const passed = namesIn("/proc/self/fd")
    .map(Number)
    // EBADF: that of the list itself
    .filter((fd) => fd >= 3 && fd < 3 + count && !own.has(fd) && trySyscall("fcntl", fd, F_SETFD, 0) === 0);
  return Math.max(2, ...passed) - 2;
}

/** Those of the JavaScript runtime, which takes the numbers that the caller left free: its loop, and what that waits for. */
function ownDescriptors(): Set<number> {
  const loops = namesIn("/proc/self/fd").filter((fd) => readLink(`/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]");
  const waited = loops.flatMap((loop) => [
    ...(readKernelFile(`/proc/self/fdinfo/${loop}`) ?? "").matchAll(/^tfd:\s*(\d+)/gm),
  ]);
  return new Set([...loops.map(Number), ...waited.map(([, fd]) => Number(fd))]);
}
