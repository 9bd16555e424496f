/** Zstandard against the implementations of others, in pieces of every size, and what is refused. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import { Zstd } from "../wasm/index.ts";
import { decode, mixed, outcome } from "./support/decoding.ts";

const zstd = new Zstd();
const MIXED = mixed(1_500_000);
const joined = (...parts: ArrayLike<number>[]) => Buffer.concat(parts.map((part) => Uint8Array.from(part)));
const compress = (bytes: Uint8Array, level = 3) => Bun.zstdCompressSync(bytes.slice(), { level });
const command = (bytes: Uint8Array, ...flags: string[]) => {
  const { stdout, exitCode } = Bun.spawnSync(["zstd", "-q", "-c", ...flags], {
    stdin: bytes.slice(),
    stderr: "inherit",
  });
  expect(exitCode).toBe(0);
  return new Uint8Array(stdout);
};
const skippable = (size: number) => joined([0x5a, 0x2a, 0x4d, 0x18], le(size, 4), new Uint8Array(size));
function le(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, index) => Math.floor(value / 256 ** index) % 256);
}

describe("what others compress", () => {
  test.each([1, 3, 9, 19, 22])("Bun, level %d", (level) => roundTrips((bytes) => compress(bytes, level)));

  for (const flags of [["--check"], ["--fast=5", "--no-check"], ["-19", "--long=24"], ["--ultra", "-22"]]) {
    test.skipIf(Bun.which("zstd") === null)(`zstd ${flags.join(" ")}`, () =>
      roundTrips((bytes) => command(bytes, ...flags)),
    );
  }

  function roundTrips(pack: (bytes: Uint8Array) => Uint8Array): void {
    for (const bytes of [
      MIXED,
      new Uint8Array(),
      new Uint8Array(1_000_000),
      Buffer.from("x"),
      MIXED.subarray(0, 70_000),
    ]) {
      const packed = pack(bytes);
      for (const sizes of [undefined, [65_536], [1000, 1, 77]]) {
        zstd.reset();
        expect(Buffer.compare(decode(zstd, packed, sizes), bytes)).toBe(0);
        expect(zstd.offset).toBe(packed.length);
      }
    }
  }

  test("any bytes, in any pieces", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      fc.integer().map((seed) => mixed(20_000, seed)),
    );
    const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 19 }), sizes, (content, level, pieces) => {
        expect(Buffer.compare(outcome(zstd, compress(content, level), pieces) as Uint8Array, content)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test("frames, one after another, with skippable ones between, before and behind them", () => {
    const contents = [mixed(300_000, 5), new Uint8Array(), mixed(100, 6)];
    const packed = joined(skippable(0), ...contents.flatMap((bytes) => [compress(bytes), skippable(100_000)]));
    for (const sizes of [undefined, [1000], [7, 300_000]])
      expect(Buffer.compare(outcome(zstd, packed, sizes) as Uint8Array, joined(...contents))).toBe(0);
    expect(outcome(zstd, skippable(10))).toHaveLength(0);
  });

  test("a program", () => {
    const bytes = readFileSync(process.execPath).subarray(0, 8_000_000);
    for (const level of [1, 3, 12]) {
      const found = outcome(zstd, compress(bytes, level), [100_000]) as Uint8Array;
      expect(Buffer.compare(found, bytes)).toBe(0);
    }
  });
});

test("memory follows the window, and is used again", () => {
  const decoder = new Zstd();
  const sizes = new Set<number>();
  const packed = compress(new Uint8Array(50_000_000));
  for (let round = 0; round < 3; round++) {
    decoder.reset();
    for (const output of [() => decoder.push(packed), () => decoder.end()])
      for (const view of output()) sizes.add(view.buffer.byteLength);
  }
  expect(sizes.size).toBe(1);
  expect([...sizes][0]).toBeLessThan(2 ** 26);
});

/** A frame of one block, without a checksum; a window of 1 KiB where its size is not announced. */
const frame = (block: number[], type: number, size = block.length) =>
  joined([0x28, 0xb5, 0x2f, 0xfd, 0, 0], le(1 | (type << 1) | (size << 3), 3), block);
const compressed = (...block: number[]) => frame(block, 2);
/** Four raw literals. */
const LITERALS = [4 << 3, 97, 98, 99, 100];

describe("refused is", () => {
  const checked = compress(Buffer.from("content, content, content"), 3).slice();
  test.each<[string, number, Uint8Array]>([
    ["nothing at all", 16, new Uint8Array()],
    ["what ends in a magic number", 16, joined([0x28, 0xb5])],
    ["what ends in a header", 16, joined([0x28, 0xb5, 0x2f, 0xfd, 0])],
    ["what ends before a block", 16, joined([0x28, 0xb5, 0x2f, 0xfd, 0, 0])],
    ["what ends in a block", 16, compress(MIXED).subarray(0, 100_000)],
    ["what ends in a checksum", 16, frame([1], 0).map((byte, at) => (at === 4 ? 4 : byte))],
    ["what ends in a skippable frame", 16, skippable(100).subarray(0, 50)],
    ["another magic number", 17, Buffer.from("no zstd at all")],
    ["something behind a frame", 18, joined(checked, [1, 2, 3, 4, 5])],
    ["less than a magic number behind a frame", 18, joined(checked, [0x28])],
    [
      "a wrong checksum",
      19,
      joined(
        frame([1], 0).map((byte, at) => (at === 4 ? 4 : byte)),
        [1, 2, 3, 4],
      ),
    ],
    ["a reserved bit", 20, joined([0x28, 0xb5, 0x2f, 0xfd, 8, 0, 0, 0, 0])],
    ["a reserved bit of sequences", 20, compressed(...LITERALS, 1, 1, 0)],
    ["a dictionary", 21, joined([0x28, 0xb5, 0x2f, 0xfd, 1, 0, 7, 1, 0, 0])],
    ["the reserved type of block", 35, frame([0], 3)],
    ["a large window", 64, joined([0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0])],
    ["a large block", 65, frame([0], 1, 2000)],
    ["no literals", 66, compressed()],
    ["more literals than a block may have", 66, compressed(1 | (3 << 2) | 0xf0, 0xff, 0xff, 0)],
    ["literals that go on behind the block", 66, compressed(4 << 3, 97)],
    ["weights that go on behind the block", 67, compressed(...huffman(4, [100, 1]), 0)],
    ["weights that do not add up", 67, compressed(...huffman(4, [129, 0x33, 1]), 0)],
    ["weights of which none is 1", 67, compressed(...huffman(4, [128, 0x20, 1]), 0)],
    ["a table of an earlier block, for literals", 68, compressed(3 | (4 << 4), 0x40, 0, 1, 0)],
    ["a table of an earlier block, for sequences", 68, compressed(...LITERALS, 1, 0xfc, 1)],
    ["codes without an end", 69, compressed(...huffman(4, [129, 0x11, 0]), 0)],
    ["codes that are left over", 69, compressed(...huffman(1, [129, 0x11, 0xff]), 0)],
    ["sequences that are missing", 70, compressed(...LITERALS)],
    ["something behind no sequences", 70, compressed(...LITERALS, 0, 1)],
    ["a code of lengths above 35", 70, compressed(...LITERALS, 1, 0x54, 36, 0, 0, 1)],
    ["more literals than there are", 70, compressed(...LITERALS, 1, 0x54, 10, 0, 0, 1)],
    ["a distribution that is too exact", 71, compressed(...LITERALS, 1, 0x80, 15, 0, 0, 0)],
    ["a distribution of more than there is", 71, compressed(...LITERALS, 1, 0x80, 0, 0, 0, 0)],
    ["bits of sequences without an end", 72, compressed(...LITERALS, 1, 0x54, 0, 0, 0, 0)],
    ["bits of sequences that are left over", 72, compressed(...LITERALS, 1, 0x54, 2, 0, 0, 0xff)],
    ["an offset to before the beginning", 73, compressed(...LITERALS, 1, 0x54, 0, 0, 0, 1)],
    ["an announced size of another content", 74, joined([0x28, 0xb5, 0x2f, 0xfd, 0x20, 9], le(1 | (1 << 3), 3), [1])],
    [
      "more content than is announced",
      74,
      joined([0x28, 0xb5, 0x2f, 0xfd, 0x80, 0, 0, 0, 0, 0], le(1 | (1 << 3), 3), [1]),
    ],
  ])("%s", (_, status, input) => {
    for (const sizes of [undefined, [1], [3, 1000]]) expect(outcome(zstd, Uint8Array.from(input), sizes)).toBe(status);
  });

  test("a window above the bound, which is the caller's", () => {
    const packed = compress(MIXED);
    expect(outcome(new Zstd({ maxWindowBytes: 1000 }), packed)).toBe(64);
    expect(outcome(new Zstd({ maxWindowBytes: 8 * 1024 * 1024 }), packed)).toHaveLength(MIXED.length);
  });

  test("what Bun refuses; and what both take is the same", () => {
    const contents = [3, 19].map((level) => compress(mixed(3000), level));
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(1), fc.nat(3000), fc.integer({ min: 1, max: 255 }), (which, at, change) => {
        const packed = contents[which] as Uint8Array;
        const damaged = packed.map((byte, index) => (index === at % packed.length ? byte ^ change : byte));
        const found = outcome(zstd, damaged);
        let wanted: Uint8Array | undefined;
        try {
          wanted = Bun.zstdDecompressSync(damaged);
        } catch {}
        if (!wanted) refused++;
        if (wanted && typeof found !== "number") expect(Buffer.compare(found, wanted)).toBe(0);
        else if (!wanted) expect(found).toBeNumber();
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});

/** A section of Huffman coded literals in one stream. */
function huffman(size: number, packed: number[]): number[] {
  return [...le(2 | (size << 4) | (packed.length << 14), 3), ...packed];
}
