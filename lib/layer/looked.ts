/** What is found where files are looked at, and how it is told what is wrong with them. @module */
import { systemError, TsboxError } from "../../syscalls/index.ts";

/** What a directory says that a name in it is; its own word, to be looked at. */
export const DT = { unknown: 0, fifo: 1, character: 2, directory: 4, block: 6, file: 8, symlink: 10, socket: 12 };

export interface Name {
  name: string;
  /** One of {@link DT}. */
  type: number;
}

/** A name in the directory that is open as `from`. */
export interface Wanted extends Name {
  from: number;
}

export type FileKind = "file" | "directory" | "symlink" | "character device" | "block device" | "fifo" | "socket";

/** What a name stands for. */
export interface Stated {
  name: string;
  kind: FileKind;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Less than its size: it has holes. */
  allocated: number;
  mtime: { seconds: number; nanoseconds: number };
  major: number;
  minor: number;
  /** Of a file with several names: what it is, whatever its name. */
  identity?: string;
  linkName?: string;
  /**
   * Of a file, where {@link Looker.stat} was asked: another one, or the same after a change, has another. Hexadecimal
   * digits of inode, size, times of change and modification, and device, as `struct statx` has them.
   */
  stamp?: string;
}

/** Names that were looked at together. */
export interface StatedGroup {
  /** Hexadecimal digits: another one after any change of any of them. */
  stamp: string;
  /** When the last of them was changed, in seconds since 1970. */
  changed: number;
  /** None was gone. */
  isWhole: boolean;
  /** Undefined for those that are gone; what is allocated is not told. */
  all(): (Stated | undefined)[];
}

/** What is open, until {@link Looker.close}. */
export interface Looked extends Stated {
  fd: number;
  /** Not so where it is open as a path. */
  isReadable: boolean;
  xattrs?: Map<string, Uint8Array>;
}

/** A character device 0:0 is overlayfs's whiteout. */
export const isWhiteout = ({ kind, major, minor }: Stated): boolean =>
  kind === "character device" && major === 0 && minor === 0;

export const failed = (action: string, call: string, errno: number, path: string) =>
  systemError(`${action} ${JSON.stringify(textOf(path))}`, call, errno);

/** What no layer can hold, or is not to. */
export const refused = (path: string, why: string, hint?: string): TsboxError =>
  new TsboxError(`pack ${JSON.stringify(textOf(path))}: ${why}`, {
    code: "archive_refused",
    path: textOf(path),
    ...(hint === undefined ? {} : { hint }),
  });

/** A name as text; what is not UTF-8 in it shows as U+FFFD. */
export const textOf = (name: string): string => Buffer.from(name, "latin1").toString("utf8");
