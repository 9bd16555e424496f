/** --cache-from and --cache-to: steps that others have done, and those that others are given. @module */
import { chainIds, compressionOf, digestOf, type Descriptor, type Digest } from "../image/index.ts";
import { adoptDirectories, compressLayer, unpackLayer } from "../layer/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { CachedStep, Layer } from "./cache.ts";
import type { Done } from "./lookup.ts";
import type { Making } from "./making.ts";
import type { RemoteCache } from "./options.ts";
import { remotePlace, type RemotePlace } from "./remote-places.ts";
import { configDescriptor, manifestOf, MAX_CONFIG_BYTES, stepsOf, type RemoteStep } from "./remote-steps.ts";
import { chainIdOf, lowersOf, type Snapshot } from "./snapshot.ts";

interface Offered {
  step: RemoteStep;
  place: RemotePlace;
}

/** What others have, by its keys. */
export class RemoteSteps {
  readonly #offered = new Map<string, Offered>();

  /** A cache that cannot be read is told of, and done without. */
  static async read(
    caches: readonly RemoteCache[],
    signal: AbortSignal,
    warn: (message: string) => void,
  ): Promise<RemoteSteps> {
    const steps = new RemoteSteps();
    for (const cache of caches) {
      try {
        await steps.#add(await remotePlace(cache), signal);
      } catch (error) {
        if (!(error instanceof TsboxError) || signal.aborted) throw error;
        warn(`the cache is not used: ${error.message}`);
      }
    }
    return steps;
  }

  async #add(place: RemotePlace, signal: AbortSignal): Promise<void> {
    const manifest = await place.manifest(signal);
    if (!manifest) return;
    const config = await bytesOf(place, manifest.config, signal);
    for (const step of stepsOf(manifest, config, place.name))
      for (const key of [step.key, ...step.aliases])
        if (!this.#offered.has(key)) this.#offered.set(key, { step, place });
  }

  /**
   * Fetches what a step has made, and puts it into the cache, by the key that was asked for and no other: others may be
   * of steps that whoever offers this one would like to have made.
   * @throws TsboxError `digest_mismatch` where it is not that
   */
  async take(making: Making, below: Snapshot, key: string): Promise<CachedStep | undefined> {
    const offered = this.#offered.get(key);
    if (!offered) return undefined;
    const { step, place } = offered;
    if (step.layer) await takeLayer(making, below, step.layer, step.bytes, place);
    const { layer, text, created, bytes } = step;
    making.cache.put({ key, layer, text, created, bytes });
    return making.cache.find(key);
  }
}

async function bytesOf(place: RemotePlace, descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
  const wrong = (code: "image_invalid" | "digest_mismatch") =>
    new TsboxError(`read the cache ${place.name}: its config is damaged`, { code });
  if (descriptor.size > MAX_CONFIG_BYTES) throw wrong("image_invalid");
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of place.blob(descriptor, signal)) {
    if ((size += part.length) > descriptor.size) throw wrong("digest_mismatch");
    parts.push(part.slice());
  }
  const bytes = Buffer.concat(parts);
  if (digestOf(bytes) !== descriptor.digest) throw wrong("digest_mismatch");
  return bytes;
}

/** Verified twice: the blob as it is stored, and its tar as it is unpacked. */
async function takeLayer(
  { store, ids, signal, held }: Making,
  below: Snapshot,
  { diffId, chainId, descriptor }: Layer,
  bytes: number,
  place: RemotePlace,
): Promise<void> {
  const own = chainIds([...below.map((layer) => layer.diffId), diffId]).at(-1);
  if (own !== chainId)
    throw new TsboxError(`read the cache ${place.name}: a layer does not belong there`, { code: "digest_mismatch" });
  store.relyOnLayers([chainId], [descriptor.digest], ids);
  using ingest = await store.ingest(descriptor, { signal });
  if (ingest) {
    let at = 0;
    for await (const piece of place.blob(descriptor, signal)) {
      if (at + piece.length > ingest.offset) ingest.write(piece.subarray(Math.max(0, ingest.offset - at)));
      at += piece.length;
    }
    await ingest.commit();
  }
  const pending = await store.prepareLayer(chainId, { signal, ...(ids ? { ids } : {}) });
  if (!pending.isPending) return void held.add(chainId);
  using layer = pending;
  const source = {
    pieces: store.openBlob(descriptor.digest, { verify: false }),
    compression: compressionOf(descriptor.mediaType),
    digest: descriptor.digest,
    sizeBytes: descriptor.size,
    diffId,
  };
  const { implied, isOpaque, entries } = await unpackLayer(source, layer.fs, { ids, signal });
  adoptDirectories(layer.fs, lowersOf({ store, ids }, below), implied, ids);
  const parent = chainIdOf(below);
  layer.commit({ diffId, digest: descriptor.digest, bytes, entries, ...(parent ? { parent } : {}) }, { isOpaque });
  held.add(chainId);
}

/** Steps of the result, or, with mode `max`, all. */
export async function exportCache(
  making: Making,
  cache: RemoteCache,
  { all, result }: { all: ReadonlyMap<number, Done>; result: ReadonlySet<number> },
): Promise<void> {
  const { signal, onEvent } = making;
  const place = await remotePlace(cache);
  onEvent({ type: "exporting", what: `the cache to ${place.name}` });
  const isWhole = cache.type === "local" || cache.mode === "max";
  const steps: RemoteStep[] = [];
  for (const [number, { key }] of all) {
    if (key === undefined || (!isWhole && !result.has(number))) continue;
    const step = making.cache.find(key);
    if (step) steps.push(await exported(making, step, place));
  }
  const { config, manifest } = manifestOf(steps);
  const descriptor = configDescriptor(digestOf(config), config.length);
  await put(place, descriptor, () => once(config), signal);
  await place.putManifest(new TextEncoder().encode(JSON.stringify({ ...manifest, config: descriptor })), signal);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function put(
  place: RemotePlace,
  descriptor: Descriptor,
  open: () => AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  if (!(await place.hasBlob(descriptor.digest, signal))) await place.putBlob(descriptor, open, signal);
}

async function exported(making: Making, step: CachedStep, place: RemotePlace): Promise<RemoteStep> {
  const { store, cache, signal } = making;
  const { key, text, created, bytes, layer } = step;
  const aliases = cache.aliasesOf(key);
  const plain = { key, aliases, text, created, bytes };
  if (!layer) return plain;
  const descriptor = await compressed(making, layer);
  await put(place, descriptor, () => store.openBlob(descriptor.digest), signal);
  return { ...plain, layer: { ...layer, descriptor } };
}

/** As an image that is pushed has it, so that it is compressed once. */
async function compressed({ store, signal }: Making, { diffId, descriptor }: Layer): Promise<Descriptor> {
  const { layerDescriptor } = await import("../images/index.ts");
  if (compressionOf(descriptor.mediaType) !== "none") return descriptor;
  for (const digest of store.metadata.digestsOf(diffId as Digest)) {
    store.rely([digest]);
    const size = store.blobSize(digest);
    if (digest !== descriptor.digest && size !== undefined) return layerDescriptor(digest, size, "gzip");
  }
  using ingest = store.ingestUnknown();
  await compressLayer(store.openBlob(descriptor.digest), "gzip", (bytes) => ingest.write(bytes), { signal });
  const { digest, size } = await ingest.commit();
  store.metadata.setDiffId(digest, diffId);
  return layerDescriptor(digest, size, "gzip");
}
