/**
 * Blobs that come in: written beside the layout, and renamed into it when they are whole, verified and on the disk. Who
 * writes one has the lock of its file; the kernel gives it back whenever a process ends, and the next one goes on where
 * that one stopped.
 * @module
 */
import { OpenFile, TsboxError } from "../../syscalls/index.ts";
import { algorithmOf, Digester, hexOf, type Digest, type DigestAlgorithm } from "../image/index.ts";
import { blobStatus } from "./blobs.ts";
import { asUnavailable, storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

const LOOK_AGAIN_MS = 10;
/** skopeo's and umoci's have other modes: how tsbox tells which are its own. */
export const OWN_MODE = 0o640;
/** The disk is told to begin after so many. */
const SYNC_BYTES = 8 * 2 ** 20;

/** In `ingest/`. */
const partialName = (digest: Digest): string => `blob-${algorithmOf(digest)}-${hexOf(digest)}`;
const UNKNOWN = "blob-new-";
export const isPartial = (name: string): boolean => name.startsWith("blob-");

/** Who is told, so that what is written is not removed too early. */
export interface IngestOwner {
  /** Before it gets a name that it did not have. */
  rely(digest: Digest): void;
  ended(): void;
}

export class Ingest implements Disposable {
  /** Bytes that were there already, of an attempt that did not come to its end. They are among those verified. */
  readonly offset: number;
  readonly #root: StoreRoot;
  readonly #file: OpenFile;
  readonly #digester: Digester;
  /** What is known of it before. */
  readonly #expected: { digest: Digest; size: number } | undefined;
  readonly #owner: IngestOwner;
  #written: number;
  #sinceSync = 0;
  #state: "open" | "failed" | "closed" = "open";

  /** @param file locked */
  constructor(
    root: StoreRoot,
    file: OpenFile,
    expected: { digest: Digest; size: number } | DigestAlgorithm,
    owner: IngestOwner,
  ) {
    this.#root = root;
    this.#file = file;
    this.#expected = typeof expected === "string" ? undefined : expected;
    this.#digester = new Digester(typeof expected === "string" ? expected : algorithmOf(expected.digest));
    this.#owner = owner;
    this.offset = this.#written = this.#takeUp();
  }

  /** Reads what is there; what cannot be a part of it goes. */
  #takeUp(): number {
    const { sizeBytes } = this.#file;
    if (this.#expected && sizeBytes > this.#expected.size) this.#file.empty();
    let length = 0;
    for (let piece; (piece = this.#file.read()).length > 0; length += piece.length) this.#digester.update(piece);
    return length;
  }

  /** The bytes of the attempt before, once more. @throws TsboxError `store_unavailable` */
  *read(): Generator<Uint8Array, void> {
    using file = storing(() => OpenFile.open(this.#file.directory, this.#file.name));
    for (let left = this.offset; left > 0;) {
      const piece = storing(() => file?.read() ?? new Uint8Array()).subarray(0, left);
      if (piece.length === 0) throw new TsboxError("read a blob: it was cut short", { code: "store_unavailable" });
      left -= piece.length;
      yield piece;
    }
  }

  get sizeBytes(): number {
    return this.#written;
  }

  /** @throws TsboxError `store_unavailable` where the disk is full, `image_invalid` where it is longer than was said */
  write(bytes: Uint8Array): void {
    this.#check("write");
    if (this.#expected && this.#written + bytes.length > this.#expected.size)
      throw this.#fail(`longer than the ${this.#expected.size} bytes that its descriptor says`, "image_invalid");
    try {
      this.#file.write(bytes);
    } catch (error) {
      this.#state = "failed";
      throw asUnavailable(error);
    }
    this.#digester.update(bytes);
    this.#written += bytes.length;
    if ((this.#sinceSync += bytes.length) < SYNC_BYTES) return;
    this.#sinceSync = 0;
    this.#file.startSync();
  }

  /**
   * Makes it a blob of the store. Where it is not what was expected, it goes.
   * @throws TsboxError `digest_mismatch`, `image_invalid`, `store_unavailable`
   */
  async commit(): Promise<{ digest: Digest; size: number }> {
    this.#check("commit");
    const size = this.#written;
    if (this.#expected && size < this.#expected.size)
      throw this.#fail(`only ${size} of the ${this.#expected.size} bytes that its descriptor says`, "image_invalid");
    const digest = this.#digester.digest();
    if (this.#expected && digest !== this.#expected.digest)
      throw this.#fail(`its bytes are ${digest}`, "digest_mismatch");
    try {
      await synced(this.#file);
      if (!this.#expected) this.#owner.rely(digest);
      const directory = this.#root.algorithm(algorithmOf(digest), true)!;
      this.#file.directory.move(this.#file.name, directory, hexOf(digest));
      directory.sync();
    } catch (error) {
      this.#state = "failed";
      this[Symbol.dispose]();
      throw asUnavailable(error);
    }
    this.#close();
    return { digest, size };
  }

  /** Lets it lie for the next attempt. */
  keep(): void {
    if (this.#state !== "closed") this.#close();
  }

  /** Removes it. */
  abort(): void {
    if (this.#state === "closed") return;
    this.#file.directory.remove(this.#file.name);
    this.#close();
  }

  /** Keeps it, unless it is known to be of no use. */
  [Symbol.dispose](): void {
    if (this.#state === "failed" || !this.#expected || this.#written === 0) this.abort();
    else this.keep();
  }

  #check(action: string): void {
    if (this.#state === "open") return;
    throw new TsboxError(`${action} a blob: it is not written any more`, { code: "invalid_option" });
  }

  #fail(why: string, code: "image_invalid" | "digest_mismatch"): TsboxError {
    const name = this.#expected?.digest ?? this.#file.name;
    this.abort();
    return new TsboxError(`store the blob ${name}: ${why}`, { code });
  }

  #close(): void {
    this.#state = "closed";
    this.#file.unlock();
    this.#file[Symbol.dispose]();
    this.#owner.ended();
  }
}

/** Elsewhere than in the thread that others wait for, where the JavaScript runtime has such a place. */
async function synced(file: OpenFile): Promise<void> {
  const { fdatasync } = process.getBuiltinModule("node:fs");
  const failed = await new Promise<Error | null>((resolve) => fdatasync(file.fd, resolve));
  // Deno knows descriptors only that it opened; an error is told again
  if (failed) file.sync();
}

/** Its lock, or undefined where somebody else has it, or it has gone meanwhile. */
function lockedFile(root: StoreRoot, name: string): OpenFile | undefined {
  const file = storing(() => OpenFile.open(root.ingest, name, { as: "maker", mode: OWN_MODE })) as OpenFile;
  if (file.tryLock("exclusive") && file.isCurrent()) {
    // whatever the umask is
    file.changeMode(OWN_MODE);
    return file;
  }
  file[Symbol.dispose]();
  return undefined;
}

/**
 * Waits for another process that writes the same.
 * @returns undefined where it is there by then
 */
export async function openIngest(
  root: StoreRoot,
  { digest, size }: { digest: Digest; size: number },
  owner: IngestOwner,
  signal?: AbortSignal,
): Promise<Ingest | undefined> {
  const isThere = () => blobStatus(root, digest)?.sizeBytes === size;
  while (!isThere()) {
    signal?.throwIfAborted();
    const file = lockedFile(root, partialName(digest));
    if (!file) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      continue;
    }
    if (!isThere()) return new Ingest(root, file, { digest, size }, owner);
    // whoever had it before has come to its end in between
    root.ingest.remove(file.name);
    file.unlock();
    file[Symbol.dispose]();
  }
  return undefined;
}

/** A blob whose digest is known when it is whole. */
export function openUnknown(root: StoreRoot, algorithm: DigestAlgorithm, owner: IngestOwner): Ingest {
  for (;;) {
    const file = lockedFile(root, `${UNKNOWN}${crypto.randomUUID()}`);
    // a prune that came upon it first has removed it
    if (file) return new Ingest(root, file, algorithm, owner);
  }
}
