/**
 * Manifests and indexes of images, which come from anywhere.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/manifest.md, image-index.md
 */
import { list, matching, Mismatch, object, oneOf, otherwise, record, required, text, whole } from "../schema/index.ts";
import type { Reader } from "../schema/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { isDigest, type Digest } from "./digest.ts";
import { DOCKER_SCHEMA1, isConfigType, isIndexType, isLayerType, isManifestType } from "./media-types.ts";
import { formatPlatform, platformMatches, type Platform } from "./platform.ts";

/** A blob, by what is known of it. */
export interface Descriptor {
  mediaType: string;
  /** Of the bytes as they are stored. */
  digest: Digest;
  /** Bytes. */
  size: number;
  urls?: string[];
  annotations?: Record<string, string>;
  platform?: Platform;
  artifactType?: string;
}

export interface Manifest {
  schemaVersion: 2;
  mediaType?: string;
  config: Descriptor;
  /** The lowest first. */
  layers: Descriptor[];
  annotations?: Record<string, string>;
}

export interface ImageIndex {
  schemaVersion: 2;
  mediaType?: string;
  manifests: Descriptor[];
  annotations?: Record<string, string>;
}

/** Registries have no larger ones. */
export const MAX_MANIFEST_BYTES = 4 * 2 ** 20;
/** overlayfs takes no more, and who needs them is up to something. */
const MAX_LAYERS = 500;

export const digestReader: Reader<Digest> = (value) => {
  if (isDigest(value)) return value;
  throw new Mismatch(`${show(value)} is not a digest`);
};
const mediaTypeReader = matching(/^[\w.+-]+\/[\w.+-]+$/, "a media type");

export const platformReader = object<Platform>({
  os: otherwise(text, () => "linux"),
  architecture: otherwise(text, () => "unknown"),
  variant: (value) => (value === "" ? undefined : text(value)),
  "os.version": text,
  "os.features": list(text),
});

export const descriptorReader = object<Descriptor>({
  mediaType: required(mediaTypeReader),
  digest: required(digestReader),
  size: required(whole(0, Number.MAX_SAFE_INTEGER)),
  urls: list(text),
  annotations: record(text),
  platform: platformReader,
  artifactType: text,
});

const two = (value: unknown): 2 => {
  if (value === 2) return 2;
  throw new Mismatch(`the version ${show(value)} is not 2`);
};

const manifestReader = object<Manifest>({
  schemaVersion: required(two),
  mediaType: oneOf([
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
  ]),
  config: required(descriptorReader),
  layers: required(list(descriptorReader)),
  annotations: record(text),
});

const indexReader = object<ImageIndex>({
  schemaVersion: required(two),
  mediaType: oneOf([
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
  ]),
  manifests: required(list(descriptorReader)),
  annotations: record(text),
});

/** @param what is read: `the manifest of "debian"` @throws TsboxError `image_invalid` */
export function readImageJson<T>(what: string, bytes: Uint8Array, read: (value: unknown) => T): T {
  try {
    // of a name that is there twice, the last one counts, as it does for Go
    return read(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch (error) {
    if (error instanceof TsboxError) throw error;
    const why = error instanceof Mismatch ? `${error.where === "" ? "" : `${error.where}: `}${error.why}` : "no JSON";
    throw new TsboxError(`read ${what}: ${why}`, { code: "image_invalid", cause: error });
  }
}

export const isImageIndex = (value: Manifest | ImageIndex): value is ImageIndex => "manifests" in value;

/**
 * @param mediaType as it was announced, by a descriptor or a Content-Type; what the bytes are has to agree with it
 * @throws TsboxError `image_invalid`
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string, what = "the manifest"): Manifest | ImageIndex {
  if (bytes.length > MAX_MANIFEST_BYTES) throw invalid(what, `larger than ${MAX_MANIFEST_BYTES} bytes`);
  return readImageJson(what, bytes, (value) => {
    const fields = Object(value) as Record<string, unknown>;
    if (fields.schemaVersion === 1 || DOCKER_SCHEMA1.test(mediaType ?? ""))
      throw invalid(what, "of schema 1, of which nothing can be verified", "push the image again, with a newer tool");
    const isIndex = "manifests" in fields;
    // one that is both would be another image for whoever reads the other half
    if (isIndex && ("layers" in fields || "config" in fields))
      throw invalid(what, "manifest and index at the same time");
    const named = (isIndex ? indexReader : manifestReader)(value);
    for (const type of [mediaType, named.mediaType])
      if (type !== undefined && (isIndex ? isManifestType(type) : isIndexType(type)))
        throw invalid(what, `its type ${show(type)} is not what it is`);
    if (!isImageIndex(named) && named.layers.length > MAX_LAYERS) throw invalid(what, `more than ${MAX_LAYERS} layers`);
    return named;
  });
}

/** An artifact (a chart, a signature) has a manifest, too. @throws TsboxError `image_invalid` */
export function checkIsImage({ config, layers }: Manifest, what = "the manifest"): void {
  if (!isConfigType(config.mediaType)) throw invalid(what, `not of an image, but of ${show(config.mediaType)}`);
  const other = layers.find(({ mediaType }) => !isLayerType(mediaType));
  if (other) throw invalid(what, `a layer of the type ${show(other.mediaType)}`);
}

const invalid = (what: string, why: string, hint?: string): TsboxError =>
  new TsboxError(`read ${what}: ${why}`, { code: "image_invalid", ...(hint ? { hint } : {}) });

/** Of indexes in indexes. */
export const MAX_INDEX_DEPTH = 4;

/**
 * The manifest for a platform: that which suits it best, of several the first. Where there is none, an index that may
 * have it.
 * @throws TsboxError `platform_not_found`, with what there is
 */
export function chooseManifest(index: ImageIndex, wanted: Platform, what = "the image"): Descriptor {
  const images = index.manifests.filter(({ mediaType }) => isManifestType(mediaType) || isIndexType(mediaType));
  const ranked = images.map((descriptor) => ({
    descriptor,
    rank: descriptor.platform ? platformMatches(descriptor.platform, wanted) : 0,
  }));
  const best = Math.max(0, ...ranked.map(({ rank }) => rank));
  const found = best > 0 ? ranked.find(({ rank }) => rank === best) : undefined;
  if (found) return found.descriptor;
  // an index of one image that does not say what it is for
  const [only] = images;
  if (only && images.length === 1 && !only.platform) return only;
  const inner = images.find(({ mediaType, platform }) => isIndexType(mediaType) && !platform);
  if (inner) return inner;
  const offered = [...new Set(images.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : [])))];
  throw new TsboxError(`find ${what} for ${formatPlatform(wanted)}: there is none`, {
    code: "platform_not_found",
    hint:
      offered.length === 0
        ? "it has no images at all"
        : `it has ${offered.filter((name) => name !== "unknown/unknown").join(", ")}`,
  });
}
