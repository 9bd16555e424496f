/** The store of images. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import {
  formatReference,
  type Descriptor,
  type Digest,
  type DigestAlgorithm,
  type Platform,
  type Reference,
} from "../image/index.ts";
import { blobStatus, openBlob, readBlob, removeBlob, type OpenBlob } from "./blobs.ts";
import { Holds } from "./holds.ts";
import { findNamed, hasPrefix, isIdPrefix, layersOf, loadImage, type ImageLayer, type StoredImage } from "./images.ts";
import { newEntry, readIndexFile, withName, withoutName, writeIndexFile, WrittenIndex } from "./index-file.ts";
import { openIngest, openUnknown, type Ingest, type IngestOwner } from "./ingest.ts";
import { findLayer, layerKey, type IdMaps, type StoredLayer } from "./layers.ts";
import { lastUsed, leaseImage, lowersOf, type Lease } from "./leases.ts";
import { Metadata } from "./metadata.ts";
import { prune, removeImage, withdraw, type PruneOptions, type Removed, type RemoveOptions } from "./removal.ts";
import { defaultRoot, StoreRoot } from "./root.ts";
import { diskUsage, type DiskUsage } from "./usage.ts";
import { prepareLayer, type PendingLayer } from "./unpacking.ts";
import { containersByImage, type ContainerUse } from "./users.ts";

export interface StoreOptions {
  /** An absolute path; where there is nothing, a store is made. Absent: TSBOX_ROOT, or the user's own place. */
  root?: string;
  /** Nothing is made or changed. */
  readOnly?: boolean;
}

export interface FindOptions {
  /** Of several images under one name: absent, that for this machine, or the one that is there. */
  platform?: Platform;
}

/** A name that leads to nothing that can be used. */
export interface UnusableImage {
  name: string | undefined;
  descriptor: Descriptor;
  error: TsboxError;
}

export class Store implements Disposable {
  readonly #root: StoreRoot;
  readonly #holds: Holds;
  /** What the layout cannot say. Its first use loads SQLite. */
  readonly metadata: Metadata;

  private constructor(root: StoreRoot) {
    this.#root = root;
    this.#holds = new Holds(root);
    this.metadata = new Metadata(root);
  }

  /** @throws TsboxError `store_unavailable` where it cannot be made, or is of another version */
  static open({ root = defaultRoot(), readOnly = false }: StoreOptions = {}): Store {
    return new Store(new StoreRoot(root, readOnly));
  }

  [Symbol.dispose](): void {
    this.metadata[Symbol.dispose]();
    this.#root[Symbol.dispose]();
  }

  get path(): string {
    return this.#root.path;
  }

  // ── images ──

  /**
   * The image that a name leads to: a reference, with or without Docker's defaults, the name that another tool gave it,
   * or the beginning of an id that only one has.
   * @throws TsboxError `image_invalid`, `digest_mismatch`, `image_not_found` where a part of it is missing;
   *   `id_ambiguous` where the ids of several begin so
   */
  findImage(name: Reference | string, { platform }: FindOptions = {}): StoredImage | undefined {
    const named = findNamed(readIndexFile(this.#root), name);
    if (named) return this.#load(named.names, named.descriptor, platform);
    return typeof name === "string" && isIdPrefix(name) ? this.#findById(name, platform) : undefined;
  }

  /** What a name leads to, whether it can be used or not. */
  findNamed(name: Reference): Descriptor | undefined {
    return findNamed(readIndexFile(this.#root), name)?.descriptor;
  }

  #load(names: string[], descriptor: Descriptor, platform?: Platform): StoredImage {
    return loadImage(this.#root, names, descriptor, platform);
  }

  #findById(prefix: string, platform: Platform | undefined): StoredImage | undefined {
    const found = this.images().filter(
      ({ id, manifestDigest, descriptor }) =>
        hasPrefix(id, prefix) || hasPrefix(manifestDigest, prefix) || hasPrefix(descriptor.digest, prefix),
    );
    const [first] = found;
    if (!first) return undefined;
    if (found.some(({ id }) => id !== first.id))
      throw new TsboxError(`find the image ${show(prefix)}: the ids of several begin so`, { code: "id_ambiguous" });
    return platform ? this.#load(first.names, first.descriptor, platform) : first;
  }

  /** All that there are. @param unusable is told of those that cannot be read */
  images(unusable: (image: UnusableImage) => void = () => {}): StoredImage[] {
    const { entries } = readIndexFile(this.#root);
    const images = new Map<Digest, StoredImage | undefined>();
    for (const { descriptor, name } of entries) {
      if (!descriptor) continue;
      if (!images.has(descriptor.digest)) images.set(descriptor.digest, this.#tryLoad(descriptor, name, unusable));
      else if (name !== undefined) images.get(descriptor.digest)?.names.push(name);
    }
    return [...images.values()].filter((image) => image !== undefined);
  }

  #tryLoad(
    descriptor: Descriptor,
    name: string | undefined,
    unusable: (image: UnusableImage) => void,
  ): StoredImage | undefined {
    try {
      return this.#load(name === undefined ? [] : [name], descriptor);
    } catch (error) {
      if (!(error instanceof TsboxError) || error.code === "store_unavailable") throw error;
      unusable({ name, descriptor, error });
      return undefined;
    }
  }

  /** The lowest first; `fs` where it is unpacked. */
  layersOf(image: StoredImage, ids?: IdMaps): (ImageLayer & { fs?: string })[] {
    return layersOf(image).map((layer) => {
      const fs = findLayer(this.#root, layer.chainId, ids)?.fs;
      return fs === undefined ? layer : { ...layer, fs };
    });
  }

  // ── names ──

  /** A name leads to a manifest, or to an image index, from now on. The image that it led to before stays. */
  setName(reference: Reference | string, descriptor: Descriptor): void {
    this.#checkThere(descriptor);
    this.#changeIndex("name an image", (index) => withName(index, written(reference), descriptor));
  }

  /** An image that is whole gets names, all at once; without any it is kept under none. */
  addImage(descriptor: Descriptor, references: readonly (Reference | string)[]): void {
    this.#checkThere(descriptor);
    this.#changeIndex("add an image", (index) => {
      const isKnown = index.entries.some((entry) => entry.descriptor?.digest === descriptor.digest);
      if (references.length === 0)
        return isKnown ? index : index.with([...index.entries, newEntry(undefined, descriptor)]);
      return references.reduce((changed, reference) => withName(changed, written(reference), descriptor), index);
    });
  }

  /** The image stays. @returns whether there was such a name */
  removeName(reference: Reference | string): boolean {
    const name = written(reference);
    let wasThere = false;
    this.#changeIndex("remove a name", (index) => {
      wasThere = index.entries.some((entry) => entry.name === name);
      return withoutName(index, name);
    });
    return wasThere;
  }

  #checkThere({ digest }: Descriptor): void {
    if (this.hasBlob(digest)) return;
    throw new TsboxError(`name ${digest}: it is not in the store`, { code: "image_not_found" });
  }

  #changeIndex(action: string, change: (index: WrittenIndex) => WrittenIndex): void {
    this.#root.checkWritable(action);
    this.#root.locked(() => {
      const index = WrittenIndex.of(readIndexFile(this.#root));
      const changed = change(index);
      if (changed.toString() !== index.toString()) writeIndexFile(this.#root, changed);
    });
  }

  /**
   * Takes a name away, or, by an id, all that an image has. With the last name the image goes, and what only it needs.
   * @throws TsboxError `image_not_found`; `image_in_use` where a sandbox is made of it, or, by an id without `force`, it
   *   has several names
   */
  async removeImage(wanted: Reference | string, options: RemoveOptions = {}): Promise<Removed> {
    return this.#forgotten(await removeImage(this.#root, wanted, options));
  }

  /**
   * Blobs and layers that came in for an image of which nothing became go, unless somebody needs or holds them by now.
   * @param layers by their chainIds
   */
  async withdraw(blobs: readonly Digest[], layers: readonly Digest[]): Promise<void> {
    if (blobs.length + layers.length > 0) await withdraw(this.#root, blobs, layers);
  }

  /** Removes images that nobody needs, and all that is left of downloads and removals that did not come to their end. */
  async prune(options: PruneOptions = {}): Promise<Removed> {
    return this.#forgotten(await prune(this.#root, options));
  }

  #forgotten(removed: Removed): Removed {
    try {
      this.metadata.forget(removed.blobs);
    } catch (error) {
      // on a full disk there may be no room for that; it harms nobody
      if (!(error instanceof TsboxError) || error.code !== "store_unavailable") throw error;
    }
    return removed;
  }

  /** Containers that are made of an image. */
  containersOf({ manifestDigest, descriptor }: StoredImage): ContainerUse[] {
    const used = containersByImage(this.#root);
    return [...new Set([manifestDigest, descriptor.digest])].flatMap((digest) => used.get(digest) ?? []);
  }

  /** How much room all of it takes. */
  diskUsage(): DiskUsage {
    return diskUsage(this.#root, this.metadata, this.images());
  }

  /** When an image was last used, or else unpacked; milliseconds since 1970. */
  lastUsed(image: StoredImage, ids?: IdMaps): number | undefined {
    const top = layersOf(image).at(-1);
    return top && lastUsed(this.#root, layerKey(top.chainId, ids));
  }

  // ── blobs ──

  hasBlob(digest: Digest): boolean {
    return blobStatus(this.#root, digest) !== undefined;
  }

  blobSize(digest: Digest): number | undefined {
    return blobStatus(this.#root, digest)?.sizeBytes;
  }

  /** The bytes of a small blob, verified. @throws TsboxError `image_not_found`, `digest_mismatch`, `store_unavailable` */
  readBlob(digest: Digest, { maxBytes }: { maxBytes: number }): Uint8Array {
    return readBlob(this.#root, digest, maxBytes);
  }

  /**
   * The bytes of a blob, in pieces.
   * @param verify that they are those of the digest; for those who do it themselves, false
   */
  openBlob(digest: Digest, { verify = true }: { verify?: boolean } = {}): OpenBlob {
    return openBlob(this.#root, digest, verify);
  }

  /** Removes a blob that turned out to be damaged, so that it can come in again. */
  discardBlob(digest: Digest): void {
    this.#root.checkWritable("remove a blob");
    removeBlob(this.#root, digest);
  }

  /** What is ingested, or prepared, or relied on is not removed by anybody until this is disposed of. */
  hold(): Disposable {
    return this.#holds.open();
  }

  /** Relies on a blob that may be there: after this one may look. Needs a {@link hold}. */
  rely(digests: readonly Digest[]): void {
    this.#holds.add(digests);
  }

  /** Relies on unpacked layers, by their chainIds, and on blobs. Needs a {@link hold}. */
  relyOnLayers(chainIds: readonly Digest[], blobs: readonly Digest[], ids?: IdMaps): void {
    this.#holds.add([...chainIds.map((chainId) => layerKey(chainId, ids)), ...blobs]);
  }

  /**
   * Writes a blob, as the only process: waits for another one that is at it. Held as {@link hold} says.
   * @returns undefined where it is there already
   */
  async ingest(
    descriptor: Pick<Descriptor, "digest" | "size">,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Ingest | undefined> {
    this.#root.checkWritable("store a blob");
    const owner = this.#owner();
    try {
      owner.rely(descriptor.digest);
      const ingest = await openIngest(this.#root, descriptor, owner, signal);
      if (!ingest) owner.ended();
      return ingest;
    } catch (error) {
      owner.ended();
      throw error;
    }
  }

  /** Writes a blob whose digest is known when it is whole. Needs a {@link hold}, for when it is. */
  ingestUnknown(algorithm: DigestAlgorithm = "sha256"): Ingest {
    this.#root.checkWritable("store a blob");
    return openUnknown(this.#root, algorithm, this.#owner());
  }

  #owner(): IngestOwner {
    const hold = this.#holds.open();
    return { rely: (digest) => this.#holds.add([digest]), ended: () => hold[Symbol.dispose]() };
  }

  // ── layers ──

  findLayer(chainId: Digest, ids?: IdMaps): StoredLayer | undefined {
    return findLayer(this.#root, chainId, ids);
  }

  /**
   * Lower directories of overlayfs, top first, of layers that the caller {@link relyOnLayers relies on}; undefined where
   * one is not unpacked.
   * @param layers by their chainIds, the lowest first
   */
  lowersOf(layers: readonly Digest[], ids?: IdMaps): string[] | undefined {
    return lowersOf(this.#root, layers.toReversed(), ids);
  }

  /**
   * Unpacks a layer, as the only process: waits for another one that is at it. Held as {@link hold} says.
   * @returns what is to be filled, or, where `isPending` is false, what is there
   */
  async prepareLayer(
    chainId: Digest,
    { ids, signal }: { ids?: IdMaps; signal?: AbortSignal } = {},
  ): Promise<PendingLayer | StoredLayer> {
    this.#root.checkWritable("unpack a layer");
    const hold = this.#holds.open();
    const ended = () => hold[Symbol.dispose]();
    try {
      this.#holds.add([layerKey(chainId, ids)]);
      const layer = await prepareLayer(this.#root, chainId, { ids, signal, ended });
      if (!layer.isPending) ended();
      return layer;
    } catch (error) {
      ended();
      throw error;
    }
  }

  /** Uses an image that is unpacked, until it is disposed of. @throws TsboxError `image_not_found` where a layer is missing */
  lease(image: StoredImage, ids?: IdMaps): Lease {
    return leaseImage(this.#root, image, ids);
  }
}

const written = (reference: Reference | string): string =>
  typeof reference === "string" ? reference : formatReference(reference);
