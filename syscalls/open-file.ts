/**
 * A plain file of a {@link Directory} that is held open: written piece by piece, locked, made to last.
 * @module
 */
import { close, O_RDONLY, read, write } from "./calls.ts";
import type { Directory } from "./directory.ts";
import { statusOf, type EntryStatus } from "./file-status.ts";
import { systemError, trySyscall, type Arena } from "./kernel.ts";
import { path } from "./scratch.ts";

const [O_RDWR, O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_CLOEXEC] = [2, 0o100, 0o200, 0o400, 0o4000, 0o2000000];
const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
const AT_EMPTY_PATH = 0x1000;
const [LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN] = [1, 2, 4, 8];
const [ENOENT, EINTR, EINVAL] = [2, 4, 22];

export interface OpenOptions {
  /** For reading alone unless it says otherwise; `new`: there must be none yet. */
  as?: "reader" | "writer" | "maker" | "new";
  /** Of a new one. */
  mode?: number;
}

const FLAGS = { reader: O_RDONLY, writer: O_RDWR, maker: O_RDWR | O_CREAT, new: O_RDWR | O_CREAT | O_EXCL };

export class OpenFile {
  readonly fd: number;
  readonly directory: Directory;
  readonly name: string;

  private constructor(fd: number, directory: Directory, name: string) {
    this.fd = fd;
    this.directory = directory;
    this.name = name;
  }

  /** Undefined where there is none. @throws TsboxError where it may not be opened, and where it is no plain file */
  static open(
    directory: Directory,
    name: string,
    { as = "reader", mode = 0o600 }: OpenOptions = {},
  ): OpenFile | undefined {
    const flags = FLAGS[as] | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    const fd = trySyscall("openat", directory.fd, path(name), flags, mode);
    if (fd === -ENOENT && as !== "maker" && as !== "new") return undefined;
    const file = new OpenFile(fd, directory, name);
    if (fd < 0) throw file.#failure("open", "openat", -fd);
    if (file.#status.kind === "file") return file;
    file[Symbol.dispose]();
    throw file.#failure("open", "openat", EINVAL);
  }

  get path(): string {
    return `${this.directory.path}/${this.name}`;
  }

  get sizeBytes(): number {
    return this.#status.sizeBytes;
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }

  #failure(action: string, call: string, errno: number): Error {
    return systemError(`${action} ${JSON.stringify(this.path)}`, call, errno);
  }

  get #status(): EntryStatus {
    const status = statusOf(this.fd, "", AT_EMPTY_PATH);
    if (!status) throw this.#failure("look at", "newfstatat", ENOENT);
    return status;
  }

  /** Whether its name still leads to it: it has not been removed, renamed or replaced. */
  isCurrent(): boolean {
    return this.directory.status(this.name)?.identity === this.#status.identity;
  }

  /** The same for every name that leads to it, and for no other file as long as this one is open. */
  get identity(): string {
    return this.#status.identity;
  }

  /**
   * `ssize_t pread64(int fd, void *buf, size_t count, off_t offset)`: into memory, from `to` on; how many bytes.
   * @see pread(2)
   */
  readAt(offset: number, arena: Arena, to = 0, length = arena.size - to): number {
    const count = trySyscall("pread64", this.fd, arena.address + to, length, offset);
    if (count < 0) throw this.#failure("read", "pread64", -count);
    return count;
  }

  /** What comes next, up to 64 KiB; empty at its end. */
  read(): Uint8Array {
    const part = read(this.fd);
    if (typeof part === "number") throw this.#failure("read", "read", -part);
    return part;
  }

  write(bytes: Uint8Array): void {
    const written = write(this.fd, bytes);
    if (written < 0) throw this.#failure("write", "write", -written);
  }

  /** `int ftruncate(int fd, 0)`, and from its beginning. @see ftruncate(2) */
  empty(): void {
    const result = trySyscall("ftruncate", this.fd, 0);
    if (result < 0) throw this.#failure("empty", "ftruncate", -result);
    this.rewind();
  }

  /** `off_t lseek(int fd, 0, SEEK_SET)` @see lseek(2) */
  rewind(): void {
    trySyscall("lseek", this.fd, 0, 0);
  }

  /** `int fallocate(int fd, 0, 0, off_t length)`: false where there is no room, or the file system does not do that. @see fallocate(2) */
  allocate(length: number): boolean {
    return trySyscall("fallocate", this.fd, 0, 0, length) === 0;
  }

  /** `int fchmod(int fd, mode_t mode)` @see chmod(2) */
  changeMode(mode: number): void {
    const result = trySyscall("fchmod", this.fd, mode);
    if (result < 0) throw this.#failure("change the mode of", "fchmod", -result);
  }

  /** `int fdatasync(int fd)`: what was written survives a power cut. @see fdatasync(2) */
  sync(): void {
    const result = trySyscall("fdatasync", this.fd);
    if (result < 0) throw this.#failure("write to the disk:", "fdatasync", -result);
  }

  /** `int sync_file_range(int fd, 0, 0, SYNC_FILE_RANGE_WRITE)`: the disk begins with it; nobody waits. @see sync_file_range(2) */
  startSync(): void {
    const SYNC_FILE_RANGE_WRITE = 2;
    trySyscall("sync_file_range", this.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  }

  /** `int utimensat(int fd, NULL, NULL, 0)`: changed now; false where that may not be. @see utimensat(2) */
  touch(): boolean {
    return trySyscall("utimensat", this.fd, 0, 0, 0) === 0;
  }

  /** `int flock(int fd, operation | LOCK_NB)`: false where somebody else has it. @see flock(2) */
  tryLock(kind: "shared" | "exclusive"): boolean {
    let result;
    do result = trySyscall("flock", this.fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB);
    while (result === -EINTR);
    return result === 0;
  }

  /** `int flock(int fd, LOCK_UN)`. Closing it is not enough: a process that was just cloned has it as well. */
  unlock(): void {
    trySyscall("flock", this.fd, LOCK_UN);
  }
}
