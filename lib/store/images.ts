/** Images of a store: from a name in `index.json` over a manifest to a config, each checked. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import {
  chainIds,
  checkIsImage,
  chooseManifest,
  formatReference,
  hexOf,
  hostPlatform,
  isDigest,
  isImageIndex,
  MAX_CONFIG_BYTES,
  MAX_INDEX_DEPTH,
  MAX_MANIFEST_BYTES,
  parseImageConfig,
  parseManifest,
  parseReference,
  platformMatches,
  repositoryOf,
  withDefaultTag,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type ImageIndex,
  type Manifest,
  type Platform,
  type Reference,
} from "../image/index.ts";
import { blobStatus, readBlob } from "./blobs.ts";
import type { IndexFile } from "./index-file.ts";
import type { StoreRoot } from "./root.ts";

export interface StoredImage {
  /** As they are written; an image may have none. */
  names: string[];
  /** As `index.json` has it: of a manifest, or of an image index. */
  descriptor: Descriptor;
  manifestDigest: Digest;
  /** The digest of its config: Docker's image id. */
  id: Digest;
  platform: Platform;
  manifest: Manifest;
  config: ImageConfig;
}

/** A layer of an image, unpacked or not. */
export interface ImageLayer {
  chainId: Digest;
  diffId: Digest;
  descriptor: Descriptor;
  /** The chainId of all below it. */
  parent?: Digest;
}

/**
 * @throws TsboxError `image_not_found` where a part of it is missing, `image_invalid`, `digest_mismatch`,
 *   `platform_not_found`
 */
export function loadImage(root: StoreRoot, names: string[], descriptor: Descriptor, platform?: Platform): StoredImage {
  const what = names[0] === undefined ? descriptor.digest : show(names[0]);
  const { digest, manifest } = manifestFor(root, descriptor, what, platform);
  checkIsImage(manifest, `the manifest of ${what}`);
  const bytes = readBlob(root, manifest.config.digest, MAX_CONFIG_BYTES);
  const config = parseImageConfig(bytes, `the config of ${what}`);
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    throw new TsboxError(
      `read ${what}: its manifest has ${manifest.layers.length} layers, its config ${config.rootfs.diff_ids.length}`,
      { code: "image_invalid" },
    );
  }
  const { os, architecture, variant } = config;
  const made = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  if (platform && platformMatches(made, platform) === 0) {
    throw new TsboxError(`find ${what} for ${platform.os}/${platform.architecture}: it is for ${os}/${architecture}`, {
      code: "platform_not_found",
    });
  }
  return { names, descriptor, manifestDigest: digest, id: manifest.config.digest, platform: made, manifest, config };
}

/** Undefined where it cannot be used, for whatever reason. */
export function tryLoad(root: StoreRoot, descriptor: Descriptor): StoredImage | undefined {
  try {
    return loadImage(root, [], descriptor);
  } catch {
    return undefined;
  }
}

function manifestFor(
  root: StoreRoot,
  descriptor: Descriptor,
  what: string,
  platform: Platform | undefined,
): { digest: Digest; manifest: Manifest } {
  let { digest, mediaType } = descriptor;
  for (let depth = 0; depth < MAX_INDEX_DEPTH; depth++) {
    const read = parseManifest(readBlob(root, digest, MAX_MANIFEST_BYTES), mediaType, `the manifest of ${what}`);
    if (!isImageIndex(read)) return { digest, manifest: read };
    ({ digest, mediaType } = chosen(root, read, what, platform));
  }
  throw new TsboxError(`read ${what}: image indexes in image indexes, more than ${MAX_INDEX_DEPTH}`, {
    code: "image_invalid",
  });
}

/** For this machine, or, where nobody asked for a platform and it is not there, any that is. */
function chosen(root: StoreRoot, index: ImageIndex, what: string, platform: Platform | undefined): Descriptor {
  if (platform) return chooseManifest(index, platform, what);
  const there = index.manifests.filter(({ digest }) => blobStatus(root, digest));
  if (there.length === 0) return chooseManifest(index, hostPlatform(), what);
  try {
    return chooseManifest({ ...index, manifests: there }, hostPlatform(), what);
  } catch {
    return there[0] as Descriptor;
  }
}

/** The lowest first. */
export function layersOf({ manifest, config }: StoredImage): ImageLayer[] {
  const { diff_ids } = config.rootfs;
  const chain = chainIds(diff_ids);
  return manifest.layers.map((descriptor, at) => {
    const parent = chain[at - 1];
    return {
      chainId: chain[at] as Digest,
      diffId: diff_ids[at] as Digest,
      descriptor,
      ...(parent === undefined ? {} : { parent }),
    };
  });
}

/** What a name leads to: written so, or with Docker's defaults added, or by this digest from this repository. */
export function findNamed(
  index: IndexFile,
  name: Reference | string,
): { descriptor: Descriptor; names: string[] } | undefined {
  const written = index.find(typeof name === "string" ? name : formatReference(name));
  if (written) return written;
  const reference = typeof name === "string" ? parsed(name) : name;
  if (!reference) return undefined;
  const { tag: _, ...untagged } = reference;
  // a tag beside a digest does not count
  const named = index.find(formatReference(reference.digest ? untagged : withDefaultTag(reference)));
  if (named || !reference.digest) return named;
  const repository = repositoryOf(reference);
  for (const entry of index.entries) {
    if (entry.descriptor?.digest !== reference.digest || entry.name === undefined) continue;
    const other = parsed(entry.name);
    if (other && repositoryOf(other) === repository) return index.find(entry.name);
  }
  return undefined;
}

function parsed(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

const ID = /^(?:sha256:)?[0-9a-f]{1,64}$/;
/** Whether a text may be the beginning of an id. */
export const isIdPrefix = (text: string): boolean => ID.test(text) || isDigest(text);

/** Whether an id begins so. */
export const hasPrefix = (digest: Digest, prefix: string): boolean =>
  digest.startsWith(prefix) || hexOf(digest).startsWith(prefix);
