/** Tar archives: bytes to entries, and entries to bytes. @module */
export { tarEnd, tarHeader, tarPadding, type TarHeader, type TarTime } from "../../wasm/index.ts";
export { readTar, type TarEntry, type TarType } from "./reader.ts";
