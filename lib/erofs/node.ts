/** A file of a layer, as it will be in the image: attributes, and what it is. @module */
import type { TarRecord, TarSegment, TarTime } from "../../wasm/index.ts";

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

/** Where the bytes of a file are in the tar. */
export interface Content {
  offset: number;
  /** Of a sparse file: what is there, one part behind the other. */
  segments?: TarSegment[];
}

export class Node {
  /** With the type. */
  mode: number;
  uid = 0;
  gid = 0;
  mtime: TarTime = { seconds: 0, nanoseconds: 0 };
  xattrs: Map<string, Uint8Array> | undefined;
  /** Names that it has; counted when it is placed. */
  links = 0;
  size = 0;
  content: Content | undefined;
  /** Of a symlink. */
  target = "";
  /** As the kernel has it in an inode. */
  device = 0;
  /** Of a directory, by their names. */
  readonly children: Map<string, Node> | undefined;
  /** What the layers below have in this directory is not seen. */
  isOpaque = false;
  /** No entry was for it. */
  isImplied = false;
  /** What had this name before was a whiteout: what becomes of it is not merged with a directory below. */
  hides = false;
  /** Where its inode is; 0 until it is known. */
  place = 0;

  constructor(mode: number) {
    this.mode = mode;
    if ((mode & S_IFMT) === S_IFDIR) this.children = new Map();
  }

  get isWhiteout(): boolean {
    return (this.mode & S_IFMT) === S_IFCHR && this.device === 0;
  }

  /** Owner, mode and time, as an entry has them. */
  take({ mode, uid, gid, mtime }: TarRecord, xattrs: Map<string, Uint8Array> | undefined): void {
    this.mode = (this.mode & S_IFMT) | (mode & 0o7777);
    this.uid = uid;
    this.gid = gid;
    this.mtime = mtime;
    this.xattrs = xattrs;
    this.isImplied = false;
  }
}
