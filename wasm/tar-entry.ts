/** What a tar archive says about a file. @module */

export type TarType = "file" | "directory" | "symlink" | "hard link" | "character device" | "block device" | "fifo";

export interface TarTime {
  /** Since 1970; may be negative. */
  seconds: number;
  nanoseconds: number;
}

/** A part of a sparse file that is there; what is between the parts is zeros. */
export interface TarSegment {
  offset: number;
  sizeBytes: number;
}

export interface TarRecord {
  /** As it is in the archive: it may be absolute, and have `..` in it. */
  name: string;
  /** Where the name is not UTF-8, its bytes; `name` has U+FFFD in it then, and is not to be relied on. */
  nameBytes?: Uint8Array;
  type: TarType;
  /** Of a symlink or a hard link. */
  linkName: string;
  linkNameBytes?: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
  /** Of the file, holes included. */
  size: number;
  mtime: TarTime;
  atime?: TarTime;
  ctime?: TarTime;
  /** Of a device. */
  major: number;
  minor: number;
  xattrs?: Map<string, Uint8Array>;
  /** Of a sparse file. */
  segments?: TarSegment[];
}
