/**
 * Damaged input for the decoders: `bun tests/fuzz-wasm.ts [COUNT [SEED]]`, so many inputs for each of them.
 *
 * Each input goes through two decoders with other leftovers in memory and in other pieces. Output or the number of the
 * error have to be the same: a read out of bounds would make them differ, or trap. Ends with exit status 1 on the first
 * input that breaks this, and prints it.
 * @module
 */
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { Inflate, Zstd, type FormatError } from "../wasm/index.ts";
import { mixed } from "./support/decoding.ts";

type Decoder = Inflate | Zstd;
interface Target {
  name: string;
  decoders: [Decoder, Decoder];
  corpus: Uint8Array[];
}

/** Small inputs can be large outputs; more than this is not looked at. */
const MAX_OUTPUT_BYTES = 512 * 1024;
const MAX_WINDOW_BYTES = 1024 * 1024;

/** xorshift32: the same seed finds the same inputs. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

export function targets(): Target[] {
  const contents = [0, 1, 50, 400, 3000, 6000].map((size) => mixed(size, size + 1));
  contents.push(new Uint8Array(20_000), Buffer.from("ab".repeat(700)));
  const each = (pack: (bytes: Uint8Array, level: number) => Uint8Array) =>
    contents.flatMap((bytes) => [1, 6, 9].map((level) => pack(bytes, level)));
  const zstd = each((bytes, level) => Bun.zstdCompressSync(bytes.slice(), { level: level * 2 }));
  const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
  const window = () => new Zstd({ maxWindowBytes: MAX_WINDOW_BYTES });
  const pair = (format: "raw" | "zlib" | "gzip"): [Inflate, Inflate] => [
    new Inflate({ format }),
    new Inflate({ format }),
  ];
  return [
    { name: "gzip", decoders: pair("gzip"), corpus: each((bytes, level) => gzipSync(bytes, { level })) },
    { name: "zlib", decoders: pair("zlib"), corpus: each((bytes, level) => deflateSync(bytes, { level })) },
    {
      name: "raw",
      decoders: pair("raw"),
      corpus: [
        ...each((bytes, level) => deflateRawSync(bytes, { level })),
        ...each((bytes) => deflateRawSync(bytes, { strategy: 4 })),
      ],
    },
    {
      name: "zstd",
      decoders: [window(), window()],
      corpus: [...zstd, ...zstd.slice(0, 8).map((bytes) => Buffer.concat([skippable, bytes, bytes]))],
    },
  ];
}

/** One to eight changes: bits, bytes, runs, pieces of others, an end that is missing. */
export function mutate(random: Random, corpus: Uint8Array[]): Uint8Array {
  let bytes = Uint8Array.from(corpus[random.below(corpus.length)] as Uint8Array);
  for (let left = 1 + random.below(8); left > 0 && bytes.length > 0; left--) {
    // headers and tables, at the beginning, decide the most
    let at = random.below(random.below(2) === 0 ? bytes.length : Math.min(bytes.length, 60));
    // magic numbers as well, but no more
    if (at < 4 && random.below(10) > 0) at = Math.min(bytes.length - 1, at + 4);
    const kind = random.below(8);
    if (kind < 3) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    else if (kind < 5) bytes[at] = random.below(256);
    else if (kind === 5)
      bytes.fill([0, 255][random.below(2)] as number, at, Math.min(bytes.length, at + random.below(12)));
    else if (kind === 6) bytes = bytes.slice(0, random.below(4) === 0 ? at : bytes.length);
    else {
      const other = corpus[random.below(corpus.length)] as Uint8Array;
      bytes.set(other.subarray(0, Math.min(other.length, bytes.length - at)).subarray(-random.below(60) - 1), at);
    }
  }
  return bytes;
}

/** A hash of the output, or the number of the error. */
function run(decoder: Decoder, bytes: Uint8Array, pieceBytes: number): string {
  decoder.reset();
  let size = 0;
  const parts: Uint8Array[] = [];
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes)
      for (const part of decoder.push(bytes.subarray(at, at + pieceBytes))) {
        parts.push(part.slice());
        if ((size += part.length) > MAX_OUTPUT_BYTES) return "large";
      }
    for (const part of decoder.end()) {
      parts.push(part.slice());
      if ((size += part.length) > MAX_OUTPUT_BYTES) return "large";
    }
    return `${Bun.hash(Buffer.concat(parts))}`;
  } catch (error) {
    const { name, status, offset } = error as FormatError;
    if (name !== "FormatError" || offset > bytes.length) throw error;
    return `status ${status}`;
  }
}

/** How often each outcome was met. @throws Error with the input that was treated in two ways, or broke something */
export function fuzz({ decoders, corpus, name }: Target, count: number, seed: number): Map<string, number> {
  const random = new Random(seed);
  const met = new Map<string, number>();
  for (let turn = 0; turn < count; turn++) {
    const bytes = mutate(random, corpus);
    let found: string[];
    try {
      found = [run(decoders[0], bytes, bytes.length + 1), run(decoders[1], bytes, 1 + random.below(300))];
    } catch (cause) {
      throw new Error(`${name}, ${bytes.toHex()}: ${cause as Error}`, { cause });
    }
    const [first = "", second] = found;
    if (first !== second) throw new Error(`${name}, ${bytes.toHex()}: ${first} and ${second}`);
    const key = /^\d/.test(first) ? "output" : first;
    met.set(key, (met.get(key) ?? 0) + 1);
  }
  return met;
}

if (import.meta.main) {
  const [count = 20_000, seed = 1] = process.argv.slice(2).map(Number);
  for (const target of targets()) {
    const met = fuzz(target, count, seed);
    const outcomes = [...met].toSorted((a, b) => b[1] - a[1]).map(([outcome, times]) => `${outcome}: ${times}`);
    console.log(`${target.name}, ${count} inputs: ${outcomes.join(", ")}`);
  }
}
