/**
 * A file that gets its name when all of it is written. Until then it has none, so that nothing is left of it however its
 * writer ends; where a file system has no such files, or another file has the name, it has one beside, and those that
 * were left there are taken away by the next writer.
 * @module
 * @see open(2) O_TMPFILE
 */
import { close, O_DIRECTORY, O_WRONLY, write } from "./calls.ts";
import { Directory } from "./directory.ts";
import { statusOf } from "./file-status.ts";
import { realPath } from "./files.ts";
import { systemError, trySyscall } from "./kernel.ts";
import { OpenFile } from "./open-file.ts";
import { path, PATH_BYTES, scratch } from "./scratch.ts";

const AT_FDCWD = -100;
const [AT_SYMLINK_FOLLOW, AT_EMPTY_PATH] = [0x400, 0x1000];
const [O_CREAT, O_EXCL, O_CLOEXEC] = [0o100, 0o200, 0o2000000];
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const [LOCK_EX, LOCK_NB] = [2, 4];
const [ENOENT, EEXIST] = [2, 17];
/** Writers at a time in one directory. */
const MOST = 256;

export class NewFile implements Disposable {
  readonly path: string;
  readonly fd: number;
  readonly #directory: Directory;
  readonly #name: string;
  /** While it has another one. */
  #temporary: string | undefined;

  /** @param mode as of open(2): without what the umask takes away @throws TsboxError where it may not be made */
  constructor(file: string, mode: number) {
    this.path = file;
    const slash = file.lastIndexOf("/");
    this.#name = file.slice(slash + 1);
    const above = slash < 0 ? "." : file.slice(0, slash) || "/";
    const directory = Directory.open(realPath(above) ?? above);
    if (!directory) throw this.#failure("openat", ENOENT);
    this.#directory = directory;
    try {
      this.fd = this.#make(mode);
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }

  #failure(call: string, errno: number): Error {
    return systemError(`write ${JSON.stringify(this.path)}`, call, errno);
  }

  #make(mode: number): number {
    const { fd } = this.#directory;
    const unnamed = trySyscall("openat", fd, path("."), O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
    if (unnamed >= 0) return unnamed;
    return this.#beside("openat", (name) => {
      const made = trySyscall("openat", fd, path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
      // who looks for what was left may have been quicker
      if (made < 0 || isNamed(made, this.#directory, name)) return made;
      close(made);
      return -EEXIST;
    });
  }

  /** All of it. */
  write(bytes: Uint8Array): void {
    const written = write(this.fd, bytes);
    if (written < 0) throw this.#failure("write", -written);
  }

  /** It has its name from here on, also where another file had it. */
  publish(): void {
    if (this.#temporary === undefined) {
      const linked = this.#link(this.#name);
      if (linked === 0) return;
      if (linked !== -EEXIST) throw this.#failure("linkat", -linked);
      trySyscall("flock", this.fd, LOCK_EX | LOCK_NB);
      this.#beside("linkat", (name) => this.#link(name));
    }
    this.#directory.move(this.#temporary as string, this.#directory, this.#name);
    this.#temporary = undefined;
  }

  /** `int linkat(AT_FDCWD, "/proc/self/fd/N", int newdirfd, const char *new, AT_SYMLINK_FOLLOW)`: 0 or -errno. @see link(2) */
  #link(name: string): number {
    path(name);
    scratch.bytes.copyWithin(PATH_BYTES, 0, PATH_BYTES);
    const own = path(`/proc/self/fd/${this.fd}`);
    return trySyscall("linkat", AT_FDCWD, own, this.#directory.fd, scratch.address + PATH_BYTES, AT_SYMLINK_FOLLOW);
  }

  /** The first name beside that nobody has; those of writers that were killed are free. */
  #beside(call: string, take: (name: string) => number): number {
    for (let at = 0; at < MOST; at++) {
      const name = `.tsbox-new-${at}`;
      let result = take(name);
      if (result === -EEXIST && removeLeft(this.#directory, name)) result = take(name);
      if (result === -EEXIST) continue;
      if (result < 0) throw this.#failure(call, -result);
      this.#temporary = name;
      return result;
    }
    throw this.#failure(call, EEXIST);
  }

  [Symbol.dispose](): void {
    if (this.#temporary !== undefined) this.#directory.remove(this.#temporary);
    close(this.fd);
    this.#directory[Symbol.dispose]();
  }
}

/** Locks it, as whoever writes a file that has a name has it locked. */
function isNamed(fd: number, directory: Directory, name: string): boolean {
  if (trySyscall("flock", fd, LOCK_EX | LOCK_NB) !== 0) return false;
  return directory.status(name)?.identity === statusOf(fd, "", AT_EMPTY_PATH)?.identity;
}

/** False where somebody is writing it, or it may not be removed. */
function removeLeft(directory: Directory, name: string): boolean {
  try {
    using left = OpenFile.open(directory, name);
    if (left && !(left.tryLock("exclusive") && left.isCurrent())) return false;
    directory.remove(name);
    return true;
  } catch {
    return false; // it is somebody else's
  }
}
