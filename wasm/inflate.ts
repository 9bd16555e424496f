/** Inflate: gzip with any number of members, zlib, and raw deflate. @module */
import { Decoder, type Bytes } from "./decoder.ts";
import { CHECKSUM, CONTENT_SIZE } from "./status.ts";

export type DeflateFormat = "raw" | "zlib" | "gzip";
export interface InflateOptions {
  /** @default "gzip" */
  format?: DeflateFormat;
}

type Crc32 = (data: Uint8Array, sum: number) => number;

const FORMATS: Record<DeflateFormat, number> = { raw: 0, zlib: 1, gzip: 2 };
const WINDOW_BYTES = 32 * 1024;
/** Small enough to stay in a core's own cache until the caller has looked at it. */
const ROOM_BYTES = 256 * 1024;

/** The native one: WebAssembly has no carry-less multiplication. */
const nativeCrc32 = (): Crc32 | undefined =>
  (globalThis.process?.getBuiltinModule?.("node:zlib") as { crc32?: Crc32 } | undefined)?.crc32;

/**
 * Inflates gzip (any number of members), zlib or raw deflate; checksums and lengths are compared.
 *
 * @example
 * ```ts
 * const inflate = new Inflate();
 * let sizeBytes = 0;
 * for (const part of inflate.push(Bun.gzipSync("x".repeat(1000)))) sizeBytes += part.length;
 * for (const part of inflate.end()) sizeBytes += part.length;
 * console.log(sizeBytes); // 1000
 * ```
 */
export class Inflate extends Decoder {
  protected readonly historyBytes = WINDOW_BYTES;
  protected readonly roomBytes = ROOM_BYTES;
  readonly #format: DeflateFormat;
  readonly #crc32: Crc32;
  #sum = 0;
  /** Modulo 2^32, as gzip has it. */
  #size = 0;

  constructor({ format = "gzip" }: InflateOptions = {}) {
    super("inflate");
    if (!Object.hasOwn(FORMATS, format)) throw new TypeError(`inflate: the format ${JSON.stringify(format)} is none`);
    this.#format = format;
    this.#crc32 = nativeCrc32() ?? ((data, sum) => this.wasm.crc32(sum, data.byteOffset, data.length) >>> 0);
    this.reset();
  }

  protected start(): void {
    this.wasm.startInflate(FORMATS[this.#format]);
    this.#begin();
  }

  protected step(): number {
    return this.wasm.inflate();
  }

  protected override sum(output: Bytes): void {
    this.#size = (this.#size + output.length) % 2 ** 32;
    if (this.#format === "gzip") this.#sum = this.#crc32(output, this.#sum);
    else if (this.#format === "zlib") this.#sum = this.wasm.adler32(this.#sum, output.byteOffset, output.length) >>> 0;
  }

  protected override compare(): number {
    const wanted = (value: WebAssembly.Global) => (value.value as number) >>> 0;
    if (this.#format !== "raw" && wanted(this.wasm.wantedSum) !== this.#sum) return CHECKSUM;
    if (this.#format === "gzip" && wanted(this.wasm.wantedSize) !== this.#size) return CONTENT_SIZE;
    this.#begin();
    return 0;
  }

  #begin(): void {
    this.#sum = this.#format === "zlib" ? 1 : 0;
    this.#size = 0;
  }
}
