/**
 * A directory that is held open, and what lies in it by name. No name leads out of it: symlinks are not followed, and
 * what is no plain file is not read, so that a pipe or a device that somebody put there holds nobody up.
 * @module
 */
import { close, O_DIRECTORY, O_RDONLY, O_WRONLY, read, write } from "./calls.ts";
import { statusOf, type EntryStatus } from "./file-status.ts";
import { removeDirectory } from "./files.ts";
import { systemError, trySyscall } from "./kernel.ts";
import { path, PATH_BYTES, scratch } from "./scratch.ts";

const AT_FDCWD = -100;
const [AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_EMPTY_PATH] = [0x100, 0x200, 0x1000];
const O_TRUNC = 0o1000;
const [O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_CLOEXEC] = [0o100, 0o200, 0o400, 0o4000, 0o2000000];
const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
const O_OWN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const [LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN] = [1, 2, 4, 8];
const [ENOENT, EEXIST, ENOTDIR, EISDIR, EINVAL, EFBIG, ELOOP] = [2, 17, 20, 21, 22, 27, 40];
/** Directories below each other that are removed; what is made to exhaust is left. */
const DEPTH = 32;
const decoder = new TextDecoder();

export class Directory {
  readonly fd: number;
  readonly path: string;

  private constructor(fd: number, file: string) {
    this.fd = fd;
    this.path = file;
  }

  /** Undefined where there is none; a symlink to one is none. @throws TsboxError where it may not be opened */
  static open(file: string): Directory | undefined {
    return Directory.#opened(trySyscall("openat", AT_FDCWD, path(file), O_OWN_DIRECTORY, 0), file);
  }

  static #opened(fd: number, file: string): Directory | undefined {
    if (fd >= 0) return new Directory(fd, file);
    if (fd === -ENOENT || fd === -ENOTDIR || fd === -ELOOP) return undefined;
    throw systemError(`open the directory ${JSON.stringify(file)}`, "openat", -fd);
  }

  /** Makes it, with those above it, where there is none. @returns whether there was none */
  static make(file: string, mode: number): boolean {
    const result = trySyscall("mkdirat", AT_FDCWD, path(file), mode);
    if (result === 0) return true;
    if (result === -EEXIST) return false;
    const above = file.slice(0, file.lastIndexOf("/"));
    if (result !== -ENOENT || above === "") throw makeError(file, -result);
    Directory.make(above, mode);
    const again = trySyscall("mkdirat", AT_FDCWD, path(file), mode);
    if (again < 0 && again !== -EEXIST) throw makeError(file, -again);
    return again === 0;
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }

  /** A directory in it. */
  directory(name: string): Directory | undefined {
    return Directory.#opened(trySyscall("openat", this.fd, path(name), O_OWN_DIRECTORY, 0), `${this.path}/${name}`);
  }

  /** @throws TsboxError where there is something of this name */
  makeDirectory(name: string, mode: number): void {
    const result = trySyscall("mkdirat", this.fd, path(name), mode);
    if (result < 0) throw makeError(`${this.path}/${name}`, -result);
  }

  /** `int mknodat(int dirfd, const char *name, S_IFIFO | mode, 0)` @see mkfifo(3) */
  makeFifo(name: string, mode: number): void {
    const S_IFIFO = 0o010000;
    const result = trySyscall("mknodat", this.fd, path(name), S_IFIFO | mode, 0);
    if (result < 0) throw systemError(`make the pipe ${JSON.stringify(`${this.path}/${name}`)}`, "mknodat", -result);
  }

  /** `int fstatat(int dirfd, const char *name, struct stat *buf, AT_SYMLINK_NOFOLLOW)` @see stat(2) */
  status(name = ""): EntryStatus | undefined {
    return statusOf(this.fd, name, name === "" ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW);
  }

  /** `ssize_t readlinkat(int dirfd, const char *name, char *buf, size_t size)`; undefined for what is no symlink. @see readlink(2) */
  link(name: string): string | undefined {
    const length = trySyscall("readlinkat", this.fd, path(name), scratch.address + PATH_BYTES, PATH_BYTES);
    return length < 0 ? undefined : decoder.decode(scratch.bytes.subarray(PATH_BYTES, PATH_BYTES + length));
  }

  /** `ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)`; undefined where it has none, or more than 4 KiB. @see getxattr(2) */
  attribute(name: string): string | undefined {
    const length = trySyscall("fgetxattr", this.fd, path(name), scratch.address + PATH_BYTES, PATH_BYTES);
    return length < 0 ? undefined : decoder.decode(scratch.bytes.subarray(PATH_BYTES, PATH_BYTES + length));
  }

  /** Whether its path still leads to it: it has not been removed or replaced. */
  isCurrent(): boolean {
    return statusOf(AT_FDCWD, this.path, AT_SYMLINK_NOFOLLOW)?.identity === this.status()?.identity;
  }

  /**
   * The content of a plain file; undefined where there is none.
   * @param follow a symlink, wherever it leads
   * @throws TsboxError where it is none, or too long
   */
  read(name: string, limitBytes: number, follow = false): Uint8Array | undefined {
    const fail = (errno: number) => systemError(`read ${JSON.stringify(`${this.path}/${name}`)}`, "openat", errno);
    const flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    const fd = trySyscall("openat", this.fd, path(name), flags, 0);
    if (fd === -ENOENT) return undefined;
    if (fd < 0) throw fail(-fd);
    try {
      const kind = statusOf(fd, "", AT_EMPTY_PATH)?.kind;
      if (kind !== "file") throw fail(kind === "directory" ? EISDIR : EINVAL);
      const parts: Uint8Array[] = [];
      let length = 0;
      for (;;) {
        const part = read(fd);
        if (typeof part === "number") throw fail(-part);
        if (part.length === 0) return Buffer.concat(parts);
        if ((length += part.length) > limitBytes) throw fail(EFBIG);
        parts.push(part);
      }
    } finally {
      close(fd);
    }
  }

  /**
   * Readers see the whole of what was there, or the whole of the new content.
   * @param lasting also after a power cut
   */
  replace(name: string, content: Uint8Array, mode = 0o600, lasting = false): void {
    const temporary = `.${name}.new`;
    const fail = (call: string, errno: number) => {
      trySyscall("unlinkat", this.fd, path(temporary), 0);
      return systemError(`write ${JSON.stringify(`${this.path}/${name}`)}`, call, errno);
    };
    // left by a process that was killed here
    trySyscall("unlinkat", this.fd, path(temporary), 0);
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const fd = trySyscall("openat", this.fd, path(temporary), flags, mode);
    if (fd < 0) throw fail("openat", -fd);
    const written = write(fd, content);
    const synced = lasting && written >= 0 ? trySyscall("fdatasync", fd) : 0;
    close(fd);
    if (written < 0) throw fail("write", -written);
    if (synced < 0) throw fail("fdatasync", -synced);
    const renamed = this.#rename(temporary, this, name);
    if (renamed < 0) throw fail("renameat2", -renamed);
    if (lasting) this.sync();
  }

  /** What a file holds that is there, and stays the same file: readers may see a part of it. */
  rewrite(name: string, content: Uint8Array): void {
    const fd = trySyscall("openat", this.fd, path(name), O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0);
    const written = fd < 0 ? fd : write(fd, content);
    if (fd >= 0) close(fd);
    if (written < 0) throw systemError(`write ${JSON.stringify(`${this.path}/${name}`)}`, "write", -written);
  }

  /** `ssize_t getdents64(int fd, struct linux_dirent64 *dirp, size_t count)` @see getdents(2) */
  names(): string[] {
    return this.#entries().map(({ name }) => name);
  }

  /** Names of the directories in it, on file systems that tell what is one: the kernel's own do. */
  directories(): string[] {
    const DT_DIR = 4;
    return this.#entries().flatMap(({ name, type }) => (type === DT_DIR ? [name] : []));
  }

  #entries(): { name: string; type: number }[] {
    const entries: { name: string; type: number }[] = [];
    // from its beginning, however often it is asked
    trySyscall("lseek", this.fd, 0, 0);
    for (let length; (length = trySyscall("getdents64", this.fd, scratch.address, scratch.size)) > 0;) {
      // { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[] }
      for (let at = 0; at < length; at += scratch.view.getUint16(at + 16, true)) {
        const name = decoder.decode(scratch.bytes.subarray(at + 19, scratch.bytes.indexOf(0, at + 19)));
        if (name !== "." && name !== "..") entries.push({ name, type: scratch.bytes[at + 18] as number });
      }
    }
    return entries;
  }

  /** One write to a file in it that is there; -errno on failure. */
  writeTo(name: string, text: string): number {
    const fd = trySyscall("openat", this.fd, path(name), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0) return fd;
    const result = write(fd, new TextEncoder().encode(text));
    close(fd);
    return result;
  }

  /** `int unlinkat(int dirfd, const char *name, AT_REMOVEDIR)`: 0, also where it is gone, or -errno. @see rmdir(2) */
  removeDirectory(name: string): number {
    const result = trySyscall("unlinkat", this.fd, path(name), AT_REMOVEDIR);
    return result === -ENOENT ? 0 : result;
  }

  /** `int renameat2(int olddirfd, const char *old, int newdirfd, const char *new, 0)`: 0 or -errno. @see rename(2) */
  #rename(name: string, to: Directory, newName: string): number {
    path(newName);
    scratch.bytes.copyWithin(PATH_BYTES, 0, PATH_BYTES);
    return trySyscall("renameat2", this.fd, path(name), to.fd, scratch.address + PATH_BYTES, 0);
  }

  /** `int symlinkat(const char *target, int newdirfd, const char *linkpath)`: 0 or -errno. @see symlink(2) */
  makeSymlink(name: string, target: string): number {
    path(name);
    scratch.bytes.copyWithin(PATH_BYTES, 0, PATH_BYTES);
    return trySyscall("symlinkat", path(target), this.fd, scratch.address + PATH_BYTES);
  }

  /** `int linkat(int olddirfd, const char *old, int newdirfd, const char *new, 0)`: 0 or -errno. @see link(2) */
  makeHardLink(name: string, to: Directory, newName: string): number {
    path(newName);
    scratch.bytes.copyWithin(PATH_BYTES, 0, PATH_BYTES);
    return trySyscall("linkat", this.fd, path(name), to.fd, scratch.address + PATH_BYTES, 0);
  }

  /** `int fchownat(int dirfd, const char *name, uid_t, gid_t, AT_SYMLINK_NOFOLLOW)`: 0 or -errno. @see chown(2) */
  changeOwner(name: string, uid: number, gid: number): number {
    return trySyscall("fchownat", this.fd, path(name), uid, gid, AT_SYMLINK_NOFOLLOW);
  }

  /**
   * `int utimensat(int dirfd, const char *name, const struct timespec times[2], AT_SYMLINK_NOFOLLOW)`: 0 or -errno.
   * @see utimensat(2)
   */
  setTime(name: string, seconds: number, nanoseconds: number): number {
    for (const at of [PATH_BYTES, PATH_BYTES + 16]) {
      scratch.view.setBigInt64(at, BigInt(seconds), true);
      scratch.view.setBigInt64(at + 8, BigInt(nanoseconds), true);
    }
    return trySyscall("utimensat", this.fd, path(name), scratch.address + PATH_BYTES, AT_SYMLINK_NOFOLLOW);
  }

  /** `int fchmod(int fd, mode_t mode)` of the directory itself: 0 or -errno. @see chmod(2) */
  changeMode(mode: number): number {
    return trySyscall("fchmod", this.fd, mode);
  }

  /** Something in it gets another place, and takes that of a file that is there. */
  move(name: string, to: Directory, newName: string): void {
    const result = this.#rename(name, to, newName);
    if (result < 0) throw systemError(`move ${JSON.stringify(`${this.path}/${name}`)}`, "renameat2", -result);
  }

  /** `int fsync(int fd)`: the names in it survive a power cut. @see fsync(2) */
  sync(): void {
    const result = trySyscall("fsync", this.fd);
    if (result < 0) throw systemError(`write to the disk: ${JSON.stringify(this.path)}`, "fsync", -result);
  }

  /** `int syncfs(int fd)`: all of its file system survives a power cut. @see syncfs(2) */
  syncFileSystem(): void {
    const result = trySyscall("syncfs", this.fd);
    if (result < 0) throw systemError(`write to the disk: ${JSON.stringify(this.path)}`, "syncfs", -result);
  }

  /** Removes what is no directory; it may be gone already. */
  remove(name: string): void {
    const result = trySyscall("unlinkat", this.fd, path(name), 0);
    if (result < 0 && result !== -ENOENT) throw removeError(`${this.path}/${name}`, -result);
  }

  /** Removes all that lies in it. */
  clear(depth = DEPTH): void {
    for (const name of this.names()) {
      let result = trySyscall("unlinkat", this.fd, path(name), 0);
      if (result === -EISDIR && depth > 0) {
        using below = this.directory(name);
        below?.clear(depth - 1);
        result = trySyscall("unlinkat", this.fd, path(name), AT_REMOVEDIR);
      }
      if (result < 0 && result !== -ENOENT) throw removeError(`${this.path}/${name}`, -result);
    }
  }

  /** Removes it, and all that lies in it. */
  removeAll(): void {
    this.clear();
    const result = removeDirectory(this.path);
    if (result < 0) throw removeError(this.path, -result);
  }

  /**
   * `int flock(int fd, LOCK_EX | LOCK_NB)`: false where somebody else has it. It ends with this process, and with
   * those that it cloned and that have not executed anything yet. @see flock(2)
   */
  tryLock(): boolean {
    return trySyscall("flock", this.fd, LOCK_EX | LOCK_NB) === 0;
  }

  /** The same with others who share it. */
  tryShare(): boolean {
    return trySyscall("flock", this.fd, LOCK_SH | LOCK_NB) === 0;
  }

  /** Whether somebody else has it. */
  isLocked(): boolean {
    if (trySyscall("flock", this.fd, LOCK_SH | LOCK_NB) !== 0) return true;
    this.unlock();
    return false;
  }

  /** `int flock(int fd, LOCK_UN)` */
  unlock(): void {
    trySyscall("flock", this.fd, LOCK_UN);
  }
}

const makeError = (file: string, errno: number) =>
  systemError(`make the directory ${JSON.stringify(file)}`, "mkdirat", errno);
const removeError = (file: string, errno: number) => systemError(`remove ${JSON.stringify(file)}`, "unlinkat", errno);
