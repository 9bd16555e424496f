/** SHA-256 by a process beside this one, against node:crypto. @module */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { HashProcess } from "../syscalls/index.ts";

const hasInstructions = /\b(?:sha_ni|sha2)\b/.test(readFileSync("/proc/cpuinfo", "utf8"));
const isUsed = hasInstructions && navigator.hardwareConcurrency > 1;
const reason = isUsed ? "" : " (skipped: no SHA-256 instructions, or one processor)";
const native = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test("it is used where the processor can, and there is a second one", () => {
  using hashing = HashProcess.start();
  expect(hashing !== undefined).toBe(isUsed);
});

test.skipIf(!isUsed)(`every length up to three blocks, in pieces${reason}`, () => {
  const bytes = crypto.getRandomValues(new Uint8Array(192));
  for (let length = 0; length <= bytes.length; length++) {
    using hashing = HashProcess.start() as HashProcess;
    const [whole, halves] = [hashing.begin(), hashing.begin()];
    whole.update(bytes.subarray(0, length));
    halves.update(bytes.subarray(0, length >> 1));
    halves.update(bytes.subarray(length >> 1, length));
    expect(whole.digest().toHex()).toBe(native(bytes.subarray(0, length)));
    expect(halves.digest().toHex()).toBe(native(bytes.subarray(0, length)));
  }
});

test.skipIf(!isUsed)(`several at once, in pieces of any size, and their buffers used again at once${reason}`, () => {
  using hashing = HashProcess.start() as HashProcess;
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 0x7fffffff) / 0x7fffffff;
  const hashes = Array.from({ length: 3 }, () => ({ ours: hashing.begin(), theirs: createHash("sha256") }));
  const buffer = new Uint8Array(1_500_000);
  for (let round = 0; round < 60; round++) {
    const length = Math.floor(random() ** 4 * buffer.length);
    const piece = buffer.subarray(0, length);
    piece.fill(Math.floor(random() * 256));
    const { ours, theirs } = hashes[Math.floor(random() * 3)] as (typeof hashes)[number];
    ours.update(piece);
    theirs.update(piece);
  }
  for (const { ours, theirs } of hashes) expect(ours.digest().toHex()).toBe(theirs.digest("hex"));
});

test.skipIf(!isUsed)(`a process that was killed makes an error, and no digest${reason}`, () => {
  using hashing = HashProcess.start() as HashProcess;
  const hash = hashing.begin();
  hash.update(new Uint8Array(100_000));
  process.kill(hashing.pid, "SIGKILL");
  expect(() => hash.digest()).toThrow("it was killed");
});
