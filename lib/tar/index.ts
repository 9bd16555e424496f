/** Tar archives: bytes to entries, and entries to bytes. @module */
export { readTar, type TarEntry, type TarType } from "./reader.ts";
export { tarEnd, tarHeader, tarPadding, type TarHeader } from "./writer.ts";
