/**
 * Structures of an EROFS image. Blocks are of 512 bytes, as those of a tar: its files are read where they lie.
 *
 * ```
 * 0        1024  1152   4096                      meta
 * │ zeros  │ super │ zeros │ the tar, as it is  … │ inodes │ blocks of large directories and long symlinks
 * ```
 *
 * @module
 * @see https://docs.kernel.org/filesystems/erofs.html, and `fs/erofs/erofs_fs.h` of the kernel
 */
import { encodeXattrs, xattrsBytes } from "./xattrs.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, type Node } from "./node.ts";

export const BLOCK_BITS = 9;
export const BLOCK_BYTES = 512;
/** Where the tar begins: page-aligned, so that the kernel's pages and those of the tar are the same. */
export const TAR_AT = 4096;
export const SUPER_AT = 1024;
/** `struct erofs_inode_extended`: ids and times in full. */
export const INODE_BYTES = 64;
/** A number of an inode counts these. */
const SLOT_BYTES = 32;
export const MAX_BLOCKS = 0xffff_fffe;

export const [FLAT_PLAIN, FLAT_INLINE, CHUNK_BASED] = [0, 2, 4];
const EXTENDED = 1;
const MAGIC = 0xe0f5_e1e2;
const [COMPAT_MTIME, INCOMPAT_CHUNKED_FILE] = [2, 4];
/** A chunk that is a hole. */
export const NO_BLOCK = 0xffff_ffff;

export interface SuperBlock {
  rootPlace: number;
  inodes: number;
  blocks: number;
  metaBlock: number;
  hasChunks: boolean;
  /** 16 bytes. */
  uuid: Uint8Array;
}

/** `struct erofs_super_block`. */
export function encodeSuperBlock({ rootPlace, inodes, blocks, metaBlock, hasChunks, uuid }: SuperBlock): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(8, COMPAT_MTIME, true);
  view.setUint8(12, BLOCK_BITS);
  view.setUint16(14, nidOf(rootPlace), true);
  setNumber(view, 16, inodes);
  view.setUint32(36, blocks, true);
  view.setUint32(40, metaBlock, true);
  bytes.set(uuid.subarray(0, 16), 48);
  view.setUint32(80, hasChunks ? INCOMPAT_CHUNKED_FILE : 0, true);
  return bytes;
}

/** The number of the inode at a place of the metadata. */
export const nidOf = (place: number): number => place / SLOT_BYTES;

export interface InodeData {
  layout: number;
  size: number;
  /** The first block, the device, or the format of the chunks. */
  union: number;
}

/** `struct erofs_inode_extended`, and its attributes. */
export function putInode(bytes: Uint8Array, view: DataView, node: Node, { layout, size, union }: InodeData): void {
  const at = node.place;
  view.setUint16(at, EXTENDED | (layout << 1), true);
  const xattrs = xattrsBytes(node);
  // 1 stands for the header of 12 bytes, what is more for 4 bytes each
  view.setUint16(at + 2, xattrs === 0 ? 0 : 1 + (xattrs - 12) / 4, true);
  view.setUint16(at + 4, node.mode, true);
  setNumber(view, at + 8, size);
  view.setUint32(at + 16, union, true);
  view.setUint32(at + 20, nidOf(at), true);
  view.setUint32(at + 24, node.uid, true);
  view.setUint32(at + 28, node.gid, true);
  setNumber(view, at + 32, node.mtime.seconds);
  view.setUint32(at + 40, node.mtime.nanoseconds, true);
  view.setUint32(at + 44, node.links, true);
  if (xattrs > 0) encodeXattrs(node, bytes, view, at + INODE_BYTES);
}

/** 64 bits; quicker than with a BigInt. */
export function setNumber(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  view.setUint32(at, value - high * 2 ** 32, true);
  view.setInt32(at + 4, high, true);
}

/** `EROFS_FT_…` */
const KINDS = new Map([
  [S_IFREG, 1],
  [S_IFDIR, 2],
  [S_IFCHR, 3],
  [S_IFBLK, 4],
  [S_IFIFO, 5],
  [S_IFLNK, 7],
]);
export const kindOf = (node: Node): number => KINDS.get(node.mode & S_IFMT) ?? 0;
