/**
 * A layer, compressed: in parts, each a gzip member or a zstd frame of its own, which together are one gzip or zstd
 * stream. Parts are compressed side by side where the runtime has threads for it, and come out in order; the same bytes
 * are always the same stream, on any number of cores.
 * @module
 * @see RFC 1952 2.2, RFC 8878 3.1; docs/decisions/why-a-commit-is-not-compressed.md has the figures
 */
import { TsboxError } from "../../syscalls/index.ts";
import { Digester, type Digest } from "../image/index.ts";
import type { Sink } from "./pack.ts";

export interface CompressOptions {
  /** Of gzip 1 to 12, of zstd 1 to 19. @default 4 with gzip, 3 with zstd */
  level?: number;
  signal?: AbortSignal;
}

export interface Compressed {
  /** Of what came out. */
  digest: Digest;
  sizeBytes: number;
}

type Format = "gzip" | "zstd";
type Compress = (part: Uint8Array<ArrayBuffer>) => Uint8Array | Promise<Uint8Array>;

/** Of zstd the longer ones, as its windows are. */
const PART_BYTES: Record<Format, number> = { gzip: 1024 * 1024, zstd: 4 * 1024 * 1024 };
const LEVELS: Record<Format, { usual: number; most: number }> = {
  gzip: { usual: 4, most: 12 },
  zstd: { usual: 3, most: 19 },
};

/** Takes the pieces of a tar; each is copied, so it may be used again at once. */
export class Compressor {
  readonly #compress: Compress;
  readonly #sink: Sink;
  readonly #signal: AbortSignal | undefined;
  readonly #digester = new Digester();
  readonly #running: (Uint8Array | Promise<Uint8Array>)[] = [];
  readonly #most = Math.max(2, navigator.hardwareConcurrency);
  readonly #partBytes: number;
  #part: Uint8Array<ArrayBuffer>;
  #filled = 0;
  #parts = 0;
  #sizeBytes = 0;

  /** @throws TsboxError `invalid_option`; `unsupported` where the runtime cannot */
  constructor(format: Format, sink: Sink, { level, signal }: CompressOptions = {}) {
    this.#compress = compressorOf(format, levelOf(format, level));
    this.#partBytes = PART_BYTES[format];
    this.#part = new Uint8Array(this.#partBytes);
    this.#sink = sink;
    this.#signal = signal;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + this.#partBytes - this.#filled);
      this.#part.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled === this.#partBytes) await this.#next();
    }
  }

  async end(): Promise<Compressed> {
    // nothing at all is a stream as well
    if (this.#filled > 0 || this.#parts === 0) await this.#next();
    while (this.#running.length > 0) await this.#out();
    return { digest: this.#digester.digest(), sizeBytes: this.#sizeBytes };
  }

  async #next(): Promise<void> {
    this.#signal?.throwIfAborted();
    const running = this.#compress(this.#part.subarray(0, this.#filled));
    // it is waited for in its turn
    if (running instanceof Promise) running.catch(() => {});
    this.#running.push(running);
    this.#part = new Uint8Array(this.#partBytes);
    this.#filled = 0;
    this.#parts++;
    if (this.#running.length >= this.#most) await this.#out();
  }

  async #out(): Promise<void> {
    const bytes = await (this.#running.shift() as Uint8Array | Promise<Uint8Array>);
    this.#digester.update(bytes);
    this.#sizeBytes += bytes.length;
    await this.#sink(bytes);
  }
}

/** The pieces of a tar in, a gzip or zstd stream out. @throws TsboxError `unsupported` where the runtime cannot */
export async function compressLayer(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  format: Format,
  sink: Sink,
  options: CompressOptions = {},
): Promise<Compressed> {
  const compressor = new Compressor(format, sink, options);
  for await (const piece of pieces) await compressor.write(piece);
  return compressor.end();
}

function levelOf(format: Format, level: number | undefined): number {
  const { usual, most } = LEVELS[format];
  if (level === undefined) return usual;
  if (Number.isInteger(level) && level >= 1 && level <= most) return level;
  throw new TsboxError(`compress with ${format} at level ${level}: levels are 1 to ${most}`, {
    code: "invalid_option",
  });
}

/** What measured fastest: libdeflate in this thread, which has no other, and zstd in those of the runtime. */
function compressorOf(format: Format, level: number): Compress {
  if (typeof Bun !== "undefined")
    return format === "gzip"
      ? (part) => Bun.gzipSync(part, { library: "libdeflate", level: level as 4 })
      : (part) => Bun.zstdCompress(part, { level });
  const zlib = process.getBuiltinModule("node:zlib");
  const { promisify } = process.getBuiltinModule("node:util");
  if (format === "gzip") {
    const gzip = promisify(zlib.gzip) as (part: Uint8Array, options: { level: number }) => Promise<Uint8Array>;
    // zlib has none above
    return (part) => gzip(part, { level: Math.min(level, 9) });
  }
  if (!zlib.zstdCompress)
    throw new TsboxError("compress with zstd: this JavaScript runtime cannot", {
      code: "unsupported",
      hint: "use gzip",
    });
  const zstd = promisify(zlib.zstdCompress) as (part: Uint8Array, options: object) => Promise<Uint8Array>;
  return (part) => zstd(part, { params: { [zlib.constants.ZSTD_c_compressionLevel]: level } });
}
