/** Sparse files of a tar as chunks of an image: each is a piece of the tar, or a hole. @module */
import { BLOCK_BITS, BLOCK_BYTES, NO_BLOCK, TAR_AT } from "./format.ts";
import type { Node } from "./node.ts";
import { Untellable } from "./untellable.ts";

const MAX_CHUNK_BITS = BLOCK_BITS + 31;
/** Blocks as small as that of a file of terabytes would be an image of gigabytes. */
const MAX_CHUNKS = 1024 * 1024;

export interface Chunks {
  /** Of a chunk, above those of a block. */
  bits: number;
  blocks: Uint32Array;
}

/** The largest chunks that holes and data can be told by. @throws Untellable where data does not begin at a block */
export function chunksOf({ content, size }: Node): Chunks {
  const segments = (content?.segments ?? []).filter(({ sizeBytes }) => sizeBytes > 0);
  let bits = Math.min(MAX_CHUNK_BITS, Math.max(BLOCK_BITS, Math.ceil(Math.log2(size))));
  for (const { offset, sizeBytes } of segments)
    for (const edge of [offset, offset + sizeBytes]) if (edge !== size) while (edge % 2 ** bits !== 0) bits--;
  if (bits < BLOCK_BITS) throw new Untellable("a sparse file whose parts do not begin at blocks");
  const count = Math.ceil(size / 2 ** bits);
  if (count > MAX_CHUNKS) throw new Untellable("a sparse file of too many parts");
  const blocks = new Uint32Array(count).fill(NO_BLOCK);
  let block = (TAR_AT + (content?.offset ?? 0)) / BLOCK_BYTES;
  for (const { offset, sizeBytes } of segments) {
    for (let at = 0; at < sizeBytes; at += 2 ** bits) blocks[(offset + at) / 2 ** bits] = block + at / BLOCK_BYTES;
    block += Math.ceil(sizeBytes / BLOCK_BYTES);
  }
  return { bits: bits - BLOCK_BITS, blocks };
}
