/**
 * Extended attributes behind an inode.
 *
 * ```
 * { u32 filter; u8 shared; u8 reserved[7] } then, each at a multiple of 4:
 * { u8 nameBytes; u8 prefix; u16 valueBytes } name without its prefix, value
 * ```
 * @module
 */
import { bytesOfName, OPAQUE_XATTR } from "../layer/index.ts";
import type { Node } from "./node.ts";

const HEADER_BYTES = 12;
const ENTRY_BYTES = 4;
/** Of an inode all together: a count of 16 bits, of 4 bytes each. */
export const MAX_XATTRS_BYTES = HEADER_BYTES + 0xfffe * 4;
const YES = new TextEncoder().encode("y");
const aligned = (size: number): number => (size + 3) & ~3;

/** `EROFS_XATTR_INDEX_…` */
const PREFIXES: [prefix: string, index: number][] = [
  ["user.", 1],
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["trusted.", 4],
  ["security.", 6],
];

function* attributesOf({ xattrs, isOpaque }: Node): Generator<[index: number, name: Uint8Array, value: Uint8Array]> {
  const all: [string, Uint8Array][] = [...(xattrs ?? [])];
  if (isOpaque) all.push([OPAQUE_XATTR, YES]);
  for (const [key, value] of all) {
    const [prefix, index] = PREFIXES.find(([each]) => key.startsWith(each)) ?? ["", 0];
    yield [index, bytesOfName(key.slice(prefix.length)), value];
  }
}

/** What the attributes take behind the inode. */
export function xattrsBytes(node: Node): number {
  if (!node.xattrs && !node.isOpaque) return 0;
  let bytes = HEADER_BYTES;
  for (const [, name, value] of attributesOf(node)) bytes += aligned(ENTRY_BYTES + name.length + value.length);
  return bytes;
}

export function encodeXattrs(node: Node, bytes: Uint8Array, view: DataView, start: number): void {
  let at = start + HEADER_BYTES;
  for (const [index, name, value] of attributesOf(node)) {
    view.setUint8(at, name.length);
    view.setUint8(at + 1, index);
    view.setUint16(at + 2, value.length, true);
    bytes.set(name, at + ENTRY_BYTES);
    bytes.set(value, at + ENTRY_BYTES + name.length);
    at += aligned(ENTRY_BYTES + name.length + value.length);
  }
}
