/** Images: what is done with them by their names. @module */
export { globOf } from "./glob.ts";
export type { HistoryStep } from "./history.ts";
export {
  Images,
  type DiskUsage,
  type MadeOptions,
  type PruneOptions,
  type PullOptions,
  type PushOptions,
  type RemovedImages,
  type TransferOptions,
} from "./images.ts";
export type { ImageInspect } from "./inspect.ts";
export type { LoadedImage } from "./load.ts";
export { emptyConfig, layerDescriptor } from "./config.ts";
export { assembleImage, type AssembleOptions, type CommitOptions, type ImportOptions } from "./make.ts";
export { collect, openNamed, sourcePieces, type ArchiveSource } from "./pieces.ts";
export type { ImageEvent, LayerEvent } from "./progress.ts";
export type { PulledImage } from "./pull.ts";
export type { PushedImage } from "./push.ts";
export type { ArchiveFormat } from "./save.ts";
export { momentOf, type ImageFilters, type ImageSummary } from "./summary.ts";
export { writeWholeFile } from "./whole-file.ts";
