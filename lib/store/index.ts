/** The store of images: an OCI image layout on the disk, and its layers, unpacked. @module */
export { holdBox, isHeld, sweepBoxes, type HeldBox } from "./boxes.ts";
export { MAX_INDEX_BYTES, REF_NAME } from "./index-file.ts";
export type { OpenBlob } from "./blobs.ts";
export type { ImageLayer, StoredImage } from "./images.ts";
export type { Ingest } from "./ingest.ts";
export type { IdMaps, LayerInfo, StoredLayer } from "./layers.ts";
export { BUILD_CACHE } from "./kept.ts";
export type { Lease } from "./leases.ts";
export type { Metadata, Origin, ReferenceCounts } from "./metadata.ts";
export type { PruneOptions, Removed, RemoveOptions } from "./removal.ts";
export { defaultRoot } from "./root.ts";
export type { DiskUsage, ImageUsage } from "./usage.ts";
export type { PendingLayer } from "./unpacking.ts";
export { Store, type FindOptions, type StoreOptions, type UnusableImage } from "./store.ts";
