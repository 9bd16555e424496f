/** What the kernel tells of a file, by a directory that is held open and a name in it. @module */
import { systemError, trySyscall } from "./kernel.ts";
import { ARCH } from "./numbers.ts";
import { path, PATH_BYTES, scratch } from "./scratch.ts";
import { STAT } from "./structs.ts";

const S_IFMT = 0o170000;
const [S_IFREG, S_IFDIR, S_IFLNK, S_IFSOCK] = [0o100000, 0o040000, 0o120000, 0o140000];
const [S_IFCHR, S_IFBLK] = [0o020000, 0o060000];
const [ENOENT, ENOTDIR] = [2, 20];
/** st_blocks counts them, whatever the file system's own are. */
const BLOCK_BYTES = 512;

export type EntryKind = "file" | "directory" | "symlink" | "socket" | "device" | "other";

export interface EntryStatus {
  kind: EntryKind;
  mode: number;
  uid: number;
  links: number;
  sizeBytes: number;
  /** That it takes on the disk. */
  allocatedBytes: number;
  modifiedMs: number;
  /** Of the file, whatever its name. */
  identity: string;
}

/** `int fstatat(int dirfd, const char *name, struct stat *buf, int flags)`; undefined where there is nothing. @see stat(2) */
export function statusOf(directory: number, name: string, flags: number): EntryStatus | undefined {
  const at = PATH_BYTES;
  const result = trySyscall("newfstatat", directory, path(name), scratch.address + at, flags);
  if (result === -ENOENT || result === -ENOTDIR) return undefined;
  if (result < 0) throw systemError(`look at ${JSON.stringify(name)}`, "newfstatat", -result);
  const { fields } = STAT[ARCH];
  const word = (field: "st_ino" | "st_dev" | "st_size" | "st_blocks" | "st_mtime" | "st_mtime_nsec") =>
    scratch.view.getBigUint64(at + fields[field][0], true);
  const mode = scratch.view.getUint32(at + fields.st_mode[0], true);
  return {
    kind: kindOf(mode),
    mode: mode & 0o7777,
    uid: scratch.view.getUint32(at + fields.st_uid[0], true),
    links: scratch.view.getUint32(at + fields.st_nlink[0], true),
    sizeBytes: Number(word("st_size")),
    allocatedBytes: Number(word("st_blocks")) * BLOCK_BYTES,
    modifiedMs: Number(word("st_mtime")) * 1000 + Number(word("st_mtime_nsec")) / 1e6,
    identity: `${word("st_dev")}:${word("st_ino")}`,
  };
}

function kindOf(mode: number): EntryKind {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFSOCK:
      return "socket";
    case S_IFCHR:
    case S_IFBLK:
      return "device";
    default:
      return "other";
  }
}
