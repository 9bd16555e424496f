/** Configs and manifests of images that are made here. @module */
import {
  digestOf,
  hostPlatform,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
  type ContainerConfig,
  type Descriptor,
  type Digest,
  type HistoryEntry,
  type ImageConfig,
  type Manifest,
  type Platform,
} from "../image/index.ts";
import type { StoredImage } from "../store/index.ts";

export interface Blob {
  descriptor: Descriptor;
  bytes: Uint8Array;
}

/** JSON with a type, and what it is called. */
export function jsonBlob(mediaType: string, value: unknown): Blob {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

/** The date that everything made in a reproducible build has. @see https://reproducible-builds.org/specs/source-date-epoch/ */
export function creationTime(sourceDateEpoch = process.env["SOURCE_DATE_EPOCH"]): string {
  const seconds =
    sourceDateEpoch !== undefined && /^\d{1,11}$/.test(sourceDateEpoch) ? Number(sourceDateEpoch) : undefined;
  return (seconds === undefined ? new Date() : new Date(seconds * 1000)).toISOString();
}

export interface LayerChange {
  /** Of what was added; undefined where nothing was. */
  diffId: Digest | undefined;
  config: ContainerConfig;
  created: string;
  createdBy?: string;
  author?: string;
  comment?: string;
}

/** The config of an image with one layer more. */
export function extendConfig(base: ImageConfig, change: LayerChange): ImageConfig {
  const { diffId, config, created, createdBy, author, comment } = change;
  const step: HistoryEntry = {
    created,
    ...(createdBy === undefined ? {} : { created_by: createdBy }),
    ...(author === undefined ? {} : { author }),
    ...(comment === undefined ? {} : { comment }),
    ...(diffId === undefined ? { empty_layer: true } : {}),
  };
  return {
    ...base,
    created,
    ...(author === undefined ? {} : { author }),
    config,
    rootfs: { type: "layers", diff_ids: [...base.rootfs.diff_ids, ...(diffId === undefined ? [] : [diffId])] },
    history: [...(base.history ?? []), step],
  };
}

/** Of nothing. */
export function emptyConfig({ os, architecture, variant }: Platform = hostPlatform()): ImageConfig {
  return { os, architecture, ...(variant === undefined ? {} : { variant }), rootfs: { type: "layers", diff_ids: [] } };
}

export function manifestBlob(config: Descriptor, layers: Descriptor[]): Blob {
  const manifest: Manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers };
  return jsonBlob(OCI_MANIFEST, manifest);
}

export const configBlob = (config: ImageConfig): Blob => jsonBlob(OCI_CONFIG, config);

export const layerDescriptor = (digest: Digest, size: number, compression: "none" | "gzip" | "zstd"): Descriptor => ({
  mediaType: compression === "none" ? OCI_LAYER : `${OCI_LAYER}+${compression}`,
  digest,
  size,
});

export const platformOf = ({ os, architecture, variant }: ImageConfig): Platform => ({
  os,
  architecture,
  ...(variant === undefined ? {} : { variant }),
});

/** Of an image's own manifest, where its name may lead to an index of several. */
export function manifestDescriptor({ descriptor, manifest, manifestDigest }: StoredImage, size: number): Descriptor {
  if (descriptor.digest === manifestDigest) {
    const { mediaType, digest } = descriptor;
    return { mediaType, digest, size };
  }
  return { mediaType: manifest.mediaType ?? OCI_MANIFEST, digest: manifestDigest, size };
}
