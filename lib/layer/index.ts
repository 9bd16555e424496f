/** Layers: unpacked, packed, and what an overlay has changed. @module */
export { OPAQUE, WHITEOUT_PREFIX } from "../../wasm/index.ts";
export { changesOf, type Change } from "./changes.ts";
export { compressLayer, Compressor, type Compressed, type CompressOptions } from "./compress.ts";
export { attributesOf, withImageIds, type IdMaps, type ImageIds } from "./attributes.ts";
export { LayerFiles } from "./files.ts";
export { DT, GROUP, isWhiteout, textOf, type Looked, type Looker, type Stated, type StatedGroup } from "./look.ts";
export { joinPath, Tree, type Found, type Level, type Merged, type Pending } from "./merged.ts";
export { Reading } from "./reading.ts";
export { rightsFor, type Rights } from "./rights.ts";
export { packLayer, packLayers, packTree, type Packed, type PackLimits, type PackOptions, type Sink } from "./pack.ts";
export { SortedArchive } from "./sorted-archive.ts";
export { DEFAULT_LIMITS, type UnpackLimits } from "./limits.ts";
export { TreeUnpacking, unpackLayer, type LayerSource, type UnpackedLayer, type UnpackOptions } from "./unpack.ts";
export { changeOwners } from "./owners.ts";
export { adoptDirectories } from "./adopt.ts";
export { bytesOfName, pathOf, textOfName } from "./names.ts";
export { removeTreeAs } from "./remove.ts";
export { unpackLayers, type LayerJob, type UnpackLayersOptions } from "./workers.ts";
