/** Blobs of an image layout: files, called by the digest of their bytes. @module */
import { OpenFile, TsboxError, turns, type EntryStatus } from "../../syscalls/index.ts";
import {
  algorithmOf,
  Digester,
  digestOf,
  hexOf,
  isDigest,
  parseDigest,
  type Digest,
  type DigestAlgorithm,
} from "../image/index.ts";
import { asUnavailable, storing } from "./failure.ts";
import { patiently, type StoreRoot } from "./root.ts";

const ALGORITHMS: readonly DigestAlgorithm[] = ["sha256", "sha512"];

/** Undefined where there is none; what is no plain file is none. */
export function blobStatus(root: StoreRoot, digest: Digest): EntryStatus | undefined {
  parseDigest(digest); // whatever is called one does not lead out of the directory
  const status = storing(() => root.algorithm(algorithmOf(digest))?.status(hexOf(digest)));
  return status?.kind === "file" ? status : undefined;
}

/** @throws TsboxError `image_not_found`, `digest_mismatch` */
export function readBlob(root: StoreRoot, digest: Digest, maxBytes: number): Uint8Array {
  const whole = patiently(() => {
    const isThere = blobStatus(root, digest) !== undefined;
    const bytes = isThere && storing(() => root.algorithm(algorithmOf(digest))?.read(hexOf(digest), maxBytes));
    if (!bytes) throw notFound(digest);
    return digestOf(bytes, algorithmOf(digest)) === digest ? bytes : undefined;
  });
  if (!whole) throw damaged(digest);
  return whole;
}

/** The bytes of a blob, in pieces of up to 64 KiB. Disposing it ends it. */
export interface OpenBlob extends AsyncIterable<Uint8Array>, Disposable {
  sizeBytes: number;
  /** At its beginning, before the first piece was asked for. */
  fd: number;
}

/**
 * @param verify that the bytes are those of the digest: the last piece is followed by an error where they are not
 * @throws TsboxError `image_not_found`, `digest_mismatch`
 */
export function openBlob(root: StoreRoot, digest: Digest, verify: boolean): OpenBlob {
  parseDigest(digest);
  const directory = storing(() => root.algorithm(algorithmOf(digest)));
  const file = directory && storing(() => OpenFile.open(directory, hexOf(digest)));
  if (!file) throw notFound(digest);
  const opened = new DisposableStack();
  opened.use(file);
  const dispose = () => opened.dispose();
  async function* pieces(): AsyncGenerator<Uint8Array> {
    const digester = verify ? new Digester(algorithmOf(digest)) : undefined;
    const turn = turns();
    try {
      for (let piece; !opened.disposed && (piece = file!.read()).length > 0;) {
        digester?.update(piece);
        yield piece;
        await turn();
      }
      if (digester && !opened.disposed && digester.digest() !== digest) throw damaged(digest);
    } catch (error) {
      throw asUnavailable(error);
    } finally {
      dispose();
    }
  }
  return { sizeBytes: file.sizeBytes, fd: file.fd, [Symbol.asyncIterator]: pieces, [Symbol.dispose]: dispose };
}

/** Removes a blob that turned out to be damaged. */
export function removeBlob(root: StoreRoot, digest: Digest): void {
  if (blobStatus(root, digest)) storing(() => root.algorithm(algorithmOf(digest))?.remove(hexOf(digest)));
}

/** All blobs that there are; what else lies there is somebody else's. */
export function allBlobs(root: StoreRoot): Digest[] {
  return ALGORITHMS.flatMap((algorithm) =>
    storing(() => root.algorithm(algorithm)?.names() ?? [])
      .map((name) => `${algorithm}:${name}`)
      .filter(isDigest),
  );
}

const notFound = (digest: Digest): TsboxError =>
  new TsboxError(`read the blob ${digest}: it is not in the store`, {
    code: "image_not_found",
    hint: "the image is not whole: pull it again",
  });

const damaged = (digest: Digest): TsboxError =>
  new TsboxError(`read the blob ${digest}: its bytes are others`, {
    code: "digest_mismatch",
    hint: "it was damaged on the disk: remove the image, and pull it again",
  });
