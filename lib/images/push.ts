/** An image of the store into a registry: what is there already is not sent. @module */
import {
  compressionOf,
  formatReference,
  isForeignLayer,
  MAX_MANIFEST_BYTES,
  repositoryOf,
  type Descriptor,
  type Digest,
  type Manifest,
  type Reference,
} from "../image/index.ts";
import { compressLayer } from "../layer/index.ts";
import type { Registry } from "../registry/index.ts";
import type { Store, StoredImage } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { arriving, remember, type Arrival } from "./arrival.ts";
import { layerDescriptor, manifestBlob, manifestDescriptor } from "./config.ts";
import { parallel } from "./parallel.ts";
import { counted, sniff } from "./pieces.ts";
import { counter, type OnProgress } from "./progress.ts";
import { storeBytes } from "./receive.ts";

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
export function pushImage(push: Push, image: StoredImage, signal?: AbortSignal): Promise<PushedImage> {
  return arriving(push.store, async (arrival) => {
    const { store, registry, reference, onProgress } = push;
    const size = store.blobSize(image.manifestDigest) as number;
    const whole = { manifest: image.manifest, descriptor: manifestDescriptor(image, size) };
    const { manifest, descriptor } = (await packed(arrival, image.manifest, onProgress, signal)) ?? whole;
    const layers = new Map(manifest.layers.map((layer) => [layer.digest, layer]));
    const sent = [...layers.values()].filter(({ mediaType }) => !isForeignLayer(mediaType));
    for (const { digest } of sent) onProgress?.({ type: "layer", digest, state: "waiting" });
    // nobody finds a manifest whose layers are not there
    await parallel(AT_ONCE, sent, (layer, stop) => pushBlob(push, layer, stop), signal);
    await pushBlob({ ...push, onProgress: undefined }, manifest.config, signal);
    const bytes = new Uint8Array(store.readBlob(descriptor.digest, { maxBytes: MAX_MANIFEST_BYTES }));
    await registry.putManifest(reference, bytes, descriptor.mediaType, options(signal));
    const { domain, path } = reference;
    const digested = { domain, path, digest: descriptor.digest };
    if (descriptor === whole.descriptor) store.setName(digested, image.descriptor);
    else await replaceImage(store, image, descriptor, digested);
    return { reference: formatReference(reference), digest: descriptor.digest, sizeBytes: descriptor.size };
  });
}

const options = (signal: AbortSignal | undefined) => (signal ? { signal } : {});

/** The same image with its plain layers compressed, as a new manifest; undefined where it has none. */
async function packed(
  arrival: Arrival,
  { config, layers }: Manifest,
  onProgress: OnProgress | undefined,
  signal: AbortSignal | undefined,
): Promise<{ manifest: Manifest; descriptor: Descriptor } | undefined> {
  const isPlain = ({ mediaType }: Descriptor) => compressionOf(mediaType) === "none" && !isForeignLayer(mediaType);
  if (!layers.some(isPlain)) return undefined;
  const all: Descriptor[] = [];
  for (const layer of layers)
    all.push(isPlain(layer) ? await packLayerBlob(arrival, layer, onProgress, signal) : layer);
  const { bytes, descriptor } = manifestBlob(config, all);
  await storeBytes(arrival, descriptor, bytes);
  return { manifest: { schemaVersion: 2, config, layers: all }, descriptor };
}

/** The bytes of a plain layer are its diffId's, so that it is found where it has been compressed before. */
async function packLayerBlob(
  { store, blobs }: Arrival,
  layer: Descriptor,
  onProgress: OnProgress | undefined,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  for (const digest of store.metadata.digestsOf(layer.digest)) {
    store.rely([digest]);
    const size = store.blobSize(digest);
    if (digest === layer.digest || size === undefined) continue;
    using blob = store.openBlob(digest, { verify: false });
    const { compression } = await sniff(blob);
    if (compression !== "none") return layerDescriptor(digest, size, compression);
  }
  using ingest = store.ingestUnknown();
  const plain = counted(store.openBlob(layer.digest), counter(onProgress, layer.digest, "compressing", layer.size));
  await compressLayer(plain, "gzip", (bytes) => ingest.write(bytes), options(signal));
  const { digest, size } = await ingest.commit();
  blobs.push(digest);
  remember(() => store.metadata.setDiffId(digest, layer.digest));
  return layerDescriptor(digest, size, "gzip");
}

/** What was pushed takes the place of the image with its plain layers. */
async function replaceImage(
  store: Store,
  image: StoredImage,
  descriptor: Descriptor,
  digested: Reference,
): Promise<void> {
  store.addImage(descriptor, [digested, ...image.names]);
  try {
    await store.removeImage(image.descriptor.digest, { force: true });
  } catch (error) {
    // a sandbox is made of it: it is left without a name, and goes with the next prune
    if (!(error instanceof TsboxError) || error.code !== "image_in_use") throw error;
  }
}

async function pushBlob(
  { store, registry, reference, onProgress }: Push,
  blob: Descriptor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { digest, size } = blob;
  const { metadata } = store;
  const own = repositoryOf(reference);
  if (await registry.hasBlob(reference, digest, options(signal))) {
    onProgress?.({ type: "layer", digest, state: "exists" });
  } else {
    const inDomain = `${reference.domain}/`;
    const source = metadata.sourcesOf(digest).find((each) => each.startsWith(inDomain) && each !== own);
    const from = source?.slice(inDomain.length);
    const sent = await registry.uploadBlob(reference, blob, () => store.openBlob(digest), {
      onProgress: counter(onProgress, digest, "uploading", size),
      ...(from === undefined ? {} : { mountFrom: [from] }),
      ...options(signal),
    });
    if (sent === "mounted" && from !== undefined) onProgress?.({ type: "layer", digest, state: "mounted", from });
    else onProgress?.({ type: "layer", digest, state: "complete" });
    if (sent !== "mounted" && source !== undefined) remember(() => metadata.removeSource(digest, source));
  }
  remember(() => metadata.addSource(digest, own));
}
