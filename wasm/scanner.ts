/** Numbers of tar headers, read and written in a window of WebAssembly's memory. @module */
import { FREE_OFFSET, instantiate } from "./module.ts";

const WINDOW_BYTES = 65_536;

/** Size of a tar block, in bytes. */
export const TAR_BLOCK_BYTES = 512;

/** Reads and writes the numbers of tar headers that lie in its window. */
export interface TarScanner {
  /** 64 KiB that the caller fills with tar blocks; offsets below count from its start. */
  readonly window: Uint8Array<ArrayBuffer>;
  /** The checksum that the header at `offset` ought to carry. */
  checksum(offset: number): number;
  /** The number in the octal or base-256 field at `offset`; undefined when it is malformed, negative or above 2^53. */
  parseOctal(offset: number, lengthBytes: number): number | undefined;
  /** Whether the block at `offset` is all zeros, as those at the end of an archive are. */
  isZero(offset: number): boolean;
  /** Writes a whole number of 0 or more into a field: in octal, or in base-256 where that is too small for it. */
  putNumber(offset: number, lengthBytes: number, value: number): void;
  /** Writes the checksum of the header at `offset`, which has to be complete but for it. */
  putChecksum(offset: number): void;
}

/**
 * Makes a scanner with a window of its own; the module is compiled once per process.
 *
 * @example
 * ```ts
 * const tar = createTarScanner();
 * tar.window.set(header); // 512 bytes
 * if (tar.parseOctal(148, 8) !== tar.checksum(0)) throw new Error("not a tar header");
 * const sizeBytes = tar.parseOctal(124, 12);
 * ```
 */
export function createTarScanner(): TarScanner {
  const { memory, checksum, parseOctal, isZero, putNumber, putChecksum } = instantiate(FREE_OFFSET + WINDOW_BYTES);
  return {
    window: new Uint8Array(memory.buffer as ArrayBuffer, FREE_OFFSET),
    checksum: (offset) => checksum(FREE_OFFSET + offset),
    isZero: (offset) => isZero(FREE_OFFSET + offset) !== 0,
    putNumber: (offset, lengthBytes, value) => putNumber(FREE_OFFSET + offset, lengthBytes, BigInt(value)),
    putChecksum: (offset) => putChecksum(FREE_OFFSET + offset),
    parseOctal(offset, lengthBytes) {
      const value = parseOctal(FREE_OFFSET + offset, lengthBytes);
      return value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(value);
    },
  };
}
