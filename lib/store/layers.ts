/**
 * Layers, unpacked: `layers/HEX/`, by the chainId, because owners and times of directories that a layer does not mention
 * are those of the layers below. Made in `ingest/` and renamed when whole.
 *
 * ```
 * layers/HEX[-MAPS]/fs          the files, a lower directory of overlayfs
 *                   layer.json  what it is
 *                   lock        shared by those that use it, while they do
 *                   boot-ID     of the kernel that it was unpacked under
 *                   synced      once all of it is known to be on the disk
 *                   opaque      where nothing of the layers below is seen
 * ```
 *
 * Unpacked files are left to the kernel to be written when it likes. After a power cut, a layer that had not been synced
 * by then is of another boot, counts as missing, and is unpacked again.
 * @module
 */
import { OpenFile, readKernelFile, show, TsboxError } from "../../syscalls/index.ts";
import { digestOf, hexOf, isDigest, parseDigest, type Digest } from "../image/index.ts";
import { list, Mismatch, object, required, whole, type Reader } from "../schema/index.ts";
import type { IdMapping } from "../spec/index.ts";
import { storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

export const VERSION = 1;
export const INFO = "layer.json";
export const LOCK = "lock";
export const FILES = "fs";
export const SYNCED = "synced";
export const OPAQUE_MARK = "opaque";
const LIMIT_BYTES = 64 * 1024;

/** Ids that files of a layer have on the host, where they are not those of its archive. */
export interface IdMaps {
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
}

/** What is known of a layer when it has been unpacked. */
export interface LayerInfo {
  /** Of its tar, uncompressed. */
  diffId: Digest;
  /** Of its blob. */
  digest?: Digest;
  /** The chainId of all below it; the lowest has none. */
  parent?: Digest;
  /** Of its files. */
  bytes: number;
  entries: number;
}

export interface StoredLayer {
  chainId: Digest;
  /** Of its directory in `layers/`. */
  key: string;
  /** Its lower directory: an absolute path. */
  fs: string;
  /** Of its files. Read when it is asked for. */
  readonly bytes: number;
  isPending: false;
}

/** In layer.json. */
export interface WrittenLayer extends LayerInfo {
  version: typeof VERSION;
  chainId: Digest;
  ids?: IdMaps;
}

const KEY = /^[0-9a-f]{64}(?:[0-9a-f]{64})?(?:-[0-9a-f]{8})?$/;
export const isLayerKey = (name: string): boolean => KEY.test(name);

/** Of its chainId. */
export const hexOfKey = (key: string): string => key.split("-", 1)[0] as string;

/** Layers unpacked with other ids are others. */
export function layerKey(chainId: Digest, ids?: IdMaps): string {
  const hex = hexOf(parseDigest(chainId));
  if (!ids) return hex;
  return `${hex}-${hexOf(digestOf(JSON.stringify(plainMaps(ids)))).slice(0, 8)}`;
}

/** The same maps are the same text. */
export function plainMaps({ uidMappings, gidMappings }: IdMaps): IdMaps {
  const plain = (maps: IdMapping[]) => maps.map(({ containerID, hostID, size }) => ({ containerID, hostID, size }));
  return { uidMappings: plain(uidMappings), gidMappings: plain(gidMappings) };
}

const digest: Reader<Digest> = (value) => {
  if (isDigest(value)) return value;
  throw new Mismatch(`${show(value)} is not a digest`);
};
const count = whole(0, Number.MAX_SAFE_INTEGER);
const mapping = object<IdMapping>({ containerID: required(count), hostID: required(count), size: required(count) });
const version: Reader<typeof VERSION> = (value) => {
  if (value === VERSION) return VERSION;
  throw new Mismatch(`its version ${show(value)} is not ${VERSION}`);
};
const readWritten = object<WrittenLayer>({
  version: required(version),
  chainId: required(digest),
  diffId: required(digest),
  digest,
  parent: digest,
  bytes: required(count),
  entries: required(count),
  ids: object<IdMaps>({ uidMappings: required(list(mapping)), gidMappings: required(list(mapping)) }),
});

let boot: string | undefined;
/** In the directory of a layer. */
export const bootMark = (): string =>
  (boot ??= `boot-${(readKernelFile("/proc/sys/kernel/random/boot_id") ?? "unknown").trim()}`);

/** Undefined where it is not there, not whole, or unpacked with other ids. */
export function findLayer(root: StoreRoot, chainId: Digest, ids?: IdMaps): StoredLayer | undefined {
  const { layers } = root;
  const key = layerKey(chainId, ids);
  return storing(() => {
    if (!layers.status(`${key}/${bootMark()}`) && !layers.status(`${key}/${SYNCED}`)) return undefined;
    if (layers.status(`${key}/${FILES}`)?.kind !== "directory") return undefined;
    return storedLayer(root, chainId, key);
  });
}

/** One that is there. */
export const storedLayer = (root: StoreRoot, chainId: Digest, key: string): StoredLayer => ({
  chainId,
  key,
  fs: `${root.layers.path}/${key}/${FILES}`,
  get bytes() {
    return readLayerInfo(root, key)?.bytes ?? 0;
  },
  isPending: false,
});

/** What is written down of a layer; undefined where that cannot be read. */
export function readLayerInfo(root: StoreRoot, key: string): WrittenLayer | undefined {
  try {
    using directory = root.layers.directory(key);
    const bytes = directory?.read(INFO, LIMIT_BYTES);
    return bytes && readWritten(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}

/** From now on a layer is there whatever happens. Where that cannot be written down, it will be unpacked again. */
export function markSynced(root: StoreRoot, key: string): void {
  try {
    using directory = root.layers.directory(key);
    if (!directory) return;
    OpenFile.open(directory, SYNCED, { as: "maker" })?.[Symbol.dispose]();
    directory.remove(bootMark());
  } catch (error) {
    if (!(error instanceof TsboxError)) throw error;
  }
}

/** All of them are written to the disk, which takes as long as it takes. */
export function syncLayers(root: StoreRoot): void {
  const keys = storing(() => root.layers.names()).filter((key) => root.layers.status(`${key}/${bootMark()}`));
  if (keys.length === 0) return;
  storing(() => root.layers.syncFileSystem());
  for (const key of keys) markSynced(root, key);
}
