/** Inflate against the implementations of others, in pieces of every size, and what it refuses. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import * as fflate from "fflate";
import { crc32, deflateRawSync, deflateSync, gzipSync, inflateRawSync } from "node:zlib";
import { FormatError, Inflate } from "../wasm/index.ts";
import { Bits, decode, mixed, outcome } from "./support/decoding.ts";

const gzip = new Inflate();
const zlib = new Inflate({ format: "zlib" });
const raw = new Inflate({ format: "raw" });
const encode = (text: string) => new TextEncoder().encode(text);
const joined = (...parts: (Uint8Array | number[])[]) => Buffer.concat(parts.map((part) => Uint8Array.from(part)));

const MIXED = mixed(1_500_000);

describe("what others compress", () => {
  test.each<[string, Inflate, (bytes: Uint8Array) => Uint8Array]>([
    ...[0, 1, 6, 9].map((level): [string, Inflate, (bytes: Uint8Array) => Uint8Array] => [
      `node:zlib gzip, level ${level}`,
      gzip,
      (bytes) => gzipSync(bytes, { level }),
    ]),
    ["node:zlib deflate", zlib, (bytes) => deflateSync(bytes)],
    ["node:zlib raw", raw, (bytes) => deflateRawSync(bytes)],
    ["node:zlib, fixed codes", raw, (bytes) => deflateRawSync(bytes, { strategy: 4 })],
    ["node:zlib, Huffman only", raw, (bytes) => deflateRawSync(bytes, { strategy: 2 })],
    [
      "Bun.gzipSync with libdeflate",
      gzip,
      (bytes) => Bun.gzipSync(bytes.slice(), { library: "libdeflate", level: 12 }),
    ],
    ["fflate gzip", gzip, (bytes) => fflate.gzipSync(bytes, { filename: "name", mtime: 0 })],
    ["fflate zlib", zlib, (bytes) => fflate.zlibSync(bytes)],
    ["gzip(1)", gzip, (bytes) => Bun.spawnSync(["gzip", "-9"], { stdin: bytes.slice(), stdout: "pipe" }).stdout],
  ])("%s", (_, decoder, compress) => {
    for (const bytes of [MIXED, new Uint8Array(), new Uint8Array(1_000_000), encode("x"), MIXED.subarray(0, 70_000)]) {
      const packed = compress(bytes);
      for (const sizes of [undefined, [65_536], [1000, 1, 77]]) {
        decoder.reset();
        expect(Buffer.compare(decode(decoder, packed, sizes), bytes)).toBe(0);
        expect(decoder.offset).toBe(packed.length);
      }
    }
  });

  test("any bytes, in any pieces", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      fc.integer().map((seed) => mixed(20_000, seed)),
    );
    const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(bytes, fc.integer({ min: 0, max: 9 }), sizes, (content, level, pieces) => {
        const packed = deflateRawSync(content, { level });
        expect(Buffer.compare(outcome(raw, packed, pieces) as Uint8Array, content)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test("members, one after another, each with a history of its own, and zeros behind them", () => {
    const members = [encode("one "), mixed(100_000), new Uint8Array(), encode("four")];
    const packed = joined(...members.map((bytes) => gzipSync(bytes)), new Uint8Array(1000));
    for (const sizes of [undefined, [1], [100, 3]])
      expect(Buffer.compare(outcome(gzip, packed, sizes) as Uint8Array, joined(...members))).toBe(0);
  });

  test("every field of a gzip header", () => {
    const body = deflateRawSync("content");
    const fields = [0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 1, 2, 3, 4, 0, 255, 5, 0, 1, 2, 3, 4, 5];
    const header = joined(fields, encode("name".repeat(1000)), [0], encode("a comment"), [0]);
    const sum = Buffer.alloc(2);
    sum.writeUInt16LE(crc32(header) & 0xffff);
    const trailer = gzipSync("content").subarray(-8);
    const packed = joined(header, sum, body, trailer);
    for (const sizes of [undefined, [1], [7, 2000]]) {
      expect(Buffer.from(outcome(gzip, packed, sizes) as Uint8Array).toString()).toBe("content");
      expect(
        outcome(
          gzip,
          packed.map((byte, at) => (at === 30 ? byte ^ 1 : byte)),
          sizes,
        ),
      ).toBe(33);
    }
    for (let length = 0; length < packed.length; length += 50)
      expect(outcome(gzip, packed.subarray(0, length))).toBe(16);
  });
});

describe("memory", () => {
  test("is bounded, and the same after a reset", () => {
    const packed = gzipSync(new Uint8Array(50_000_000));
    gzip.reset();
    const buffers = new Set<ArrayBuffer>();
    let total = 0;
    for (const output of [() => gzip.push(packed), () => gzip.end()]) {
      for (const view of output()) {
        total += view.length;
        buffers.add(view.buffer as ArrayBuffer);
      }
    }
    expect([total, buffers.size]).toEqual([50_000_000, 1]);
    expect([...buffers][0]?.byteLength).toBeLessThan(1024 * 1024);
  });

  test("the output of a piece has to be taken", () => {
    const decoder = new Inflate();
    decoder.push(gzipSync("x"));
    expect(() => decoder.push(new Uint8Array(1))).toThrow("was not taken");
    decoder.reset();
    expect(() => decode(decoder, encode("not gzip at all"))).toThrow(FormatError);
    expect(() => decoder.push(new Uint8Array(1))).toThrow("it has failed");
    decoder.reset();
    decode(decoder, gzipSync("x"));
    expect(() => decoder.push(new Uint8Array(1))).toThrow("it has ended");
  });
});

/** A last block with dynamic codes, up to the code lengths: `precode` are lengths in the format's order. */
const dynamic = (litlens: number, distances: number, precode: number[]) => {
  const bits = new Bits().number(1, 1).number(2, 2);
  bits
    .number(litlens - 257, 5)
    .number(distances - 1, 5)
    .number(precode.length - 4, 4);
  for (const length of precode) bits.number(length, 3);
  return bits;
};
/** Precode of 0 (code 0), 1 (code 10) and 18 (code 11): lengths 18 → 2, 0 → 1, 1 → 2. */
const ZERO_ONE = [0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const zeros = (bits: Bits, count: number) => {
  for (; count >= 11; count -= Math.min(count, 138)) bits.code("11").number(Math.min(count, 138) - 11, 7);
  for (; count > 0; count--) bits.code("0");
  return bits;
};
const withTrailer = (size: number, sum = 0) => {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(sum);
  trailer.writeUInt32LE(size, 4);
  return joined(gzipSync("content").subarray(0, -8), trailer);
};

describe("refused is", () => {
  test.each<[string, Inflate, number, () => Uint8Array]>([
    ["nothing at all", gzip, 16, () => new Uint8Array()],
    ["what ends in a header", gzip, 16, () => gzipSync("x").subarray(0, 9)],
    ["what ends in a block", gzip, 16, () => gzipSync(mixed(5000)).subarray(0, 300)],
    ["what ends in a stored block", raw, 16, () => joined([1, 5, 0, 250, 255, 1, 2])],
    ["what ends in a trailer", gzip, 16, () => gzipSync("x").subarray(0, -1)],
    ["what ends between blocks", raw, 16, () => new Bits().number(0, 1).number(1, 2).code("0000000").bytes()],
    ["another magic number", gzip, 17, () => encode("PK\x03\x04 and more")],
    ["something behind the last member", gzip, 18, () => joined(gzipSync("x"), [1])],
    ["something behind zeros", gzip, 18, () => joined(gzipSync("x"), [0, 0, 1])],
    ["something behind zlib", zlib, 18, () => joined(deflateSync("x"), [0])],
    ["something behind a raw stream", raw, 18, () => joined(deflateRawSync("x"), [0])],
    ["a wrong CRC-32", gzip, 19, () => withTrailer(7)],
    [
      "a wrong Adler-32",
      zlib,
      19,
      () => deflateSync("x").map((byte, at, all) => (at < all.length - 1 ? byte : byte ^ 1)),
    ],
    ["a wrong length", gzip, 74, () => withTrailer(8, crc32("content"))],
    ["a reserved flag", gzip, 20, () => gzipSync("x").map((byte, at) => (at === 3 ? 0x20 : byte))],
    ["a dictionary", zlib, 21, () => deflateSync("x", { dictionary: Buffer.from("xyz") })],
    ["another method", gzip, 32, () => gzipSync("x").map((byte, at) => (at === 2 ? 7 : byte))],
    ["a zlib header that does not add up", zlib, 34, () => joined([0x78, 0x9d], deflateRawSync("x"))],
    ["the reserved type of block", raw, 35, () => joined([7, 0, 0])],
    ["a stored length without its complement", raw, 36, () => joined([1, 5, 0, 5, 0])],
    ["287 literals and lengths", raw, 37, () => dynamic(287, 1, ZERO_ONE).bytes()],
    ["31 distances", raw, 37, () => dynamic(257, 31, ZERO_ONE).bytes()],
    ["a repetition of nothing", raw, 38, () => dynamic(257, 1, [1, 0, 0, 1]).code("1").number(0, 2).bytes()],
    ["a run over the end", raw, 38, () => zeros(dynamic(257, 1, ZERO_ONE), 138 * 2).bytes()],
    ["no end of block", raw, 39, () => zeros(dynamic(257, 1, ZERO_ONE), 258).bytes()],
    ["too many codes of a length", raw, 40, () => dynamic(257, 1, [1, 1, 1, 0]).bytes()],
    ["codes that are missing", raw, 40, () => dynamic(257, 1, [2, 2, 2, 0]).bytes()],
    [
      "codes of literals that are missing",
      raw,
      40,
      () =>
        zeros(dynamic(257, 1, [0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]), 256)
          .code("10 0")
          .bytes(),
    ],
    ["a code that stands for nothing", raw, 41, () => new Bits().number(1, 1).number(1, 2).code("11000110").bytes()],
    ["distance code 30", raw, 41, () => new Bits().number(1, 1).number(1, 2).code("00110000 0000001 11110").bytes()],
    [
      "a distance to before the beginning",
      raw,
      42,
      () => new Bits().number(1, 1).number(1, 2).code("00110000 0000001 00001 0000000").bytes(),
    ],
    [
      "a distance into another member",
      gzip,
      42,
      () =>
        joined(
          gzipSync("x"),
          gzipSync("").subarray(0, 10),
          new Bits().number(1, 1).number(1, 2).code("0000001 00000 0000000").bytes(),
        ),
    ],
  ])("%s", (_, decoder, status, input) => {
    const bytes = joined(input(), []);
    for (const sizes of [undefined, [1], [3, 1000]]) expect(outcome(decoder, bytes, sizes)).toBe(status);
  });

  test("what node:zlib refuses, and nothing else", () => {
    const packed = deflateRawSync(mixed(3000));
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = packed.map((byte, index) => (index === at ? byte ^ change : byte));
        const found = outcome(raw, damaged);
        let wanted: Uint8Array | undefined;
        try {
          wanted = inflateRawSync(damaged);
        } catch {}
        if (!wanted) expect(found).toBeNumber();
        // node:zlib does not mind what follows the end
        else if (found !== 18) expect(Buffer.compare(found as Uint8Array, wanted)).toBe(0);
        if (!wanted) refused++;
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});
