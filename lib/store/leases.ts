/**
 * Who uses an image holds a shared lock of its top layer; whoever removes layers needs that lock for itself. The kernel
 * gives it back when a process ends, however it does.
 * @module
 */
import { OpenFile, show, standStill, TsboxError } from "../../syscalls/index.ts";
import type { Digest } from "../image/index.ts";
import { storing } from "./failure.ts";
import { layersOf, type StoredImage } from "./images.ts";
import { bootMark, findLayer, layerKey, LOCK, markSynced, OPAQUE_MARK, type IdMaps } from "./layers.ts";
import type { StoreRoot } from "./root.ts";

/** Whoever looks whether it is free has it for microseconds. */
const [ATTEMPTS, AGAIN_MS] = [1000, 1];
/** At what seems to be leased. */
const LOOKS = 4;

export interface Lease extends Disposable {
  /** Lower directories of overlayfs, the top one first; none where the image has no layers. */
  lowers: string[];
  /** Whoever inherits this descriptor holds the layers as well, and as long as {@link leave} was called. */
  lock?: number;
  /** Gives the descriptor up, but not the lock. */
  leave(): void;
}

/** @throws TsboxError `image_not_found` where a layer is not unpacked */
export function leaseImage(root: StoreRoot, image: StoredImage, ids?: IdMaps): Lease {
  const layers = layersOf(image).toReversed();
  const [top] = layers;
  if (!top) return { lowers: [], leave() {}, [Symbol.dispose]() {} };
  const missing = () =>
    new TsboxError(`use the image ${show(image.names[0] ?? image.id)}: a layer of it is not unpacked`, {
      code: "image_not_found",
      hint: "pull it again",
    });
  const lock = lockedLayer(root, layerKey(top.chainId, ids));
  if (!lock) throw missing();
  const release = () => {
    lock.unlock();
    lock[Symbol.dispose]();
  };
  const lowers = lowersOf(
    root,
    layers.map(({ chainId }) => chainId),
    ids,
  );
  if (!lowers) {
    release();
    throw missing();
  }
  // when it was last used
  if (lock.touch()) markOld(root, layers, ids);
  let isOpen = true;
  return {
    lowers,
    lock: lock.fd,
    leave() {
      if (isOpen) lock[Symbol.dispose]();
      isOpen = false;
    },
    [Symbol.dispose]() {
      if (isOpen) release();
      isOpen = false;
    },
  };
}

/**
 * Lower directories of overlayfs, top first; undefined where a layer is not unpacked.
 * @param layers by their chainIds, top first
 */
export function lowersOf(root: StoreRoot, layers: readonly Digest[], ids: IdMaps | undefined): string[] | undefined {
  const found = layers.map((chainId) => findLayer(root, chainId, ids)?.fs);
  if (!found.every((lower) => lower !== undefined)) return undefined;
  // overlayfs does not look whether a layer as a whole is opaque
  const last = layers.findIndex((chainId) => root.layers.status(`${layerKey(chainId, ids)}/${OPAQUE_MARK}`));
  return last < 0 ? found : found.slice(0, last + 1);
}

/** What lies in the page cache for so long has been written. */
const SURELY_WRITTEN_MS = 60 * 60 * 1000;

/** Layers that were unpacked long ago are known to be on the disk from now on. */
function markOld(root: StoreRoot, layers: readonly { chainId: Digest }[], ids: IdMaps | undefined): void {
  const before = Date.now() - SURELY_WRITTEN_MS;
  for (const { chainId } of layers) {
    const key = layerKey(chainId, ids);
    const mark = root.layers.status(`${key}/${bootMark()}`);
    if (!mark || mark.modifiedMs > before) return;
    markSynced(root, key);
  }
}

function lockedLayer(root: StoreRoot, key: string): OpenFile | undefined {
  using directory = storing(() => root.layers.directory(key));
  const file = directory && storing(() => OpenFile.open(directory, LOCK));
  if (!file) return undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // one that went in between is not locked by anybody
    if (!directory.isCurrent()) break;
    if (file.tryLock("shared")) {
      if (directory.isCurrent()) return file;
      break;
    }
    standStill(AGAIN_MS);
  }
  file.unlock();
  file[Symbol.dispose]();
  return undefined;
}

/** Whether somebody uses the layer as the top one of an image. */
export function isLeased(root: StoreRoot, key: string): boolean {
  using directory = storing(() => root.layers.directory(key));
  using file = directory && storing(() => OpenFile.open(directory, LOCK));
  if (!file) return false;
  let isFree = file.tryLock("exclusive");
  // it may be another one who only looks
  for (let looks = 1; !isFree && looks < LOOKS; looks++) {
    standStill(AGAIN_MS);
    isFree = file.tryLock("exclusive");
  }
  file.unlock();
  return !isFree;
}

/** When it was last used as the top layer of an image, or unpacked; milliseconds since 1970. */
export function lastUsed(root: StoreRoot, key: string): number | undefined {
  using directory = storing(() => root.layers.directory(key));
  return directory?.status(LOCK)?.modifiedMs;
}
