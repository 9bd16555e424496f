/** All that the host calls. */
export { checksum, parseOctal, isZero, putNumber, putChecksum, scanHeader, record, scratch } from "./tar";
export { setInput, setOutput, inputNext, outputNext, historyStart } from "./stream";
export { startInflate, inflate, wantedSum, wantedSize } from "./inflate";
export { crc32, adler32 } from "./checksums";
export { startZstd, zstd, windowBytes } from "./zstd";
export { sortRecords, compareStates, splitWhiteouts, applyStates, firstCount, secondCount } from "./diff";
