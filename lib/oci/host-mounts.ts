/**
 * The mounts of a container without a mount namespace of its own, which lie on its root filesystem in the caller's: they
 * do not go by themselves.
 * @module
 */
import { close, detachMount, O_DIRECTORY, O_PATH, open, readKernelFile } from "../../syscalls/index.ts";
import type { ContainerRecord } from "./record.ts";

/** Which mount a directory lies on. @see proc_pid_fdinfo(5) */
export function mountIdOf(directory: string): number {
  const fd = open(directory, O_PATH | O_DIRECTORY);
  try {
    return Number(/^mnt_id:\s*(\d+)$/m.exec(readKernelFile(`/proc/self/fdinfo/${fd}`) ?? "")?.[1]);
  } finally {
    close(fd);
  }
}

/** Takes away what lies on the root filesystem and did not before. */
export function detachMounts({ rootfs, mountBefore }: ContainerRecord): void {
  if (mountBefore !== undefined && mountIdOf(rootfs) !== mountBefore) detachMount(rootfs);
}
