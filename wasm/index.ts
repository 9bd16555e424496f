/**
 * The host side of the WebAssembly modules: bytes in, numbers out, no I/O.
 * @module
 */
import { TAR_WASM } from "./tar.wasm.ts";

/** Size of a tar block, in bytes. */
export const TAR_BLOCK_BYTES = 512;

/** Reads numbers out of the tar headers that lie in its window. */
export interface TarScanner {
  /** 64 KiB that the caller fills with tar blocks; offsets below count from its start. */
  readonly window: Uint8Array<ArrayBuffer>;
  /** The checksum that the header at `offset` ought to carry. */
  checksum(offset: number): number;
  /** The number in the octal or base-256 field at `offset`; undefined when it is malformed, negative or above 2^53. */
  parseOctal(offset: number, lengthBytes: number): number | undefined;
}

interface TarExports {
  memory: WebAssembly.Memory;
  checksum(offset: number): number;
  parseOctal(offset: number, length: number): bigint;
}

let tarModule: WebAssembly.Module | undefined;

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
  tarModule ??= new WebAssembly.Module(Uint8Array.fromBase64(TAR_WASM));
  const { memory, checksum, parseOctal } = new WebAssembly.Instance(tarModule).exports as unknown as TarExports;
  return {
    window: new Uint8Array(memory.buffer as ArrayBuffer),
    checksum,
    parseOctal(offset, lengthBytes) {
      const value = parseOctal(offset, lengthBytes);
      return value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(value);
    },
  };
}
