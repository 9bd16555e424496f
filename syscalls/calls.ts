/**
 * System calls as functions, of descriptors and files; those of other things are in files beside this one. The first line
 * of each is the call. Descriptors are close-on-exec; a failure is a TsboxError, except where a negative errno is said to
 * be the answer.
 * @module
 */
import { syscall, systemError, trySyscall } from "./kernel.ts";
import { path, PATH_BYTES, scratch } from "./scratch.ts";
import { fillStruct, STRUCTS } from "./structs.ts";

const AT_FDCWD = -100;
const [O_NONBLOCK, O_CLOEXEC] = [0o4000, 0o2000000];
const [EAGAIN, EINVAL] = [11, 22];

/** What was opened for the length of a block: `using opened = new Descriptors()`. */
export class Descriptors {
  readonly #open: number[] = [];

  add(fd: number): number {
    this.#open.push(fd);
    return fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.splice(0)) close(fd);
  }
}

/** `int close(int fd)` @see close(2) */
export function close(fd: number): void {
  trySyscall("close", fd);
}

/** Where the caller's own stdin, stdout or stderr is closed, a new descriptor would take its number. */
export function aboveStdio(fd: number): number {
  if (fd > 2) return fd;
  const F_DUPFD_CLOEXEC = 1030;
  const moved = syscall("move a descriptor", "fcntl", fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  return moved;
}

/** `ssize_t write(int fd, const void *buf, size_t count)`: all bytes, or -errno. @see write(2) */
export function write(fd: number, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) {
    const part = bytes.subarray(done, done + scratch.size);
    scratch.bytes.set(part);
    const n = trySyscall("write", fd, scratch.address, part.length);
    if (n < 0) return n;
    done += n;
  }
  return done;
}

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_PATH = 0o10000000;
export const O_DIRECTORY = process.arch === "arm64" ? 0o40000 : 0o200000;

/** `int openat(AT_FDCWD, const char *path, int flags, mode_t mode)` @see openat(2) */
export function open(file: string, flags: number, mode = 0): number {
  return syscall(`open "${file}"`, "openat", AT_FDCWD, path(file), flags | O_CLOEXEC, mode);
}

/** The same, or -errno. */
export const tryOpen = (file: string, flags: number): number =>
  trySyscall("openat", AT_FDCWD, path(file), flags | O_CLOEXEC, 0);

/** `int mknodat(AT_FDCWD, const char *path, S_IFIFO | 0600, 0)`; one that is there is left as it is. @see mknod(2), fifo(7) */
export function makeFifo(file: string): void {
  const [S_IFIFO, EEXIST] = [0o010000, 17];
  const result = trySyscall("mknodat", AT_FDCWD, path(file), S_IFIFO | 0o600, 0);
  if (result < 0 && result !== -EEXIST) throw systemError(`make the FIFO "${file}"`, "mknodat", -result);
}

/** `int fcntl(int fd, F_DUPFD_CLOEXEC, 3)`: another descriptor of the same. @see F_DUPFD_CLOEXEC(2const) */
export const duplicate = (fd: number): number => syscall("copy a descriptor", "fcntl", fd, 1030, 3);

/** `int fcntl(int fd, F_DUPFD, int from)`: another descriptor, not below a number, which an execve keeps. @see F_DUPFD(2const) */
export function keptDescriptor(fd: number, from: number): number {
  const F_DUPFD = 0;
  return syscall("keep a descriptor", "fcntl", fd, F_DUPFD, from);
}

/**
 * `int fcntl(int fd, F_OFD_SETLK, struct flock *lock)`: locks one byte of an open file, or gives it back; false where
 * another open file has it. @see fcntl_locking(2)
 */
export function lockByte(fd: number, at: number, locked: boolean): boolean {
  const [F_OFD_SETLK, F_WRLCK, F_UNLCK] = [37, 1, 2];
  const range = { l_type: locked ? F_WRLCK : F_UNLCK, l_whence: 0, l_start: at, l_len: 1, l_pid: 0 };
  fillStruct(scratch.view, 0, "flock", range);
  const result = trySyscall("fcntl", fd, F_OFD_SETLK, scratch.address);
  if (result < 0 && result !== -EAGAIN) throw systemError("lock a byte of a file", "fcntl", -result);
  return result === 0;
}

/**
 * `long openat2(int dirfd, const char *path, {flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS})`: a path inside a
 * directory that somebody else filled; no symlink leads out of it. -errno on failure. @see openat2(2)
 */
export function openInRoot(root: number, file: string, flags = O_NONBLOCK): number {
  const how = scratch.address + PATH_BYTES;
  const [RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT] = [0x02, 0x10];
  scratch.view.setBigUint64(PATH_BYTES, BigInt(O_CLOEXEC | flags), true);
  scratch.view.setBigUint64(PATH_BYTES + 8, 0n, true);
  scratch.view.setBigUint64(PATH_BYTES + 16, BigInt(RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT), true);
  return trySyscall("openat2", root, path(file), how, 24);
}

/**
 * `int open_tree(AT_FDCWD, const char *path, OPEN_TREE_CLONE)`, `mount_setattr` with MOUNT_ATTR_RDONLY, _NOSUID, _NODEV,
 * _NOEXEC and _NOATIME: a directory as a mount of its own, without what is mounted in it, where nothing is written and no
 * device opened. -errno where this may not be, or the kernel is older than 5.12. @see open_tree(2), mount_setattr(2)
 */
export function cloneTree(file: string): number {
  const [OPEN_TREE_CLONE, AT_EMPTY_PATH, ATTRIBUTES, MOUNT_ATTR__ATIME] = [1, 0x1000, 0x1f, 0x70];
  const fd = trySyscall("open_tree", AT_FDCWD, path(file), OPEN_TREE_CLONE | O_CLOEXEC);
  if (fd < 0) return fd;
  const attr = scratch.address + PATH_BYTES;
  fillStruct(scratch.view, PATH_BYTES, "mount_attr", {
    attr_set: ATTRIBUTES,
    attr_clr: MOUNT_ATTR__ATIME,
    propagation: 0,
    userns_fd: 0,
  });
  const result = trySyscall("mount_setattr", fd, path(""), AT_EMPTY_PATH, attr, STRUCTS.mount_attr.size);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** `ssize_t read(int fd, void *buf, size_t count)`: up to 64 KiB, or -errno. @see read(2) */
export function read(fd: number, limit = scratch.size): Uint8Array | number {
  const n = trySyscall("read", fd, scratch.address, Math.min(limit, scratch.size));
  return n < 0 ? n : scratch.bytes.slice(0, n);
}

/**
 * `int memfd_create(const char *name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)`, filled and sealed.
 * @param mode without read permission, the kernel lets nobody look into a process of another user that executes it
 * @see memfd_create(2), ptrace(2) "Ptrace access mode checking"
 */
export function sealedFile(name: string, content: Uint8Array, mode = 0o777): number {
  const [MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_EXEC] = [1, 2, 16];
  let fd = trySyscall("memfd_create", path(name), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  // MFD_EXEC: since Linux 6.3
  if (fd === -EINVAL) fd = trySyscall("memfd_create", path(name), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw systemError(`make a memory file "${name}"`, "memfd_create", -fd);
  const written = write(fd, content);
  if (written < 0) throw systemError(`fill the memory file "${name}"`, "write", -written);
  if (mode !== 0o777) syscall(`set the mode of the memory file "${name}"`, "fchmod", fd, mode);
  const [F_ADD_SEALS, ALL_SEALS] = [1033, 15];
  syscall(`seal the memory file "${name}"`, "fcntl", fd, F_ADD_SEALS, ALL_SEALS);
  return fd;
}

/** `int memfd_create(const char *name, MFD_CLOEXEC)`: empty, to be written. @see memfd_create(2) */
export const memoryFile = (name: string): number =>
  aboveStdio(syscall(`make a memory file "${name}"`, "memfd_create", path(name), 1));

let landlock: number | undefined;

/** `landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)`: 0 without Landlock. @see landlock_create_ruleset(2) */
export function landlockAbi(): number {
  const LANDLOCK_CREATE_RULESET_VERSION = 1;
  return (landlock ??= Math.max(0, trySyscall("landlock_create_ruleset", 0, 0, LANDLOCK_CREATE_RULESET_VERSION)));
}

/** `int fcntl(int fd, F_SETFL, … | O_NONBLOCK)` @see F_SETFL(2const) */
export function setNonBlocking(fd: number): void {
  const [F_GETFL, F_SETFL] = [3, 4];
  const status = trySyscall("fcntl", fd, F_GETFL);
  trySyscall("fcntl", fd, F_SETFL, status | O_NONBLOCK);
}

/** `int flock(int fd, LOCK_EX | LOCK_NB)`: false where somebody else has it. @see flock(2) */
export function lockFile(fd: number): boolean {
  const LOCK_EX_NB = 2 | 4;
  return trySyscall("flock", fd, LOCK_EX_NB) === 0;
}

/**
 * `int inotify_init1(IN_CLOEXEC)` and `inotify_add_watch` of a directory that is held open: what is written in it, made,
 * moved and removed. -errno as `fd` where the kernel has no more of them. @see inotify(7)
 */
export function watchDirectory(directory: number, nonBlocking: boolean): { fd: number; watch: number } {
  const [IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ONLYDIR] = [
    2,
    0x80,
    0x100,
    0x200,
    0x400,
    2 ** 24,
  ];
  const fd = trySyscall("inotify_init1", O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0));
  if (fd < 0) return { fd, watch: -1 };
  const what = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR;
  const watch = trySyscall("inotify_add_watch", fd, path(`/proc/self/fd/${directory}`), what);
  if (watch >= 0) return { fd, watch };
  close(fd);
  return { fd: watch, watch };
}

/** `int inotify_rm_watch(int fd, int wd)`: who reads the descriptor is told, also where it was gone with its directory. */
export function unwatch(fd: number, watch: number): void {
  const [IN_DELETE_SELF, EINVAL] = [0x400, 22];
  if (trySyscall("inotify_rm_watch", fd, watch) !== -EINVAL) return;
  trySyscall("inotify_rm_watch", fd, trySyscall("inotify_add_watch", fd, path("/"), IN_DELETE_SELF));
}
