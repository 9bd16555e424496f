/** Zstandard, but for dictionaries. @module */
import { Decoder, LITERALS } from "./decoder.ts";

export interface ZstdOptions {
  /** Frames that need a larger window are refused; 1 GiB at most. @default 128 MiB, as zstd(1) has it */
  maxWindowBytes?: number;
}

const DEFAULT_WINDOW_BYTES = 128 * 1024 ** 2;
const MAX_WINDOW_BYTES = 1024 ** 3;
/** Moving a window to the front costs as much as the window is long. */
const [MIN_ROOM_BYTES, MAX_ROOM_BYTES] = [1024 ** 2, 16 * 1024 ** 2];

/**
 * Decodes zstd: any number of frames, skippable ones among them; checksums and lengths are compared.
 *
 * Memory follows the windows that frames need, up to the bound; it is not given back before the decoder is.
 *
 * @example
 * ```ts
 * const zstd = new Zstd({ maxWindowBytes: 8 * 1024 * 1024 });
 * let sizeBytes = 0;
 * for (const part of zstd.push(Bun.zstdCompressSync("x".repeat(1000)))) sizeBytes += part.length;
 * for (const part of zstd.end()) sizeBytes += part.length;
 * console.log(sizeBytes); // 1000
 * ```
 */
export class Zstd extends Decoder {
  readonly #limit: number;

  constructor({ maxWindowBytes = DEFAULT_WINDOW_BYTES }: ZstdOptions = {}) {
    super("decode zstd");
    if (!(maxWindowBytes > 0)) throw new RangeError(`decode zstd: no windows of up to ${maxWindowBytes} bytes`);
    this.#limit = Math.min(maxWindowBytes, MAX_WINDOW_BYTES);
    this.reset();
  }

  protected start(): void {
    this.wasm.startZstd(LITERALS, this.#limit);
  }

  protected step(): number {
    return this.wasm.zstd();
  }

  protected get historyBytes(): number {
    return Number(this.wasm.windowBytes.value);
  }

  protected get roomBytes(): number {
    return Math.min(Math.max(this.historyBytes, MIN_ROOM_BYTES), MAX_ROOM_BYTES);
  }
}
