/**
 * An image that comes from somewhere into the store. Bytes of a layer flow once: they are stored as they are, and
 * unpacked at the same time. No layer and no name is visible before all that it is made of has been verified.
 * @module
 */
import {
  algorithmOf,
  chainIds,
  checkIsImage,
  Digester,
  familiarReference,
  isImageIndex,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  parseManifest,
  type Compression,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type Manifest,
  type Reference,
} from "../image/index.ts";
import { adoptDirectories, LayerThreads, type UnpackedLayer } from "../layer/index.ts";
import type { IdMaps, Ingest, PendingLayer, Store, StoredLayer } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { remember, type Arrival } from "./arrival.ts";
import { parallel } from "./parallel.ts";
import { collect, counted, decompress, sniff, type Pieces } from "./pieces.ts";
import { counter, type OnProgress } from "./progress.ts";
import { checkBytes } from "./verify.ts";

/** Where blobs come from. */
export interface BlobSource {
  /** From a byte on. */
  blob(descriptor: Descriptor, offsetBytes: number, signal: AbortSignal | undefined): Pieces;
}

export interface FoundManifest {
  bytes: Uint8Array;
  descriptor: Descriptor;
}

export interface ReceiveOptions {
  onProgress?: OnProgress;
  signal?: AbortSignal;
  /** Of who unpacks, where files are not to be the caller's own. */
  ids?: IdMaps | undefined;
  /** Throws for a config that is not wanted, before anything is stored. */
  check?: (config: ImageConfig) => void;
}

export interface ReceivedImage {
  /** Digest of the config. */
  id: Digest;
  descriptor: Descriptor;
  config: ImageConfig;
  /** Nothing had to be fetched. */
  isCurrent: boolean;
}

/** Connections to one registry, and layers that are unpacked. */
const AT_ONCE = 4;

const invalid = (message: string) => new TsboxError(message, { code: "image_invalid" });

interface LayerJob {
  descriptor: Descriptor;
  diffId: Digest;
  chainId: Digest;
  /** It is there, or it is to be unpacked. */
  layer?: StoredLayer;
  pending?: PendingLayer;
  unpacked?: UnpackedLayer;
}

/**
 * @param names that it gets when it is whole; without one it is kept all the same; undefined for what is in the store
 * @throws TsboxError `image_invalid`, `digest_mismatch`, `store_unavailable`, and as blobs are fetched
 */
export async function receiveImage(
  arrival: Arrival,
  source: BlobSource,
  found: FoundManifest,
  names: readonly Reference[] | undefined,
  options: ReceiveOptions,
): Promise<ReceivedImage> {
  for (let damaged = 0; ; damaged++) {
    try {
      return await receiveOnce(arrival, source, found, names, options);
    } catch (error) {
      // which is gone by now: the next time it is fetched
      if (!(error instanceof DamagedBlob) || damaged === MAX_DAMAGED) throw error;
    }
  }
}

/** As many as an image may have layers. */
const MAX_DAMAGED = 500;

/** What was in the store had been damaged there. */
class DamagedBlob extends TsboxError {
  constructor(digest: Digest) {
    super(`read the blob ${digest}: its bytes are others`, {
      code: "digest_mismatch",
      hint: "it was damaged: try again",
    });
  }
}

/** Removes a blob that is in the store, and is another one than its name says. @returns whether it was */
async function discardDamaged(store: Store, digest: Digest): Promise<boolean> {
  try {
    for await (const _ of store.openBlob(digest)); // which compares
    return false;
  } catch (error) {
    if (!(error instanceof TsboxError) || error.code !== "digest_mismatch") throw error;
    store.discardBlob(digest);
    return true;
  }
}

async function receiveOnce(
  arrival: Arrival,
  source: BlobSource,
  found: FoundManifest,
  names: readonly Reference[] | undefined,
  options: ReceiveOptions,
): Promise<ReceivedImage> {
  const { onProgress, signal } = options;
  const { store } = arrival;
  const manifest = readImageManifest(found);
  store.rely([found.descriptor, manifest.config, ...manifest.layers].map(({ digest }) => digest));
  const configBytes = await fetchConfig(store, source, manifest.config, signal);
  const config = parseImageConfig(configBytes);
  options.check?.(config);
  const jobs = planLayers(manifest, config);
  try {
    const missing = await prepareLayers(store, jobs, options);
    const pending = missing.filter((job) => job.pending);
    await using threads = new LayerThreads(pending.map(({ descriptor }) => descriptor.size));
    await parallel(
      AT_ONCE,
      missing,
      (job, stop) => receiveLayer(arrival, source, job, threads, { ...options, signal: stop }),
      signal,
    );
    await storeBytes(arrival, manifest.config, configBytes);
    await storeBytes(arrival, found.descriptor, found.bytes);
    commitLayers(arrival, jobs, options.ids);
    if (names) store.addImage(found.descriptor, names);
    const id = manifest.config.digest;
    onProgress?.({ type: "image", id, names: names?.map(familiarReference) ?? [] });
    return { id, descriptor: found.descriptor, config, isCurrent: missing.length === 0 };
  } finally {
    for (const { pending } of jobs) pending?.abort();
  }
}

/**
 * From the bottom up: who shares the lowest layers waits here until they are there, and holds none meanwhile.
 * @returns those whose blob or files are missing
 */
async function prepareLayers(
  store: Store,
  jobs: LayerJob[],
  { onProgress, signal, ids }: ReceiveOptions,
): Promise<LayerJob[]> {
  const missing: LayerJob[] = [];
  for (const job of jobs) {
    const { digest, size } = job.descriptor;
    const layer = await store.prepareLayer(job.chainId, { ...(ids ? { ids } : {}), ...(signal ? { signal } : {}) });
    if (layer.isPending) job.pending = layer;
    else job.layer = layer;
    // a blob of another size is damaged, or the manifest lies: it is fetched, which tells
    const isThere = !layer.isPending && store.blobSize(digest) === size;
    if (!isThere) missing.push(job);
    onProgress?.({ type: "layer", digest, state: isThere ? "exists" : "waiting" });
  }
  return missing;
}

/** @throws TsboxError `image_invalid`, `digest_mismatch` */
export function readImageManifest({ bytes, descriptor }: FoundManifest): Manifest {
  checkBytes(bytes, descriptor, "the manifest");
  const manifest = parseManifest(bytes, descriptor.mediaType);
  if (isImageIndex(manifest)) throw invalid("read the manifest: an index where a manifest has to be");
  checkIsImage(manifest);
  return manifest;
}

/** Looked at before anything is stored. */
async function fetchConfig(
  store: Store,
  source: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const what = "the image config";
  const { digest, size } = descriptor;
  if (size > MAX_CONFIG_BYTES) throw invalid(`read ${what} ${digest}: larger than ${MAX_CONFIG_BYTES} bytes`);
  if (store.blobSize(digest) === size && !(await discardDamaged(store, digest)))
    return store.readBlob(digest, { maxBytes: MAX_CONFIG_BYTES });
  const bytes = await collect(source.blob(descriptor, 0, signal), size);
  if (!bytes) throw invalid(`read ${what} ${digest}: it has more than the ${size} bytes that were announced`);
  checkBytes(bytes, descriptor, what);
  return bytes;
}

/** @throws TsboxError `image_invalid` */
function planLayers({ layers }: Manifest, { rootfs: { diff_ids } }: ImageConfig): LayerJob[] {
  if (layers.length !== diff_ids.length)
    throw invalid(`read the image: its manifest has ${layers.length} layers, its config ${diff_ids.length}`);
  const chain = chainIds(diff_ids);
  return layers.map((descriptor, at) => ({
    descriptor,
    diffId: diff_ids[at] as Digest,
    chainId: chain[at] as Digest,
  }));
}

async function receiveLayer(
  { store, blobs }: Arrival,
  source: BlobSource,
  job: LayerJob,
  threads: LayerThreads,
  { onProgress, signal, ids }: ReceiveOptions,
): Promise<void> {
  const { descriptor, diffId } = job;
  const { digest, size } = descriptor;
  // waits for others who fetch the same; undefined where it is there, by now
  using ingest = await store.ingest(descriptor, signal ? { signal } : {});
  const told = counter(onProgress, digest, ingest ? "downloading" : "unpacking", size);
  const stored = ingest ? fetched(ingest, source, descriptor, signal) : store.openBlob(digest, { verify: false });
  try {
    // as Docker does it: media types have been wrong too often
    const { compression, pieces } = await sniff(counted(stored, told));
    if (job.pending) {
      // what is being stored is compared as it is committed, and what was made here is called what it is
      const isCompared = ingest !== undefined || blobs.includes(digest);
      const layer = { pieces, compression, digest, isCompared, sizeBytes: size, diffId };
      job.unpacked = await threads.unpack(layer, job.pending.fs, { ids, signal });
    } else await checkDiffId(pieces, compression, diffId);
    if (ingest) blobs.push((await ingest.commit()).digest);
    remember(() => store.metadata.setDiffId(digest, diffId));
  } catch (error) {
    // what broke off is gone on with the next time; what lies is not, nor what was ended as another layer lies
    if (isLie(error) || (signal?.aborted && isLie(signal.reason))) ingest?.abort();
    if (!ingest && isLie(error) && (await discardDamaged(store, digest))) throw new DamagedBlob(digest);
    throw error;
  }
  onProgress?.({ type: "layer", digest, state: "complete" });
}

/** What is there of it, and then the rest, which is stored as it passes. @throws TsboxError `image_invalid` for another size */
async function* fetched(
  ingest: Ingest,
  source: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Pieces {
  const { digest, size } = descriptor;
  let bytes = ingest.offset;
  if (bytes > 0) yield* ingest.read();
  const wrong = (found: string) => invalid(`fetch ${digest}: it has ${found}, not the ${size} that were announced`);
  if (bytes < size) {
    for await (const piece of source.blob(descriptor, bytes, signal)) {
      bytes += piece.length;
      if (bytes > size) throw wrong("more bytes");
      ingest.write(piece);
      yield piece;
    }
  }
  if (bytes < size) throw wrong(`${bytes} bytes`);
}

/** Of a layer that is there, unpacked from another blob. @throws TsboxError `digest_mismatch` */
async function checkDiffId(pieces: Pieces, compression: Compression, diffId: Digest): Promise<void> {
  const digester = new Digester(algorithmOf(diffId));
  for await (const piece of decompress(pieces, compression)) digester.update(piece);
  const found = digester.digest();
  if (found !== diffId)
    throw new TsboxError(`read the layer ${diffId}: its diffId is ${found}`, { code: "digest_mismatch" });
}

const LIES = ["image_invalid", "digest_mismatch", "archive_refused"];
const isLie = (error: unknown) =>
  error instanceof TsboxError && !(error instanceof DamagedBlob) && LIES.includes(error.code);

/** From the bottom up: what a layer does not say of a directory, those below it do. */
function commitLayers({ layers }: Arrival, jobs: readonly LayerJob[], ids: IdMaps | undefined): void {
  const lowers: string[] = [];
  let parent: Digest | undefined;
  for (const job of jobs) {
    const { pending, unpacked, descriptor, diffId, chainId } = job;
    if (pending && unpacked) {
      const { bytes, entries, implied, isOpaque } = unpacked;
      adoptDirectories(pending.fs, lowers, implied, ids);
      layers.push(chainId);
      job.layer = pending.commit(
        { diffId, digest: descriptor.digest, ...(parent ? { parent } : {}), bytes, entries },
        { isOpaque },
      );
    }
    lowers.unshift((job.layer as StoredLayer).fs);
    parent = chainId;
  }
}

/** Of bytes that have been verified. */
export async function storeBytes({ store, blobs }: Arrival, descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
  if (store.blobSize(descriptor.digest) === descriptor.size) await discardDamaged(store, descriptor.digest);
  using ingest = await store.ingest(descriptor);
  if (!ingest) return;
  // behind what an attempt that did not come to its end has left
  ingest.write(bytes.subarray(ingest.offset));
  blobs.push((await ingest.commit()).digest);
}
