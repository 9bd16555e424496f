/** Layers as EROFS images: the tar as it is, and an index of it that the kernel mounts. @module */
export { indexLayer, type IndexOptions } from "./index-layer.ts";
export { mountImage, type MountOptions } from "./mount.ts";
