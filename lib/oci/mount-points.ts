/**
 * Where mounts go. A mount point that does not exist is made, also where a symlink of the root filesystem leads to it:
 * openat2(2) follows only those to what is there, so the others are followed here, once. What comes of it is a path, and
 * is resolved inside the root again when something is mounted there.
 * @module
 * @see path_resolution(7)
 */
import * as sys from "../../syscalls/index.ts";
import { close, O_DIRECTORY, O_PATH, openInRoot, TsboxError } from "../../syscalls/index.ts";
import type { Mount } from "../spec/index.ts";

/** As the kernel has it. */
const LINKS = 40;

/**
 * The same mounts, with destinations that no dangling symlink lies on. A tmpfs has the mode of what it covers.
 *
 * @throws TsboxError `mount_failed`
 */
export function settleMountPoints(mounts: readonly Mount[], rootfs: string): Mount[] {
  const root = sys.open(rootfs, O_PATH | O_DIRECTORY);
  try {
    return mounts.map((mount, index) => {
      const { destination } = mount;
      // what another mount covers is not the root filesystem's
      const isCovered = mounts.slice(0, index).some((above) => destination.startsWith(`${above.destination}/`));
      if (isCovered) return mount;
      const mode = modeOf(root, destination);
      if (mode === undefined) return { ...mount, destination: follow(root, destination) };
      return hasMode(mount) ? mount : { ...mount, options: [...(mount.options ?? []), `mode=${mode.toString(8)}`] };
    });
  } finally {
    close(root);
  }
}

/** Said, or that of a file system which is there already. */
const hasMode = ({ type, options = [] }: Mount): boolean =>
  type !== "tmpfs" || options.some((option) => option.startsWith("mode=") || option === "remount");

/** Undefined where there is nothing, or nothing that can be reached. */
function modeOf(root: number, path: string): number | undefined {
  const fd = openInRoot(root, path, O_PATH);
  if (fd < 0) return undefined;
  try {
    return (sys.statFile(`/proc/self/fd/${fd}`)?.mode ?? 0) & 0o7777;
  } finally {
    close(fd);
  }
}

function follow(root: number, path: string): string {
  const done: string[] = [];
  const left = path.split("/").toReversed();
  let links = 0;
  while (left.length > 0) {
    const part = left.pop() as string;
    if (part === "" || part === ".") continue;
    const target = part === ".." ? undefined : linkAt(root, done, part);
    if (part === "..") done.pop();
    else if (target === undefined) done.push(part);
    else if (++links > LINKS) {
      throw new TsboxError(`mount on ${JSON.stringify(path)}: its symlinks have no end`, {
        code: "mount_failed",
        path,
      });
    } else {
      if (target.startsWith("/")) done.length = 0;
      left.push(...target.split("/").toReversed());
    }
  }
  return `/${done.join("/")}`;
}

function linkAt(root: number, above: string[], name: string): string | undefined {
  const directory = openInRoot(root, `/${above.join("/")}`, O_PATH | O_DIRECTORY);
  if (directory < 0) return undefined;
  try {
    return sys.readLink(`/proc/self/fd/${directory}/${name}`);
  } finally {
    close(directory);
  }
}
