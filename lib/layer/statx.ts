/**
 * What the kernel says of files, as `struct statx` has it, in memory that it was written to; and stamps of that, which are
 * other ones after any change.
 * @module
 * @see statx(2)
 */
import { offsetOf } from "../../syscalls/index.ts";
import { Digester, hexOf } from "../image/index.ts";
import type { FileKind, Stated, StatedGroup, Wanted } from "./looked.ts";

/** The same memory twice. */
export interface StatxMemory {
  bytes: Buffer;
  view: DataView;
}

export const STATX_BYTES = 256;
const KINDS: Record<number, FileKind> = {
  0o010000: "fifo",
  0o020000: "character device",
  0o040000: "directory",
  0o060000: "block device",
  0o100000: "file",
  0o120000: "symlink",
  0o140000: "socket",
};
const S_IFMT = 0o170000;
const HIGH = 2 ** 32;
const FIELD = {
  nlink: offsetOf("statx", "stx_nlink"),
  uid: offsetOf("statx", "stx_uid"),
  gid: offsetOf("statx", "stx_gid"),
  mode: offsetOf("statx", "stx_mode"),
  ino: offsetOf("statx", "stx_ino"),
  size: offsetOf("statx", "stx_size"),
  blocks: offsetOf("statx", "stx_blocks"),
  mtime: offsetOf("statx", "stx_mtime"),
  ctime: offsetOf("statx", "stx_ctime"),
  rdevMajor: offsetOf("statx", "stx_rdev_major"),
  rdevMinor: offsetOf("statx", "stx_rdev_minor"),
  devMajor: offsetOf("statx", "stx_dev_major"),
  devMinor: offsetOf("statx", "stx_dev_minor"),
  /** What was asked for; blocks, which are given later; the time of access; the mount, and all behind it. */
  passing: [
    [0, 4],
    [offsetOf("statx", "stx_blocks"), offsetOf("statx", "stx_blocks") + 8],
    [offsetOf("statx", "stx_atime"), offsetOf("statx", "stx_atime") + 16],
    [offsetOf("statx", "stx_dev_minor") + 4, STATX_BYTES],
  ] as const,
};

/** @param at where it begins @param isStamped a file gets its stamp */
export function statedAt(memory: StatxMemory, at: number, name: string, isStamped: boolean): Stated {
  const { view } = memory;
  const mode = view.getUint16(at + FIELD.mode, true);
  const stated: Stated = {
    name,
    kind: KINDS[mode & S_IFMT] as FileKind,
    mode: mode & 0o7777,
    uid: view.getUint32(at + FIELD.uid, true),
    gid: view.getUint32(at + FIELD.gid, true),
    size: u64(view, at + FIELD.size),
    allocated: u64(view, at + FIELD.blocks) * 512,
    mtime: {
      seconds: view.getUint32(at + FIELD.mtime, true) + view.getInt32(at + FIELD.mtime + 4, true) * HIGH,
      nanoseconds: view.getUint32(at + FIELD.mtime + 8, true),
    },
    major: view.getUint32(at + FIELD.rdevMajor, true),
    minor: view.getUint32(at + FIELD.rdevMinor, true),
  };
  if (stated.kind !== "file") return stated;
  if (view.getUint32(at + FIELD.nlink, true) > 1)
    stated.identity =
      hexAt(memory, at + FIELD.devMajor, at + FIELD.devMinor + 4) + hexAt(memory, at + FIELD.ino, at + FIELD.ino + 8);
  if (isStamped) stated.stamp = stampAt(memory, at);
  return stated;
}

/** Inode and size, and then times and device. */
export const stampAt = (memory: StatxMemory, at: number): string =>
  hexAt(memory, at + FIELD.ino, at + FIELD.size + 8) + hexAt(memory, at + FIELD.ctime, at + FIELD.devMinor + 4);

const hexAt = ({ bytes }: StatxMemory, from: number, to: number): string => bytes.toString("hex", from, to);

/**
 * Of all that the kernel says of them, but for what is no change of theirs: that they were read, where they are mounted.
 * That is taken out of the memory.
 * @param start where the first of them begins, the others behind it @param results what statx(2) returned for each
 */
export function stampOfAll(
  { bytes, view }: StatxMemory,
  start: number,
  wanted: Wanted[],
  results: number[],
): Pick<StatedGroup, "stamp" | "changed" | "isWhole"> {
  let changed = 0;
  results.forEach((result, index) => {
    const at = start + index * STATX_BYTES;
    if (result < 0) return void bytes.fill(0, at, at + STATX_BYTES);
    for (const [from, to] of FIELD.passing) bytes.fill(0, at + from, at + to);
    for (const time of [FIELD.ctime, FIELD.mtime])
      changed = Math.max(changed, view.getUint32(at + time, true) + view.getInt32(at + time + 4, true) * HIGH);
  });
  const stats = bytes.subarray(start, start + results.length * STATX_BYTES);
  const names = Buffer.from(wanted.map(({ name }) => name).join("\0"), "latin1");
  const stamp = hexOf(new Digester().update(names).update("\0\0").update(stats).digest());
  return { stamp, changed, isWhole: results.every((result) => result >= 0) };
}

const u64 = (view: DataView, at: number): number => view.getUint32(at, true) + view.getUint32(at + 4, true) * HIGH;
