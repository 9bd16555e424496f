/**
 * A compressed layer in, files in a directory out. Both digests are taken while the bytes flow, and compared before
 * the layer is said to be there.
 *
 * Whiteouts become overlayfs's own: a character device 0:0, and `user.overlay.opaque` on a directory. Symlinks that
 * entries of the same layer have put into the path of another are followed as if the layer's directory were the root,
 * as Docker and containerd do; an entry replaces what has its name, but for a directory that stays one.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
import { close, O_DIRECTORY, open, removeAttribute, TsboxError, trySyscall } from "../../syscalls/index.ts";
import { FormatError, Inflate, TarReader, Zstd } from "../../wasm/index.ts";
import { algorithmOf, Digester, type Digest } from "../image/index.ts";
import type { IdMaps } from "./attributes.ts";
import { LayerFiles } from "./files.ts";
import { DEFAULT_LIMITS, type UnpackLimits } from "./limits.ts";
import { rightsFor } from "./rights.ts";
import { O_NOFOLLOW, PRIVATE_MODE } from "./tree.ts";

export interface LayerSource {
  /** As they are stored, in pieces of any size. */
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  compression: "none" | "gzip" | "zstd";
  /** Of the stored bytes, and how many they are. */
  digest: Digest;
  /** Whoever hands the pieces over compares that digest, and nobody sees the layer before. */
  isCompared?: boolean;
  sizeBytes: number;
  /** Of the tar. */
  diffId: Digest;
}

export interface UnpackOptions {
  limits?: Partial<UnpackLimits> | undefined;
  /** Of a user namespace that the files belong into; the caller's own rights without. Without root and without maps, all is the caller's. */
  ids?: IdMaps | undefined;
  signal?: AbortSignal | undefined;
  /** Stored bytes that have been unpacked so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface UnpackedLayer {
  /** Of the tar. */
  bytes: number;
  entries: number;
  /** Directories that no entry of the layer made, by their paths in it; "" is its own. See {@link adoptDirectories}. */
  implied: string[];
  /** Nothing of the layers below is seen: overlayfs does not look for that at the top, so they must be left out. */
  isOpaque: boolean;
  /** Devices and attributes that the caller has no right to make, and devices 0:0. */
  leftOut: number;
}

interface Decoder {
  push(chunk: Uint8Array): Iterable<Uint8Array>;
  end(): Iterable<Uint8Array>;
  readonly headers?: Zstd["headers"];
}

/** What is not compressed. */
const plain: Decoder = { push: (chunk) => [chunk], end: () => [] };

function decoderOf(compression: LayerSource["compression"]): Decoder {
  if (compression === "gzip") return new Inflate();
  return compression === "zstd" ? new Zstd() : plain;
}

/**
 * Unpacks into a directory that is there, empty, and nobody else's for as long. Where it fails, what is in it is of no
 * use.
 * @throws TsboxError `digest_mismatch`, `image_invalid`, `store_unavailable`
 */
export async function unpackLayer(
  source: LayerSource,
  directory: string,
  { limits, ids, signal, onProgress }: UnpackOptions = {},
): Promise<UnpackedLayer> {
  const root = open(directory, O_DIRECTORY | O_NOFOLLOW);
  try {
    prepare(root);
    const all = { ...DEFAULT_LIMITS, ...limits };
    const rights = rightsFor(ids);
    rights.hand(directory);
    using files = new LayerFiles(root, { limits: all, rights });
    const unpacking = new Unpacking(source, files, all);
    for await (const piece of source.pieces) {
      signal?.throwIfAborted();
      unpacking.take(piece);
      onProgress?.(unpacking.stored);
    }
    return unpacking.end();
  } finally {
    close(root);
  }
}

/** A tar that comes from where nobody lies about it, as {@link packTree} makes it: unpacked as it comes. */
export class TreeUnpacking implements Disposable {
  readonly #root: number;
  readonly #files: LayerFiles;
  readonly #tar = new TarReader();

  /** @param directory as of {@link unpackLayer} */
  constructor(directory: string, { limits, ids }: Pick<UnpackOptions, "limits" | "ids"> = {}) {
    this.#root = open(directory, O_DIRECTORY | O_NOFOLLOW);
    try {
      prepare(this.#root);
      const rights = rightsFor(ids);
      rights.hand(directory);
      this.#files = new LayerFiles(this.#root, { limits: { ...DEFAULT_LIMITS, ...limits }, rights });
    } catch (error) {
      close(this.#root);
      throw error;
    }
  }

  take(piece: Uint8Array): void {
    for (const { entry, bytes, offset } of this.#tar.push(piece)) {
      if (entry) this.#files.begin(entry);
      else this.#files.data(bytes, offset);
    }
  }

  end(): void {
    this.#tar.end();
    this.#files.finish();
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
    close(this.#root);
  }
}

/** What the directory was given by the one above it would be passed on: a group, an access control list. */
function prepare(root: number): void {
  trySyscall("fchmod", root, PRIVATE_MODE);
  removeAttribute(root, "system.posix_acl_default");
}

class Unpacking {
  stored = 0;
  #bytes = 0;
  #content = 0;
  #entries = 0;
  readonly #source: LayerSource;
  readonly #files: LayerFiles;
  readonly #limits: UnpackLimits;
  readonly #decoder: Decoder;
  readonly #tar: TarReader;
  /** None where somebody else compares it, who has the bytes as well. */
  readonly #digest: Digester | undefined;
  /** None where the bytes are the same. */
  readonly #diffId: Digester | undefined;

  constructor(source: LayerSource, files: LayerFiles, limits: UnpackLimits) {
    const { compression, digest, isCompared, diffId } = source;
    this.#source = source;
    this.#files = files;
    this.#limits = limits;
    this.#decoder = decoderOf(compression);
    this.#tar = new TarReader(this.#decoder.headers);
    this.#digest = isCompared ? undefined : new Digester(algorithmOf(digest));
    const isSame = compression === "none" && algorithmOf(digest) === algorithmOf(diffId);
    this.#diffId = isSame ? undefined : new Digester(algorithmOf(diffId));
  }

  take(piece: Uint8Array): void {
    this.stored += piece.length;
    if (this.stored > this.#source.sizeBytes) throw this.#wrongSize("more");
    this.#digest?.update(piece);
    this.#decode(() => this.#decoder.push(piece));
  }

  end(): UnpackedLayer {
    if (this.stored < this.#source.sizeBytes) throw this.#wrongSize(String(this.stored));
    this.#decode(() => this.#decoder.end());
    const digest = this.#digest?.digest() ?? this.#source.digest;
    this.#compare("stored bytes", this.#source.digest, digest);
    this.#compare("tar", this.#source.diffId, this.#diffId?.digest() ?? digest);
    this.#reading(() => this.#tar.end());
    const files = this.#files;
    files.finish();
    const { implied, isOpaque, leftOut } = files;
    return { bytes: this.#bytes, entries: this.#entries, implied, isOpaque, leftOut };
  }

  #decode(decoded: () => Iterable<Uint8Array>): void {
    this.#reading(() => {
      for (const part of decoded()) {
        this.#diffId?.update(part);
        this.#bytes += part.length;
        this.#checkBytes();
        for (const { entry, bytes, offset } of this.#tar.push(part)) {
          if (entry) {
            this.#entries++;
            this.#content += entry.size;
            this.#checkEntries();
            this.#files.begin(entry);
          } else this.#files.data(bytes, offset);
        }
      }
    });
  }

  #reading(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new TsboxError(`unpack the layer ${this.#source.digest}: ${error.message}`, {
        code: "image_invalid",
        cause: error,
      });
    }
  }

  #checkBytes(): void {
    const { bytes, ratio, ratioFromBytes } = this.#limits;
    if (this.#bytes > bytes) throw this.#tooLarge(`more than ${bytes} bytes`);
    if (this.#bytes > Math.max(ratioFromBytes, ratio * this.#source.sizeBytes))
      throw this.#tooLarge(`more than ${ratio} times as long as it is stored`);
  }

  #checkEntries(): void {
    const { bytes, entries } = this.#limits;
    if (this.#entries > entries) throw this.#tooLarge(`more than ${entries} entries`);
    if (this.#content > bytes) throw this.#tooLarge(`files of more than ${bytes} bytes`);
  }

  #tooLarge(why: string): TsboxError {
    return new TsboxError(`unpack the layer ${this.#source.digest}: ${why}`, { code: "image_invalid" });
  }

  #wrongSize(has: string): TsboxError {
    const { digest, sizeBytes } = this.#source;
    return new TsboxError(`unpack the layer ${digest}: ${has} bytes, where ${sizeBytes} were announced`, {
      code: "digest_mismatch",
    });
  }

  #compare(what: string, wanted: Digest, found: Digest): void {
    if (wanted === found) return;
    throw new TsboxError(`unpack the layer ${this.#source.digest}: its ${what} should be ${wanted}, and is ${found}`, {
      code: "digest_mismatch",
    });
  }
}
