/**
 * Digests: what bytes are called. A **digest** is of a blob as it is stored, a **diffId** of a layer's tar, uncompressed,
 * a **chainId** of a layer together with all those below it.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
 */
import { show, TsboxError } from "../../syscalls/index.ts";

export type DigestAlgorithm = "sha256" | "sha512";
/** `sha256:` and 64 hexadecimal digits, or `sha512:` and 128. */
export type Digest = `${DigestAlgorithm}:${string}`;

/** Lower case only, and so nothing that a path could be led astray by. */
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export const isDigest = (value: unknown): value is Digest => typeof value === "string" && DIGEST.test(value);

/** @throws TsboxError `image_invalid` */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new TsboxError(`read the digest ${show(text)}: not understood`, {
    code: "image_invalid",
    hint: "sha256: and 64 digits of 0-9a-f, or sha512: and 128",
  });
}

export const algorithmOf = (digest: Digest): DigestAlgorithm => digest.slice(0, 6) as DigestAlgorithm;
export const hexOf = (digest: Digest): string => digest.slice(7);

interface Hash {
  update(bytes: Uint8Array | string): unknown;
  digest(encoding: "hex"): string;
}

/** Bun's own needs no module to be loaded. */
function newHash(algorithm: DigestAlgorithm): Hash {
  if (typeof Bun !== "undefined") return new Bun.CryptoHasher(algorithm);
  return process.getBuiltinModule("node:crypto").createHash(algorithm);
}

/** The digest of what comes in pieces. */
export class Digester {
  readonly algorithm: DigestAlgorithm;
  readonly #hash: Hash;

  constructor(algorithm: DigestAlgorithm = "sha256") {
    this.algorithm = algorithm;
    this.#hash = newHash(algorithm);
  }

  update(bytes: Uint8Array | string): this {
    this.#hash.update(bytes);
    return this;
  }

  /** To be called once. */
  digest(): Digest {
    return `${this.algorithm}:${this.#hash.digest("hex")}`;
  }
}

export const digestOf = (bytes: Uint8Array | string, algorithm: DigestAlgorithm = "sha256"): Digest =>
  new Digester(algorithm).update(bytes).digest();

/**
 * The chainId of each layer, the lowest first.
 * @see https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
