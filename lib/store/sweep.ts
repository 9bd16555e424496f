/**
 * What nobody needs goes: blobs and layers that no name leads to, that nobody holds and nobody uses. Decided under the
 * store's lock and moved away there; removed afterwards, in its time.
 * @module
 */
import { OpenFile } from "../../syscalls/index.ts";
import { algorithmOf, hexOf, type Digest } from "../image/index.ts";
import { allBlobs, blobStatus } from "./blobs.ts";
import { storing } from "./failure.ts";
import { heldNames } from "./holds.ts";
import { isPartial, OWN_MODE } from "./ingest.ts";
import { hexOfKey, isLayerKey, LOCK, readLayerInfo } from "./layers.ts";
import { keptByBuilds } from "./kept.ts";
import { isLeased } from "./leases.ts";
import { neededBy, type Needed } from "./marking.ts";
import { readIndexFile } from "./index-file.ts";
import type { StoreRoot } from "./root.ts";
import type { Trash } from "./trash.ts";
import { isPendingLayer } from "./unpacking.ts";

export interface Swept {
  blobs: Digest[];
  /** Directories in `layers/`. */
  layers: string[];
  /** Of both; files of layers as their tar has them. */
  bytes: number;
}

/** A blob that another tool wrote may be one that it is about to name: there is no lock that it would take. */
const OTHERS_MS = 60 * 60 * 1000;

/**
 * Moves what is not needed into the trash; the caller has the store's lock.
 * @param among those alone, and whatever their age is; absent: all that there is
 */
export function sweep(root: StoreRoot, trash: Trash, among?: Pick<Needed, "blobs" | "layers">): Swept {
  const needed = neededBy(root, readIndexFile(root).entries);
  const held = heldNames(root);
  const kept = keptByBuilds(root);
  const blobs = among ? [...among.blobs] : allBlobs(root).filter((digest) => isOursOrOld(root, digest));
  const swept: Swept = { blobs: [], layers: [], bytes: 0 };
  // what such a manifest leads to may be anything
  if (needed.damaged.size > 0) return swept;
  for (const digest of blobs) {
    if (needed.blobs.has(digest) || held.has(digest) || kept.blobs.has(digest)) continue;
    const status = blobStatus(root, digest);
    const directory = root.algorithm(algorithmOf(digest));
    if (!status || !directory) continue;
    trash.take(directory, hexOf(digest));
    swept.blobs.push(digest);
    swept.bytes += status.sizeBytes;
  }
  sweepLayers(root, trash, swept, (key) => {
    const hex = hexOfKey(key);
    return !needed.layers.has(hex) && !held.has(key) && !kept.layers.has(hex) && (!among || among.layers.has(hex));
  });
  return swept;
}

function isOursOrOld(root: StoreRoot, digest: Digest): boolean {
  const status = blobStatus(root, digest);
  return status !== undefined && (status.mode === OWN_MODE || status.modifiedMs < Date.now() - OTHERS_MS);
}

/** The highest first: who uses a layer uses those below it, and has the lock of the highest alone. */
function sweepLayers(root: StoreRoot, trash: Trash, swept: Swept, isUnneeded: (key: string) => boolean): void {
  const keys = storing(() => root.layers.names()).filter(isLayerKey);
  const layers = keys.filter(isUnneeded).map((key) => ({ key, info: readLayerInfo(root, key) }));
  // it is not known which others a used one stands on
  if (layers.some(({ key, info }) => !info && isLeased(root, key))) return;
  const below = new Map(layers.map(({ key, info }) => [key, info?.parent && parentKey(key, info.parent)]));
  const used = new Set<string>();
  const ordered = layers.toSorted((a, b) => heightOf(b.key, below) - heightOf(a.key, below));
  for (const { key, info } of ordered) {
    if (!used.has(key) && takeLayer(root, trash, key)) {
      swept.layers.push(key);
      swept.bytes += info?.bytes ?? 0;
      continue;
    }
    const parent = below.get(key);
    if (parent !== undefined) used.add(parent);
  }
}

/** Layers of one chain are unpacked with the same ids. */
const parentKey = (key: string, parent: Digest): string => `${hexOf(parent)}${key.slice(hexOfKey(key).length)}`;

function heightOf(key: string, below: ReadonlyMap<string, string | undefined>): number {
  let height = 0;
  // what is written down there may go around in a circle
  for (let at = below.get(key); at !== undefined && height <= below.size; at = below.get(at)) height++;
  return height;
}

/** Holds its lock meanwhile, so that nobody begins to use it. */
function takeLayer(root: StoreRoot, trash: Trash, key: string): boolean {
  using directory = storing(() => root.layers.directory(key));
  using file = directory && storing(() => OpenFile.open(directory, LOCK));
  if (file && !file.tryLock("exclusive")) return false;
  trash.take(root.layers, key);
  file?.unlock();
  return true;
}

/** What is left in `ingest/` by those who were killed there: downloads, layers half unpacked. The caller has the store's lock. */
export function sweepIngest(root: StoreRoot, trash: Trash): number {
  let bytes = 0;
  for (const name of storing(() => root.ingest.names())) {
    if (isPartial(name)) {
      using file = storing(() => OpenFile.open(root.ingest, name));
      if (!file?.tryLock("exclusive")) continue;
      bytes += file.sizeBytes;
      root.ingest.remove(name);
      file.unlock();
    } else if (isPendingLayer(name)) {
      using directory = storing(() => root.ingest.directory(name));
      if (!directory?.tryLock()) continue;
      trash.take(root.ingest, name);
      directory.unlock();
    }
  }
  return bytes;
}
