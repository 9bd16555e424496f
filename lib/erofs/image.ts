/**
 * The metadata of an image: an inode for every file of a tree, in the order in which directories are read. Pure: a tree
 * and the length of the tar in, bytes out.
 * @module
 */
import { bytesOfName } from "../layer/index.ts";
import { chunksOf, type Chunks } from "./chunks.ts";
import { listingOf, putListing, type Listing } from "./directory.ts";
import {
  BLOCK_BYTES,
  CHUNK_BASED,
  encodeSuperBlock,
  FLAT_INLINE,
  FLAT_PLAIN,
  INODE_BYTES,
  MAX_BLOCKS,
  putInode,
  TAR_AT,
} from "./format.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Node } from "./node.ts";
import { Untellable } from "./untellable.ts";
import { MAX_XATTRS_BYTES, xattrsBytes } from "./xattrs.ts";

export interface Image {
  superBlock: Uint8Array;
  /** Where the metadata goes. */
  metaAt: number;
  metadata: Uint8Array;
}

/** What an inode has beside its attributes. */
interface Placed {
  node: Node;
  /** Behind the inode. */
  tailAt: number;
  listing?: Listing;
  target?: Uint8Array;
  chunks?: Chunks;
  /** Of its own, behind all inodes, where it does not fit behind its own one. */
  blockAt?: number;
}

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** @param uuid of the file system @throws Untellable */
export function imageOf(root: Node, tarBytes: number, uuid: Uint8Array): Image {
  const metaAt = roundUp(TAR_AT + tarBytes, TAR_AT);
  const { placed, sizeBytes } = place(root);
  const blocks = (metaAt + sizeBytes) / BLOCK_BYTES;
  if (blocks > MAX_BLOCKS) throw new Untellable("more than 2 TiB");
  const metadata = new Uint8Array(sizeBytes);
  const view = new DataView(metadata.buffer);
  for (const each of placed) put(each, metadata, view, metaAt);
  const superBlock = encodeSuperBlock({
    rootPlace: root.place,
    inodes: placed.length,
    blocks,
    metaBlock: metaAt / BLOCK_BYTES,
    hasChunks: placed.some(({ chunks }) => chunks),
    uuid,
  });
  return { superBlock, metaAt, metadata };
}

/** Gives every node a place. The root comes first, as its number has only 16 bits; 0 is no number of an inode. */
function place(root: Node): { placed: Placed[]; sizeBytes: number } {
  const placed: Placed[] = [];
  let end = INODE_BYTES;
  const left: [node: Node, parent: Node][] = [[root, root]];
  for (let each; (each = left.pop());) {
    const [node, parent] = each;
    if (node.place !== 0) continue;
    const item = dataOf(node, parent);
    const inlined = item.listing?.sizeBytes ?? item.target?.length ?? 0;
    const xattrs = xattrsBytes(node);
    if (xattrs > MAX_XATTRS_BYTES) throw new Untellable("a file with too many attributes");
    const sizeBytes = INODE_BYTES + xattrs + inlined;
    // data behind an inode is in the same block
    const isInlined = inlined > 0 && sizeBytes <= BLOCK_BYTES;
    if (isInlined && (end % BLOCK_BYTES) + sizeBytes > BLOCK_BYTES) end = roundUp(end, BLOCK_BYTES);
    node.place = end;
    item.tailAt = end + INODE_BYTES + xattrs;
    if (inlined > 0 && !isInlined) item.blockAt = 0;
    end = roundUp(item.tailAt + (isInlined ? inlined : (item.chunks?.blocks.byteLength ?? 0)), INODE_BYTES);
    placed.push(item);
    for (const { node: child } of item.listing?.entries.toReversed() ?? [])
      if (child.place === 0) left.push([child, node]);
  }
  end = roundUp(end, BLOCK_BYTES);
  for (const item of placed) {
    if (item.blockAt === undefined) continue;
    item.blockAt = end;
    end += roundUp(item.listing?.sizeBytes ?? item.target?.length ?? 0, BLOCK_BYTES);
  }
  return { placed, sizeBytes: end };
}

function dataOf(node: Node, parent: Node): Placed {
  const item: Placed = { node, tailAt: 0 };
  const type = node.mode & S_IFMT;
  if (type === S_IFDIR) {
    item.listing = listingOf(node, parent);
    node.links = 2;
    for (const child of node.children?.values() ?? []) (child.children ? node : child).links++;
  } else if (type === S_IFLNK) item.target = bytesOfName(node.target);
  else if (type === S_IFREG && node.content?.segments) item.chunks = chunksOf(node);
  return item;
}

function put(item: Placed, metadata: Uint8Array, view: DataView, metaAt: number): void {
  const { node, listing, target, chunks, blockAt, tailAt } = item;
  const type = node.mode & S_IFMT;
  if (listing || target) {
    const at = blockAt ?? tailAt;
    if (listing) putListing(listing, metadata, view, at);
    else if (target) metadata.set(target, at);
    putInode(metadata, view, node, {
      layout: blockAt === undefined ? FLAT_INLINE : FLAT_PLAIN,
      size: listing?.sizeBytes ?? target?.length ?? 0,
      union: blockAt === undefined ? 0 : (metaAt + blockAt) / BLOCK_BYTES,
    });
  } else if (chunks) {
    chunks.blocks.forEach((block, index) => view.setUint32(tailAt + index * 4, block, true));
    putInode(metadata, view, node, { layout: CHUNK_BASED, size: node.size, union: chunks.bits });
  } else if (type === S_IFREG) {
    const union = node.content ? (TAR_AT + node.content.offset) / BLOCK_BYTES : 0;
    putInode(metadata, view, node, { layout: FLAT_PLAIN, size: node.size, union });
  } else {
    putInode(metadata, view, node, { layout: FLAT_PLAIN, size: 0, union: node.device });
  }
}
