/**
 * SHA-256 by a process that shares the memory, while this thread goes on: where there is a second processor, hashing
 * takes no time of the one that decodes (measured: 0.13 s of the 0.55 s that a layer of 170 MB takes here).
 *
 * The process is a {@link Walker}, and what it walks are calls of `sha256/sha256.c`.
 * @module
 * @see https://csrc.nist.gov/pubs/fips/180-4/upd1/final
 */
import { mapCode } from "./kernel.ts";
import { runtime } from "./ffi/index.ts";
import { ARCH } from "./numbers.ts";
import { CALL, Walker } from "./walker.ts";
import { SHA256_BLOB } from "./sha256/blob.ts";

const BLOCK_BYTES = 64;
/** Copied at a time: small enough that it is still in the core's cache. */
const PART_BYTES = 256 * 1024;
const INITIAL = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
] as const;
const STATE_BYTES = 32;
const IDLE = { failed: ({ at }: { at: number }) => at, reached: () => {} };

let code: number | undefined;

/** Where the machine code is; undefined without the instructions, or a second processor. */
function findCode(): number | undefined {
  if (code === undefined) {
    const address = mapCode(SHA256_BLOB[ARCH]);
    const isFaster = (globalThis.navigator?.hardwareConcurrency ?? 1) > 1 && runtime.native(address, 0)() === 1;
    code = isFaster ? address : 0;
  }
  return code === 0 ? undefined : code + 8;
}

/** A hash in the making. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** To be called once; it waits for the process. */
  digest(): Uint8Array;
}

export class HashProcess implements Disposable {
  readonly #walker: Walker<undefined>;
  readonly #blocks: number;

  private constructor(blocks: number) {
    this.#walker = new Walker<undefined>([], IDLE);
    this.#blocks = blocks;
  }

  get pid(): number {
    return this.#walker.pid;
  }

  /** Undefined where it would not be faster than hashing here. */
  static start(): HashProcess | undefined {
    const blocks = findCode();
    return blocks === undefined ? undefined : new HashProcess(blocks);
  }

  [Symbol.dispose](): void {
    this.#walker[Symbol.dispose]();
  }

  /** Any number of them share the process. */
  begin(): Sha256 {
    const walker = this.#walker;
    const state = walker.constant(new Uint8Array(Uint32Array.from(INITIAL).buffer));
    const rest = new Uint8Array(BLOCK_BYTES);
    let sizeBytes = 0;
    const take = (bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length; at += PART_BYTES) {
        const part = bytes.subarray(at, at + PART_BYTES);
        walker.reserve(1, part.length);
        walker.call(0, undefined, CALL, 0, 0, this.#blocks, state, walker.place(part), part.length / BLOCK_BYTES);
      }
    };
    const update = (bytes: Uint8Array) => {
      const filled = sizeBytes % BLOCK_BYTES;
      sizeBytes += bytes.length;
      let at = 0;
      if (filled > 0) {
        at = Math.min(BLOCK_BYTES - filled, bytes.length);
        rest.set(bytes.subarray(0, at), filled);
        if (filled + at < BLOCK_BYTES) return;
        take(rest);
      }
      const whole = at + Math.floor((bytes.length - at) / BLOCK_BYTES) * BLOCK_BYTES;
      take(bytes.subarray(at, whole));
      rest.set(bytes.subarray(whole));
    };
    const digest = () => {
      const length = new DataView(new ArrayBuffer(8));
      length.setBigUint64(0, BigInt(sizeBytes) * 8n);
      const zeros = (2 * BLOCK_BYTES - 9 - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
      update(new Uint8Array([0x80, ...new Uint8Array(zeros), ...new Uint8Array(length.buffer)]));
      walker.flush();
      walker.settle();
      return bigEndian(walker.constantAt(state, STATE_BYTES));
    };
    return { update, digest };
  }
}

function bigEndian(words: Uint8Array): Uint8Array {
  const [from, to] = [new DataView(words.buffer, words.byteOffset), new DataView(new ArrayBuffer(words.length))];
  for (let at = 0; at < words.length; at += 4) to.setUint32(at, from.getUint32(at, true));
  return new Uint8Array(to.buffer);
}
