/**
 * Files of the host by their path. The engine uses these rather than `node:fs` and `node:path`: to load those takes
 * `tsbox run` 2 ms (measured).
 * @module
 */
import { close, O_DIRECTORY, O_PATH, O_RDONLY, O_WRONLY, read, write } from "./calls.ts";
import { statusOf } from "./file-status.ts";
import { TsboxError } from "./error.ts";
import { systemError, trySyscall } from "./kernel.ts";
import { ARCH } from "./numbers.ts";
import { encoder, path, PATH_BYTES, scratch } from "./scratch.ts";
import { STAT } from "./structs.ts";

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const [O_NOCTTY, O_NONBLOCK, O_CLOEXEC] = [0o400, 0o4000, 0o2000000];
const [ENOENT, EEXIST] = [2, 17];
const decoder = new TextDecoder();

/** One write to a file of the kernel's; -errno on failure. */
export function writeKernelFile(file: string, text: string): number {
  const fd = trySyscall("openat", AT_FDCWD, path(file), O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  const result = write(fd, encoder.encode(text));
  close(fd);
  return result;
}

/** The content of a plain file; undefined where it cannot be read. No pipe or device holds anybody up. */
export function readFile(file: string): Uint8Array | undefined {
  const fd = trySyscall("openat", AT_FDCWD, path(file), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  if (statusOf(fd, "", AT_EMPTY_PATH)?.kind !== "file") {
    close(fd);
    return undefined;
  }
  const parts: Uint8Array[] = [];
  let part = read(fd);
  for (; typeof part !== "number" && part.length > 0; part = read(fd)) parts.push(part);
  close(fd);
  if (typeof part === "number") return undefined;
  const content = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, each) => (content.set(each, at), at + each.length), 0);
  return content;
}

/** The text of a file, such as the kernel's; undefined where it cannot be read. */
export function readKernelFile(file: string): string | undefined {
  const content = readFile(file);
  return content && decoder.decode(content);
}

/** `ssize_t pread64(int fd, void *buf, size_t count, 0)`: the text of a file of the kernel's, up to 64 KiB. @see pread(2) */
export function readFromStart(fd: number): string | undefined {
  const length = trySyscall("pread64", fd, scratch.address, scratch.size, 0);
  return length < 0 ? undefined : decoder.decode(scratch.bytes.subarray(0, length));
}

/** `int mkdirat(AT_FDCWD, const char *path, 0755)`: 0 or -errno. @see mkdirat(2) */
export const newDirectory = (directory: string): number => trySyscall("mkdirat", AT_FDCWD, path(directory), 0o755);

/** The same: 0 also where it exists. */
export function makeDirectory(directory: string): number {
  const result = newDirectory(directory);
  return result === -EEXIST ? 0 : result;
}

/** `int fchownat(AT_FDCWD, const char *path, uid_t owner, gid_t group, 0)`: 0 or -errno; -1 stays. @see chown(2) */
export const changeOwner = (file: string, uid: number, gid: number): number =>
  trySyscall("fchownat", AT_FDCWD, path(file), uid, gid, 0);

/** `int unlinkat(AT_FDCWD, const char *path, AT_REMOVEDIR)`: 0, also where it is gone, or -errno. @see unlinkat(2) */
export function removeDirectory(directory: string): number {
  const AT_REMOVEDIR = 0x200;
  const result = trySyscall("unlinkat", AT_FDCWD, path(directory), AT_REMOVEDIR);
  return result === -ENOENT ? 0 : result;
}

/**
 * `ssize_t getdents64(int fd, struct linux_dirent64 *dirp, size_t count)`: the names in a directory, in no order; none
 * where it cannot be read. @see getdents(2)
 */
export function namesIn(directory: string): string[] {
  const fd = trySyscall("openat", AT_FDCWD, path(directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  const names: string[] = [];
  if (fd < 0) return names;
  for (let length; (length = trySyscall("getdents64", fd, scratch.address, scratch.size)) > 0;) {
    // { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[] }
    for (let at = 0; at < length; at += scratch.view.getUint16(at + 16, true)) {
      names.push(decoder.decode(scratch.bytes.subarray(at + 19, scratch.bytes.indexOf(0, at + 19))));
    }
  }
  close(fd);
  return names.filter((name) => name !== "." && name !== "..");
}

/** `ssize_t readlinkat(AT_FDCWD, const char *path, char *buf, size_t size)`; undefined for what is no symlink. @see readlink(2) */
export function readLink(file: string): string | undefined {
  const length = trySyscall("readlinkat", AT_FDCWD, path(file), scratch.address + PATH_BYTES, PATH_BYTES);
  return length < 0 ? undefined : decoder.decode(scratch.bytes.subarray(PATH_BYTES, PATH_BYTES + length));
}

/** `ssize_t pread64(int fd, void *buf, size_t count, off_t offset)`: up to 64 KiB, fewer at the end. @see pread(2) */
export function readAt(fd: number, offset: number, limit: number): Uint8Array {
  const length = trySyscall("pread64", fd, scratch.address, Math.min(limit, scratch.size), offset);
  if (length < 0) throw systemError("read a file", "pread64", -length);
  return scratch.bytes.slice(0, length);
}

export interface FileStatus {
  mode: number;
  inode: bigint;
  /** That it lies on, and, of a device node, that it stands for. */
  device: { major: number; minor: number };
  special: { major: number; minor: number };
}

/** The kernel tells 32 bits: 12 of the minor number, 12 of the major one, and 8 of the minor. */
const deviceOf = (number: number) => ({
  major: (number >>> 8) & 0xfff,
  minor: (number & 0xff) | ((number >>> 12) & 0xfff00),
});

/** `int fstatat(AT_FDCWD, const char *path, struct stat *buf, 0)`; undefined where there is nothing. @see stat(2) */
export function statFile(file: string): FileStatus | undefined {
  if (trySyscall("newfstatat", AT_FDCWD, path(file), scratch.address + PATH_BYTES, 0) < 0) return undefined;
  const { st_mode, st_ino, st_dev, st_rdev } = STAT[ARCH].fields;
  const device = (at: number) => deviceOf(scratch.view.getUint32(PATH_BYTES + at, true));
  return {
    mode: scratch.view.getUint32(PATH_BYTES + st_mode[0], true),
    inode: scratch.view.getBigUint64(PATH_BYTES + st_ino[0], true),
    device: device(st_dev[0]),
    special: device(st_rdev[0]),
  };
}

const [S_IFMT, S_IFBLK] = [0o170000, 0o060000];
const F_OK = 0;

/**
 * The block device that a path is on, or that a device node stands for: of a partition, the disk. Undefined for a file
 * system on none, or on many.
 */
export function blockDeviceOf(file: string): { major: number; minor: number } | undefined {
  const stat = statFile(file);
  if (!stat) return undefined;
  const { major, minor } = (stat.mode & S_IFMT) === S_IFBLK ? stat.special : stat.device;
  const directory = `/sys/dev/block/${major}:${minor}`;
  if (!access(directory, F_OK)) return undefined;
  if (!access(`${directory}/partition`, F_OK)) return { major, minor };
  const [disk = 0, number = 0] = (readKernelFile(`${directory}/../dev`) ?? "").split(":").map(Number);
  return { major: disk, minor: number };
}

/** `int faccessat2(AT_FDCWD, const char *path, int mode, AT_EACCESS)`: whether it is allowed. @see faccessat2(2) */
export function access(file: string, mode: number): boolean {
  const AT_EACCESS = 0x200;
  return trySyscall("faccessat2", AT_FDCWD, path(file), mode, AT_EACCESS) === 0;
}

/** What a path leads to; undefined where it leads nowhere, or may not be looked at. */
export function kindOfPath(file: string): "file" | "directory" | undefined {
  const fd = trySyscall("openat", AT_FDCWD, path(file), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd >= 0) {
    close(fd);
    return "directory";
  }
  return access(file, F_OK) ? "file" : undefined;
}

/** Where a path leads, without symlinks; undefined where it leads nowhere, or may not be looked at. */
export function realPath(file: string): string | undefined {
  const fd = trySyscall("openat", AT_FDCWD, path(file), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const real = readLink(`/proc/self/fd/${fd}`);
  close(fd);
  return real;
}

/** A path without ".", ".." and empty parts; symlinks stay. */
export function absolute(file: string, from?: string | undefined): string {
  const parts: string[] = [];
  for (const part of (file.startsWith("/") ? file : `${from ?? workingDirectory()}/${file}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** @throws TsboxError `file_not_found` */
function workingDirectory(): string {
  try {
    return process.cwd();
  } catch (cause) {
    const hint = "name files by absolute paths, or go to another directory";
    throw new TsboxError("find the working directory: it has been removed", { code: "file_not_found", hint, cause });
  }
}

/** `int fremovexattr(int fd, const char *name)`: 0 or -errno. @see removexattr(2) */
export const removeAttribute = (fd: number, name: string): number => trySyscall("fremovexattr", fd, path(name));

/** `int umount2(const char *target, MNT_DETACH | UMOUNT_NOFOLLOW)`: 0, or -errno. @see umount2(2) */
export function detachMount(directory: string): number {
  const [MNT_DETACH, UMOUNT_NOFOLLOW] = [2, 8];
  return trySyscall("umount2", path(directory), MNT_DETACH | UMOUNT_NOFOLLOW);
}
