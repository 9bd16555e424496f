/** Volumes: directories that last longer than containers. @module */
export { Volumes, type PrunedVolumes, type PruneVolumesOptions, type RemoveVolumeOptions } from "./volumes.ts";
export type { VolumeFilters } from "./filter.ts";
export { hasFileSystem as isMountedVolume } from "./driver.ts";
export type { Filling } from "./fill.ts";
export { nameProblem, newName as newVolumeName } from "./names.ts";
export { dataOf } from "./place.ts";
export { prepareVolume, releaseVolumes, useVolume, type VolumeSource } from "./use.ts";
export type * from "./mount.ts";
export type * from "./record.ts";
export { parseMount, parseTmpfs, parseVolume, type Refusal } from "./words.ts";
