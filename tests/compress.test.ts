/** Compressed layers, as gzip, zstd, the runtime and this library read them. @module */
import { expect, test } from "bun:test";
import { digestOf } from "../lib/image/index.ts";
import { compressLayer, type CompressOptions } from "../lib/layer/index.ts";
import { Inflate, Zstd } from "../wasm/index.ts";
import { failureOf } from "./support/failure.ts";

/** More than one part, of what can be compressed and what cannot. */
const tar = new Uint8Array(9_000_001).map((_, at) => (at % 3_000_000 < 1_000_000 ? (at * at * 7919) >> 9 : at >> 12));

async function compressed(bytes: Uint8Array, format: "gzip" | "zstd", options?: CompressOptions) {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const pieces = function* () {
    const piece = new Uint8Array(700_000);
    for (let at = 0; at < bytes.length; at += piece.length) {
      const part = bytes.subarray(at, at + piece.length);
      piece.set(part);
      yield piece.subarray(0, part.length);
      piece.fill(0xff);
    }
  };
  const result = await compressLayer(pieces(), format, (part) => void parts.push(part.slice()), options);
  return { ...result, bytes: new Uint8Array(await new Blob(parts).arrayBuffer()) };
}

function decoded(decoder: Inflate | Zstd, bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const part of decoder.push(bytes)) parts.push(part.slice());
  for (const part of decoder.end()) parts.push(part.slice());
  return Buffer.concat(parts);
}

test.each(["gzip", "zstd"] as const)("%s comes out as what went in", async (format) => {
  for (const bytes of [tar, new Uint8Array(), tar.subarray(0, 1)]) {
    const { bytes: stored, digest, sizeBytes } = await compressed(bytes, format);
    expect([digest, sizeBytes]).toEqual([digestOf(stored), stored.length]);
    const own = decoded(format === "gzip" ? new Inflate() : new Zstd(), stored);
    expect(Buffer.compare(own, bytes)).toBe(0);
    const { stdout, exitCode } = Bun.spawnSync([format, "-dc"], { stdin: stored });
    expect([exitCode, Buffer.compare(stdout, bytes)]).toEqual([0, 0]);
  }
});

test.each(["gzip", "zstd"] as const)("%s is the same every time, smaller with a higher level", async (format) => {
  const [first, second, least] = [
    await compressed(tar, format),
    await compressed(tar, format),
    await compressed(tar, format, { level: 1 }),
  ];
  expect(second.digest).toBe(first.digest);
  expect(first.sizeBytes).toBeLessThan(least.sizeBytes);
});

test("a level that there is none of, and a signal", async () => {
  expect(await failureOf(() => compressed(tar, "gzip", { level: 13 }))).toMatchObject({ code: "invalid_option" });
  expect(await failureOf(() => compressed(tar, "zstd", { level: 0 }))).toMatchObject({ code: "invalid_option" });
  await expect(compressed(tar, "zstd", { signal: AbortSignal.abort() })).rejects.toThrow("abort");
});
