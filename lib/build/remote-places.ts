/** Where caches of others are: a repository of a registry, or an OCI image layout in a directory. @module */
import {
  digestOf,
  hexOf,
  MAX_MANIFEST_BYTES,
  OCI_INDEX,
  OCI_MANIFEST,
  parseManifest,
  parseReference,
  withDefaultTag,
  isImageIndex,
  type Descriptor,
  type Digest,
  type Manifest,
} from "../image/index.ts";
import type { Registry } from "../registry/index.ts";
import { absolute, Directory, show, TsboxError } from "../../syscalls/index.ts";
import type { RemoteCache } from "./options.ts";

export interface RemotePlace {
  /** In messages. */
  name: string;
  /** Undefined where there is none yet. */
  manifest(signal: AbortSignal): Promise<Manifest | undefined>;
  blob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>;
  hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean>;
  putBlob(descriptor: Descriptor, open: () => AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  putManifest(bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void>;
}

export async function remotePlace(cache: RemoteCache): Promise<RemotePlace> {
  if (cache.type === "local") return new LayoutDirectory(absolute(cache.path));
  const { Registry } = await import("../registry/index.ts");
  return inRegistry(new Registry(), cache.reference);
}

function inRegistry(registry: Registry, text: string): RemotePlace {
  const reference = withDefaultTag(parseReference(text));
  return {
    name: text,
    async manifest(signal) {
      if (!(await registry.findManifest(reference, { signal }))) return undefined;
      const { manifest } = await registry.getManifest(reference, { signal });
      return isImageIndex(manifest) ? undefined : manifest;
    },
    blob: (descriptor, signal) => registry.blob(reference, descriptor, { signal }),
    hasBlob: (digest, signal) => registry.hasBlob(reference, digest, { signal }),
    async putBlob(descriptor, open, signal) {
      await registry.uploadBlob(reference, descriptor, open, { signal });
    },
    async putManifest(bytes, signal) {
      await registry.putManifest(reference, bytes, OCI_MANIFEST, { signal });
    },
  };
}

const PIECE_BYTES = 64 * 1024;

/** @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md */
class LayoutDirectory implements RemotePlace {
  readonly name: string;

  constructor(path: string) {
    this.name = path;
  }

  async manifest(): Promise<Manifest | undefined> {
    using directory = Directory.open(this.name);
    const index = directory?.read("index.json", MAX_MANIFEST_BYTES);
    if (!index) return undefined;
    const read = parseManifest(index, OCI_INDEX, `the index of ${show(this.name)}`);
    const [descriptor] = isImageIndex(read) ? read.manifests : [];
    if (!descriptor) return undefined;
    using blobs = this.#blobs();
    const bytes = blobs?.read(hexOf(descriptor.digest), MAX_MANIFEST_BYTES);
    if (!bytes || digestOf(bytes) !== descriptor.digest)
      throw new TsboxError(`read the cache ${show(this.name)}: its manifest is missing, or damaged`, {
        code: "digest_mismatch",
      });
    const manifest = parseManifest(bytes, descriptor.mediaType, `the manifest of ${show(this.name)}`);
    return isImageIndex(manifest) ? undefined : manifest;
  }

  async *blob({ digest }: Descriptor): AsyncGenerator<Uint8Array> {
    const { createReadStream } = process.getBuiltinModule("node:fs");
    yield* createReadStream(this.#pathOf(digest), { highWaterMark: PIECE_BYTES });
  }

  async hasBlob(digest: Digest): Promise<boolean> {
    using blobs = this.#blobs();
    return blobs?.status(hexOf(digest)) !== undefined;
  }

  async putBlob({ digest }: Descriptor, open: () => AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    Directory.make(`${this.name}/blobs/sha256`, 0o777);
    const { writeWholeFile } = await import("../images/index.ts");
    await writeWholeFile(this.#pathOf(digest), open(), { signal });
  }

  async putManifest(bytes: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    const descriptor = { mediaType: OCI_MANIFEST, digest: digestOf(bytes), size: bytes.length };
    const once = async function* () {
      yield bytes;
    };
    await this.putBlob(descriptor, once, signal);
    using directory = Directory.open(this.name);
    const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
    directory?.replace("oci-layout", json({ imageLayoutVersion: "1.0.0" }), 0o644);
    directory?.replace("index.json", json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] }), 0o644);
  }

  #blobs(): Directory | undefined {
    return Directory.open(`${this.name}/blobs/sha256`);
  }

  #pathOf(digest: Digest): string {
    return `${this.name}/blobs/sha256/${hexOf(digest)}`;
  }
}
