/** The WebAssembly module: compiled once per process, an instance with a memory of its own for each user. @module */
import { MODULE } from "./module.wasm.ts";

export interface Exports {
  memory: WebAssembly.Memory;
  checksum(offset: number): number;
  isZero(offset: number): number;
  putNumber(offset: number, length: number, value: bigint): void;
  putChecksum(offset: number): void;
  parseOctal(offset: number, length: number): bigint;
  scanHeader(offset: number): number;
  record: WebAssembly.Global;
  scratch: WebAssembly.Global;
  setInput(next: number, end: number, isLast: boolean): void;
  setOutput(out: number, outEnd: number, history: number): void;
  inputNext(): number;
  outputNext(): number;
  historyStart(): number;
  startInflate(format: number): void;
  inflate(): number;
  wantedSum: WebAssembly.Global;
  wantedSize: WebAssembly.Global;
  startZstd(literals: number, windowLimit: number): void;
  zstd(): number;
  windowBytes: WebAssembly.Global;
  sortRecords(records: number, count: number, keepsAll: boolean): number;
  // oxlint-disable-next-line max-params
  compareStates(
    lower: number,
    lowerCount: number,
    upper: number,
    upperCount: number,
    out: number,
    stack: number,
    opaque: boolean,
  ): void;
  splitWhiteouts(records: number, count: number, entries: number, whiteouts: number): void;
  // oxlint-disable-next-line max-params
  applyStates(
    lower: number,
    lowerCount: number,
    own: number,
    ownCount: number,
    marks: number,
    markCount: number,
    out: number,
  ): void;
  firstCount: WebAssembly.Global;
  secondCount: WebAssembly.Global;
  crc32(sum: number, offset: number, length: number): number;
  adler32(sum: number, offset: number, length: number): number;
}

/** The module's tables lie below, in the first page; what is above belongs to the host. */
export const FREE_OFFSET = 65_536;
const PAGE_BYTES = 65_536;

let compiled: WebAssembly.Module | undefined;

export function instantiate(sizeBytes: number): Exports {
  compiled ??= new WebAssembly.Module(Uint8Array.fromBase64(MODULE));
  const exports = new WebAssembly.Instance(compiled).exports as unknown as Exports;
  growTo(exports.memory, sizeBytes);
  return exports;
}

/** Views of the memory end with this where it grows. */
export function growTo(memory: WebAssembly.Memory, sizeBytes: number): void {
  const missing = sizeBytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
}
