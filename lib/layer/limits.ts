/** What a layer may come to, against archives that are made to fill a disk or a memory. @module */

export interface UnpackLimits {
  /** Of the tar, and of the files in it together, holes included. @default 256 GiB */
  bytes: number;
  /** @default 4 million */
  entries: number;
  /** How many times as long as it is stored the tar may be, where it is longer than {@link UnpackLimits.ratioFromBytes}. @default 250 */
  ratio: number;
  /** Zeros are compressed a thousandfold: short layers may be as thin as they like. @default 4 GiB */
  ratioFromBytes: number;
  /** Of a name or a target of a link. @default 4095, as of the kernel */
  nameBytes: number;
  /** Of all directories' names and attributes, which are kept until the end, also of those without an entry. @default 256 MiB */
  directoryBytes: number;
  /** Of one extended attribute. @default 65,536, as of the kernel */
  xattrBytes: number;
  /** Calls to put right what an entry found otherwise than expected: symlinks in its path, something of its name. @default 50 million */
  repairs: number;
}

export const DEFAULT_LIMITS: UnpackLimits = {
  bytes: 256 * 2 ** 30,
  entries: 4_000_000,
  ratio: 250,
  ratioFromBytes: 4 * 2 ** 30,
  nameBytes: 4095,
  directoryBytes: 256 * 2 ** 20,
  xattrBytes: 65_536,
  repairs: 50_000_000,
};

/** Behind the end of an archive: zeros up to the end of a block of a tape, which may be of any size. */
export const MAX_PADDING_BYTES = 64 * 2 ** 20;
