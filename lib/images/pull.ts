/** An image out of a registry. @module */
import {
  chooseManifest,
  familiarReference,
  formatPlatform,
  formatReference,
  hostPlatform,
  isImageIndex,
  MAX_INDEX_DEPTH,
  parseManifest,
  platformMatches,
  repositoryOf,
  type Digest,
  type ImageConfig,
  type Platform,
  type Reference,
} from "../image/index.ts";
import type { Registry } from "../registry/index.ts";
import type { Store } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { arriving, remember } from "./arrival.ts";
import { platformOf } from "./config.ts";
import {
  readImageManifest,
  receiveImage,
  type BlobSource,
  type FoundManifest,
  type ReceiveOptions,
} from "./receive.ts";
import { checkBytes } from "./verify.ts";

export interface PulledImage {
  /** The whole name: `docker.io/library/debian:12`. */
  reference: string;
  /** What the name led to: a manifest, or an index of several. */
  digest: Digest;
  /** Digest of the config. */
  id: Digest;
  platform: Platform;
  /** Everything was there already, under this name. */
  isCurrent: boolean;
}

/** @param platform the host's unless set @throws TsboxError as the registry answers, and as images are received */
export async function pullImage(
  { store, registry }: { store: Store; registry: Registry },
  reference: Reference,
  platform: Platform | undefined,
  options: ReceiveOptions,
): Promise<PulledImage> {
  const { onProgress, signal } = options;
  const name = formatReference(reference);
  onProgress?.({ type: "resolving", reference: name });
  const { digest, found } = await findManifest(registry, reference, platform ?? hostPlatform(), signal);
  const manifest = readImageManifest(found);
  const layers = manifest.layers.map((layer) => layer.digest);
  onProgress?.({ type: "resolved", reference: name, digest, layers });
  const blob: BlobSource["blob"] = (descriptor, offset, stop) =>
    registry.blob(reference, descriptor, { offset, ...(stop ? { signal: stop } : {}) });
  const check = (config: ImageConfig) => checkPlatform(reference, platformOf(config), platform);
  const { tag, ...repository } = reference;
  // by its digest as well: so it is found again when the tag has moved on
  const names = [{ ...repository, digest }, ...(tag !== undefined && !reference.digest ? [reference] : [])];
  const before = store.findNamed(reference);
  const received = await arriving(store, (arrival) =>
    receiveImage(arrival, { blob }, found, names, { ...options, check }),
  );
  const { metadata } = store;
  remember(() => {
    metadata.setOrigin(found.descriptor.digest, { from: name, at: Date.now() });
    for (const each of [...layers, received.id]) metadata.addSource(each, repositoryOf(reference));
  });
  return {
    reference: name,
    digest,
    id: received.id,
    platform: platformOf(received.config),
    isCurrent: received.isCurrent && before?.digest === found.descriptor.digest,
  };
}

/** What a name leads to, and, through an index, the manifest for a platform. */
async function findManifest(
  registry: Registry,
  reference: Reference,
  platform: Platform,
  signal: AbortSignal | undefined,
): Promise<{ digest: Digest; found: FoundManifest }> {
  const options = signal ? { signal } : {};
  const name = familiarReference(reference);
  const { tag: _, ...repository } = reference;
  const named = await registry.getManifest(reference, options);
  let { manifest, ...found } = named;
  for (let depth = 0; isImageIndex(manifest); depth++) {
    if (depth >= MAX_INDEX_DEPTH)
      throw new TsboxError(`read ${name}: image indexes in image indexes, more than ${depth}`, {
        code: "image_invalid",
      });
    const descriptor = chooseManifest(manifest, platform, name);
    const fetched = await registry.getManifest({ ...repository, digest: descriptor.digest }, options);
    checkBytes(fetched.bytes, descriptor, "the manifest");
    manifest = parseManifest(fetched.bytes, descriptor.mediaType, `the manifest of ${name}`);
    found = { bytes: fetched.bytes, descriptor };
  }
  return { digest: named.descriptor.digest, found };
}

/** An image alone is not chosen from others: it is for one platform, and has to be for that which was asked for. */
function checkPlatform(reference: Reference, offered: Platform, wanted: Platform | undefined): void {
  if (!wanted || platformMatches(offered, wanted) > 0) return;
  throw new TsboxError(`find ${familiarReference(reference)} for ${formatPlatform(wanted)}: there is none`, {
    code: "platform_not_found",
    hint: `it is for ${formatPlatform(offered)}`,
  });
}
