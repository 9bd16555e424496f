/** All that is known of an image, in the shape and the words of `docker image inspect`. @module */
import type { ContainerConfig, Digest, Manifest } from "../image/index.ts";
import type { StoredImage } from "../store/index.ts";
import { familiarNames } from "./summary.ts";

export interface ImageInspect {
  Id: Digest;
  RepoTags: string[];
  RepoDigests: string[];
  Parent: string;
  Comment: string;
  Created: string;
  Author: string;
  Config: ContainerConfig;
  Architecture: string;
  Variant?: string;
  Os: string;
  /** Of its files, unpacked. */
  Size: number;
  /** The directories that its file system is made of, the upper ones first; undefined where they are not unpacked. */
  GraphDriver: { Name: "overlay2"; Data: { LowerDir?: string } };
  RootFS: { Type: "layers"; Layers: Digest[] };
  /** When it came here. */
  Metadata: { LastTagTime: string };
  /** Digest, type and size of the manifest, and the blobs that it names. */
  Descriptor: { mediaType: string; digest: Digest; size: number };
  Manifest: Manifest;
}

const NEVER = "0001-01-01T00:00:00Z";

/**
 * @param layers that are unpacked, the lowest first
 * @param at when it came: milliseconds since 1970
 */
export function inspectImage(
  image: StoredImage,
  layers: readonly { fs: string; bytes: number }[],
  at: number | undefined,
): ImageInspect {
  const { names, descriptor, manifest, config } = image;
  const { tags, digests } = familiarNames(names);
  const { mediaType, digest, size } = descriptor;
  return {
    Id: manifest.config.digest,
    RepoTags: tags,
    RepoDigests: digests,
    Parent: "",
    Comment: config.history?.at(-1)?.comment ?? "",
    Created: config.created ?? NEVER,
    Author: config.author ?? "",
    Config: config.config ?? {},
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: layers.reduce((sum, { bytes }) => sum + bytes, 0),
    GraphDriver: {
      Name: "overlay2",
      Data:
        layers.length === 0
          ? {}
          : {
              LowerDir: layers
                .map(({ fs }) => fs)
                .toReversed()
                .join(":"),
            },
    },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: at === undefined ? NEVER : new Date(at).toISOString() },
    Descriptor: { mediaType, digest, size },
    Manifest: manifest,
  };
}
