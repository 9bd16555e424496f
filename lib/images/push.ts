/** An image of the store into a registry: what is there already is not sent. @module */
import {
  compressionOf,
  formatReference,
  isForeignLayer,
  MAX_MANIFEST_BYTES,
  type Descriptor,
  type Digest,
  type Manifest,
  type Reference,
} from "../image/index.ts";
import { compressLayer } from "../layer/index.ts";
import type { Registry } from "../registry/index.ts";
import type { Store, StoredImage } from "../store/index.ts";
import { layerDescriptor, manifestBlob, manifestDescriptor } from "./config.ts";
import { parallel } from "./parallel.ts";
import { counted } from "./pieces.ts";
import { counter, type OnProgress } from "./progress.ts";
import { storeBytes } from "./receive.ts";
import { tryReference } from "./summary.ts";

export interface PushedImage {
  reference: string;
  digest: Digest;
  /** Of the manifest, in bytes. */
  sizeBytes: number;
}

interface Push {
  store: Store;
  registry: Registry;
  reference: Reference;
  onProgress: OnProgress | undefined;
}

const AT_ONCE = 4;

/** @throws TsboxError as the registry answers */
export async function pushImage(push: Push, image: StoredImage, signal?: AbortSignal): Promise<PushedImage> {
  const { store, registry, reference, onProgress } = push;
  using _hold = store.hold();
  const size = store.blobSize(image.manifestDigest) as number;
  const whole = { manifest: image.manifest, descriptor: manifestDescriptor(image, size) };
  const { manifest, descriptor } = (await packed(push, image.manifest, signal)) ?? whole;
  const layers = new Map(manifest.layers.map((layer) => [layer.digest, layer]));
  const sent = [...layers.values()].filter(({ mediaType }) => !isForeignLayer(mediaType));
  for (const { digest } of sent) onProgress?.({ type: "layer", digest, state: "waiting" });
  // nobody finds a manifest whose layers are not there
  const places = knownPlaces(store.images(), reference);
  const pushOne = (blob: Descriptor, told: OnProgress | undefined, stop: AbortSignal | undefined) =>
    pushBlob(push, blob, places.get(blob.digest), told, stop);
  await parallel(AT_ONCE, sent, (layer, stop) => pushOne(layer, onProgress, stop), signal);
  await pushOne(manifest.config, undefined, signal);
  const bytes = new Uint8Array(store.readBlob(descriptor.digest, { maxBytes: MAX_MANIFEST_BYTES }));
  await registry.putManifest(reference, bytes, descriptor.mediaType, options(signal));
  const { domain, path } = reference;
  store.setName({ domain, path, digest: descriptor.digest }, descriptor);
  if (descriptor !== whole.descriptor) moveNames(store, image, descriptor);
  return { reference: formatReference(reference), digest: descriptor.digest, sizeBytes: descriptor.size };
}

const options = (signal: AbortSignal | undefined) => (signal ? { signal } : {});

/** The same image with its plain layers compressed, as a new manifest; undefined where it has none. */
async function packed({ store, onProgress }: Push, manifest: Manifest, signal: AbortSignal | undefined) {
  const isPlain = ({ mediaType }: Descriptor) => compressionOf(mediaType) === "none" && !isForeignLayer(mediaType);
  if (!manifest.layers.some(isPlain)) return undefined;
  const layers: Descriptor[] = [];
  for (const layer of manifest.layers) {
    if (!isPlain(layer)) layers.push(layer);
    else {
      const told = counter(onProgress, layer.digest, "compressing", layer.size);
      layers.push(await compressBlob(store, layer, told, signal));
    }
  }
  const { bytes, descriptor } = manifestBlob(manifest.config, layers);
  await storeBytes(store, descriptor, bytes);
  return { manifest: { ...manifest, layers }, descriptor };
}

async function compressBlob(
  store: Store,
  layer: Descriptor,
  told: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  using ingest = store.ingestUnknown();
  const plain = counted(store.openBlob(layer.digest), told);
  await compressLayer(plain, "gzip", (bytes) => ingest.write(bytes), options(signal));
  const { digest, size } = await ingest.commit();
  return layerDescriptor(digest, size, "gzip");
}

/** The names that led to the image with its plain layers. */
function moveNames(store: Store, image: StoredImage, descriptor: Descriptor): void {
  for (const name of image.names) {
    const reference = tryReference(name);
    if (reference?.tag !== undefined && reference.digest === undefined) store.setName(reference, descriptor);
  }
}

async function pushBlob(
  { store, registry, reference }: Push,
  blob: Descriptor,
  from: string | undefined,
  onProgress: OnProgress | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { digest, size } = blob;
  if (await registry.hasBlob(reference, digest, options(signal))) {
    onProgress?.({ type: "layer", digest, state: "exists" });
    return;
  }
  const told = counter(onProgress, digest, "uploading", size);
  const sent = await registry.uploadBlob(reference, blob, () => store.openBlob(digest), {
    onProgress: told,
    ...(from === undefined ? {} : { mountFrom: [from] }),
    ...options(signal),
  });
  if (sent === "mounted" && from !== undefined) onProgress?.({ type: "layer", digest, state: "mounted", from });
  else onProgress?.({ type: "layer", digest, state: "complete" });
}

/** Other repositories of a registry, by the blobs that are known to be there: images have been pulled from it, or pushed to it. */
function knownPlaces(images: readonly StoredImage[], { domain, path }: Reference): Map<Digest, string> {
  const places = new Map<Digest, string>();
  for (const { names, manifest } of images) {
    for (const name of names) {
      const other = tryReference(name);
      if (other?.digest === undefined || other.domain !== domain || other.path === path) continue;
      for (const { digest } of [...manifest.layers, manifest.config]) places.set(digest, other.path);
    }
  }
  return places;
}
