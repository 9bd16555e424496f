/**
 * Mounts of images by system call: straight out of their file where the kernel can (since 6.12, with
 * CONFIG_EROFS_FS_BACKED_BY_FILE), by a loop device elsewhere. For root, and for images that `indexLayer` wrote: the
 * kernel's file systems do not expect images that somebody has tampered with.
 * @module
 */
import { attachLoop, close, errnoName, mountReadOnly, O_RDONLY, open, TsboxError } from "../../syscalls/index.ts";

const [EPERM, ENODEV, ENOTBLK] = [1, 19, 15];

export interface MountOptions {
  /** A loop device in any case. @default false */
  loop?: boolean;
}

/**
 * A descriptor of the image's root: a mount that is nowhere, and is gone with its last descriptor. It leads where a path
 * does as `/proc/self/fd/N`.
 * @throws TsboxError `mount_failed`, `unsupported`, `permission_denied`
 */
export function mountImage(file: string, { loop = false }: MountOptions = {}): number {
  // the kernel takes sources of up to 255 bytes, and paths are longer
  const backing = open(file, O_RDONLY);
  try {
    const result = loop ? -ENOTBLK : mountReadOnly("erofs", `/proc/self/fd/${backing}`);
    const fd = result === -ENOTBLK ? mountLoop(backing) : result;
    if (fd < 0) throw failure(file, -fd);
    return fd;
  } finally {
    close(backing);
  }
}

function mountLoop(backing: number): number {
  const device = attachLoop(backing);
  if (typeof device === "number") return device;
  const result = mountReadOnly("erofs", device.path);
  close(device.fd);
  return result;
}

function failure(file: string, errno: number): TsboxError {
  const code = errno === ENODEV ? "unsupported" : errno === EPERM ? "permission_denied" : "mount_failed";
  const hint = errno === ENODEV ? "EROFS with blocks of 512 bytes needs Linux 6.4 and CONFIG_EROFS_FS" : undefined;
  return new TsboxError(`mount ${JSON.stringify(file)}: ${errnoName(errno)}`, {
    code,
    errno,
    path: file,
    ...(hint ? { hint } : {}),
  });
}
