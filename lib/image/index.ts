/** The nouns of images: names, digests, manifests, configs. Pure: what comes from others goes in, checked values come out. @module */
export {
  containerConfigReader,
  MAX_CONFIG_BYTES,
  parseImageConfig,
  type ContainerConfig,
  type Healthcheck,
  type HistoryEntry,
  type ImageConfig,
} from "./config.ts";
export {
  algorithmOf,
  chainIds,
  digestOf,
  Digester,
  hexOf,
  isDigest,
  parseDigest,
  type Digest,
  type DigestAlgorithm,
} from "./digest.ts";
export {
  checkIsImage,
  chooseManifest,
  descriptorReader,
  isImageIndex,
  MAX_INDEX_DEPTH,
  MAX_MANIFEST_BYTES,
  parseManifest,
  platformReader,
  readImageJson,
  type Descriptor,
  type ImageIndex,
  type Manifest,
} from "./manifest.ts";
export * from "./media-types.ts";
export {
  formatPlatform,
  hostPlatform,
  parsePlatform,
  platformMatches,
  platformWarning,
  type Platform,
} from "./platform.ts";
export {
  DEFAULT_DOMAIN,
  familiarReference,
  familiarRepository,
  formatReference,
  parseReference,
  repositoryOf,
  withDefaultTag,
  type Reference,
} from "./reference.ts";
