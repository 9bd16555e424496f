/** How much room a store takes. @module */
import type { Digest } from "../image/index.ts";
import { allBlobs, blobStatus } from "./blobs.ts";
import { storing } from "./failure.ts";
import { type StoredImage } from "./images.ts";
import { keptByBuilds } from "./kept.ts";
import { hexOfKey, isLayerKey, readLayerInfo } from "./layers.ts";
import { isLeased } from "./leases.ts";
import { neededBy } from "./marking.ts";
import type { Metadata } from "./metadata.ts";
import type { StoreRoot } from "./root.ts";
import { containersByImage } from "./users.ts";

export interface ImageUsage {
  image: StoredImage;
  /** Of its blobs and its layers, unpacked; files of layers as their tar has them. */
  bytes: number;
  /** Of those, what no other image needs. */
  uniqueBytes: number;
  isUsed: boolean;
}

export interface DiskUsage {
  images: ImageUsage[];
  /** Each counted once; without those that only the cache of builds has. */
  blobs: { count: number; bytes: number };
  layers: { count: number; bytes: number };
  /** What is not whole yet, or is left over. */
  ingestBytes: number;
  /** That a prune of all images that are not used would give back. */
  reclaimableBytes: number;
}

export function diskUsage(root: StoreRoot, metadata: Metadata, images: readonly StoredImage[]): DiskUsage {
  const counts = metadata.referenceCounts();
  const wanted = neededBy(root, images);
  const kept = keptByBuilds(root);
  const blobs = new Map<Digest, number>(
    allBlobs(root)
      .filter((digest) => wanted.blobs.has(digest) || !kept.blobs.has(digest))
      .map((digest) => [digest, blobStatus(root, digest)?.sizeBytes ?? 0]),
  );
  const isOwn = (hex: string) => wanted.layers.has(hex) || !kept.layers.has(hex);
  const keys = storing(() => root.layers.names()).filter((key) => isLayerKey(key) && isOwn(hexOfKey(key)));
  const layers = new Map(keys.map((key) => [key, readLayerInfo(root, key)?.bytes ?? 0]));
  const leased = new Set(keys.filter((key) => isLeased(root, key)).map(hexOfKey));
  const containers = containersByImage(root);
  const used = { blobs: new Set<Digest>(), layers: new Set<string>() };
  const usages = images.map((image): ImageUsage => {
    const needed = neededBy(root, [{ descriptor: image.descriptor }]);
    const isUsed =
      [...needed.tops].some((hex) => leased.has(hex)) || [...needed.blobs].some((digest) => containers.has(digest));
    const parts = [
      ...[...needed.blobs].map((digest) => ({ bytes: blobs.get(digest) ?? 0, count: counts.blobs.get(digest) ?? 1 })),
      ...keys
        .filter((key) => needed.layers.has(hexOfKey(key)))
        .map((key) => ({ bytes: layers.get(key) ?? 0, count: counts.layers.get(hexOfKey(key)) ?? 1 })),
    ];
    if (isUsed) for (const digest of needed.blobs) used.blobs.add(digest);
    if (isUsed) for (const hex of needed.layers) used.layers.add(hex);
    return { image, bytes: sum(parts), uniqueBytes: sum(parts.filter(({ count }) => count === 1)), isUsed };
  });
  const ingestBytes = bytesBelow(root);
  const free = [
    ...[...blobs].filter(([digest]) => !used.blobs.has(digest)),
    ...[...layers].filter(([key]) => !used.layers.has(hexOfKey(key))),
  ];
  return {
    images: usages,
    blobs: { count: blobs.size, bytes: sum([...blobs.values()].map((bytes) => ({ bytes }))) },
    layers: { count: layers.size, bytes: sum([...layers.values()].map((bytes) => ({ bytes }))) },
    ingestBytes,
    reclaimableBytes: ingestBytes + sum(free.map(([, bytes]) => ({ bytes }))),
  };
}

const sum = (parts: readonly { bytes: number }[]): number => parts.reduce((total, { bytes }) => total + bytes, 0);

/** Files in `ingest/`; layers half unpacked are not counted. */
const bytesBelow = ({ ingest }: StoreRoot): number =>
  storing(() => sum(ingest.names().map((name) => ({ bytes: ingest.status(name)?.allocatedBytes ?? 0 }))));
