/**
 * A compressed layer in, one file out that the kernel mounts: an EROFS image whose files lie in the layer's own tar. The
 * tree is made of its headers while the bytes are written; both digests are compared before the file is an image.
 * @module
 */
import { close, O_WRONLY, open, systemError, trySyscall, write } from "../../syscalls/index.ts";
import type { TarRecord } from "../../wasm/index.ts";
import { hexOf, type Digest } from "../image/index.ts";
import {
  DEFAULT_LIMITS,
  directoriesOf,
  readLayer,
  type Attributes,
  type LayerSink,
  type LayerSource,
  type UnpackedLayer,
  type UnpackOptions,
} from "../layer/index.ts";
import { SUPER_AT, TAR_AT } from "./format.ts";
import { imageOf } from "./image.ts";
import { S_IFDIR, type Node } from "./node.ts";
import { LayerTree, type TreeLimits } from "./tree.ts";
import { Untellable } from "./untellable.ts";

export interface IndexOptions extends Omit<UnpackOptions, "ids"> {
  /** Roots of the layers below, the top first: directories that this layer says nothing of are as they are there. */
  lowers?: string[];
}

const [O_CREAT, O_EXCL, SEEK_SET] = [0o100, 0o200, 0];
const [ENOSPC, EROFS, EDQUOT] = [28, 30, 122];

/**
 * Writes a layer to a new file, as an image. Where it fails, what is in the file is of no use.
 * @returns undefined where the layer has what an image cannot say, so that it has to be unpacked
 * @throws TsboxError `digest_mismatch`, `image_invalid`, `store_unavailable`
 */
export async function indexLayer(
  source: LayerSource,
  file: string,
  { limits, signal, onProgress, lowers = [] }: IndexOptions = {},
): Promise<UnpackedLayer | undefined> {
  const fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  try {
    const all = { ...DEFAULT_LIMITS, ...limits };
    return await readLayer(source, new ImageFile(fd, source.diffId, all, lowers), { limits: all, signal, onProgress });
  } catch (error) {
    if (error instanceof Untellable) return undefined;
    throw error;
  } finally {
    close(fd);
  }
}

class ImageFile implements LayerSink {
  readonly #fd: number;
  readonly #tree: LayerTree;
  readonly #diffId: Digest;
  readonly #lowers: string[];
  #tarBytes = 0;
  #implied: [path: string, node: Node][] = [];

  constructor(fd: number, diffId: Digest, limits: TreeLimits, lowers: string[]) {
    this.#fd = fd;
    this.#diffId = diffId;
    this.#lowers = lowers;
    this.#tree = new LayerTree(limits);
    this.#seek(TAR_AT);
  }

  get implied(): string[] {
    return this.#implied.map(([path]) => path);
  }

  get isOpaque(): boolean {
    return this.#tree.root.isOpaque;
  }

  get leftOut(): number {
    return this.#tree.leftOut;
  }

  tar(bytes: Uint8Array): void {
    this.#tarBytes += bytes.length;
    this.#write(bytes);
  }

  begin(entry: TarRecord, offset: number): void {
    this.#tree.add(entry, offset);
  }

  /** The superblock comes last: without it the file is no image. */
  finish(): void {
    this.#implied = [...this.#tree.implied()].toSorted(([a], [b]) => (a < b ? -1 : 1));
    const below = directoriesOf(this.#lowers, this.implied);
    for (const [path, node] of this.#implied) adopt(node, below.get(path));
    const uuid = Uint8Array.fromHex(hexOf(this.#diffId).slice(0, 32));
    const { superBlock, metaAt, metadata } = imageOf(this.#tree.root, this.#tarBytes, uuid);
    this.#seek(metaAt);
    this.#write(metadata);
    this.#seek(SUPER_AT);
    this.#write(superBlock);
  }

  #seek(offset: number): void {
    trySyscall("lseek", this.#fd, offset, SEEK_SET);
  }

  #write(bytes: Uint8Array): void {
    const written = write(this.#fd, bytes);
    if (written >= 0) return;
    const isTheStores = [ENOSPC, EROFS, EDQUOT].includes(-written);
    throw systemError("write a layer", "write", -written, isTheStores ? "store_unavailable" : "system");
  }
}

function adopt(node: Node, below: Attributes | undefined): void {
  if (!below) return;
  const { mode, uid, gid, times, xattrs } = below;
  const view = new DataView(times.buffer, times.byteOffset, times.byteLength);
  // the time of the last change is the second of two `struct timespec`
  const mtime = { seconds: Number(view.getBigInt64(16, true)), nanoseconds: Number(view.getBigInt64(24, true)) };
  Object.assign(node, { mode: S_IFDIR | mode, uid, gid, mtime });
  if (xattrs.length > 0) node.xattrs = new Map(xattrs);
}
