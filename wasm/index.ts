/**
 * The host side of the WebAssembly module: bytes in, bytes and numbers out, no I/O.
 * @module
 */
export { Inflate, type DeflateFormat, type InflateOptions } from "./inflate.ts";
export { createTarScanner, TAR_BLOCK_BYTES, type TarScanner } from "./scanner.ts";
export { HeaderScanner } from "./headers.ts";
export { writePax } from "./pax.ts";
export {
  applyLayer,
  compareStates,
  diffStates,
  OPAQUE,
  WHITEOUT_PREFIX,
  type DiffOptions,
  type FileState,
  type StateChanges,
} from "./states.ts";
export { FormatError } from "./status.ts";
export type { TarRecord, TarSegment, TarTime, TarType } from "./tar-entry.ts";
export { TarReader, type TarPiece } from "./tar-reader.ts";
export { statesOfTar } from "./tar-states.ts";
export { tarEnd, tarHeader, tarPadding, type TarHeader } from "./tar-writer.ts";
export { Zstd, type ZstdOptions } from "./zstd.ts";
