/** What a file of a sandbox is. @module */

export type FileType = "file" | "directory" | "symlink" | "fifo" | "socket" | "character device" | "block device";

const TYPES: Record<number, FileType> = {
  0o01: "fifo",
  0o02: "character device",
  0o04: "directory",
  0o06: "block device",
  0o10: "file",
  0o12: "symlink",
  0o14: "socket",
};

/** Of `S_IFMT` bits, or of `d_type`, which are the same. Undefined where the file system does not say. */
export const fileTypeOf = (bits: number): FileType | undefined => TYPES[bits];

type StatNumbers = Pick<FileStat, "mode" | "size" | "uid" | "gid" | "nlink" | "ino" | "dev" | "isMountRoot"> & {
  mtimeMs: number;
};

export class FileStat {
  readonly type: FileType;
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  /** In bytes. */
  readonly size: number;
  /** As they are inside. */
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly mtime: Date;
  /** Together they name a file, whatever its paths are. */
  readonly ino: bigint;
  readonly dev: bigint;
  /** Whether something is mounted there. Since Linux 5.8. */
  readonly isMountRoot: boolean;

  /** @internal */
  constructor(stat: StatNumbers) {
    this.type = fileTypeOf(stat.mode >> 12) ?? "file";
    this.mode = stat.mode & 0o7777;
    this.size = stat.size;
    this.uid = stat.uid;
    this.gid = stat.gid;
    this.nlink = stat.nlink;
    this.mtime = new Date(stat.mtimeMs);
    this.ino = stat.ino;
    this.dev = stat.dev;
    this.isMountRoot = stat.isMountRoot;
  }

  isFile(): boolean {
    return this.type === "file";
  }

  isDirectory(): boolean {
    return this.type === "directory";
  }

  isSymbolicLink(): boolean {
    return this.type === "symlink";
  }
}
