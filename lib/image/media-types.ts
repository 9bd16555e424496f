/** What blobs and manifests say they are: the OCI's words, and Docker's for the same. @module */
import { show, TsboxError } from "../../syscalls/index.ts";

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
export const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
/** From before there were digests of what is in an image; nothing of it can be verified. */
export const DOCKER_SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/;

export const MANIFEST_TYPES: readonly string[] = [OCI_MANIFEST, DOCKER_MANIFEST];
export const INDEX_TYPES: readonly string[] = [OCI_INDEX, DOCKER_LIST];
export const CONFIG_TYPES: readonly string[] = [OCI_CONFIG, DOCKER_CONFIG];

export type Compression = "none" | "gzip" | "zstd";

const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer(\.nondistributable)?\.v1\.tar|docker\.image\.rootfs(\.foreign)?\.diff\.tar)(?:[+.](gzip|zstd))?$/;

export const isManifestType = (mediaType: string): boolean => MANIFEST_TYPES.includes(mediaType);
export const isIndexType = (mediaType: string): boolean => INDEX_TYPES.includes(mediaType);
export const isConfigType = (mediaType: string): boolean => CONFIG_TYPES.includes(mediaType);
export const isLayerType = (mediaType: string): boolean => LAYER.test(mediaType);

/** A layer that registries need not have; its descriptor says where it is. */
export function isForeignLayer(mediaType: string): boolean {
  const [, nondistributable, foreign] = LAYER.exec(mediaType) ?? [];
  return (nondistributable ?? foreign) !== undefined;
}

/** How a layer's tar is packed. @throws TsboxError `image_invalid` for what is no layer */
export function compressionOf(mediaType: string): Compression {
  const match = LAYER.exec(mediaType);
  if (match) return (match[3] as Compression | undefined) ?? "none";
  throw new TsboxError(`use the layer type ${show(mediaType)}: not that of a file system layer`, {
    code: "image_invalid",
  });
}
