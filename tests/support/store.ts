/** Small images in a store, and what is left of one. @module */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  chainIds,
  digestOf,
  hexOf,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
  type Descriptor,
  type Digest,
} from "../../lib/image/index.ts";
import { Store, type IdMaps, type StoredImage } from "../../lib/store/index.ts";

export const bytesOf = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

export async function putBlob(store: Store, bytes: Uint8Array, mediaType = OCI_LAYER): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  using ingest = await store.ingest(descriptor);
  if (ingest) {
    ingest.write(bytes.subarray(ingest.offset));
    await ingest.commit();
  }
  return descriptor;
}

/** A tar of one file, as GNU tar makes it. */
export function tarOf(name: string, content: string): Uint8Array {
  const header = new Uint8Array(512);
  const put = (at: number, text: string) => header.set(bytesOf(text), at);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, "0")}\0`;
  put(0, name);
  put(100, octal(0o644, 8) + octal(0, 8) + octal(0, 8) + octal(content.length, 12) + octal(0, 12) + "        0");
  put(257, "ustar\x0000");
  put(
    148,
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
  );
  const body = new Uint8Array(Math.ceil(content.length / 512) * 512);
  body.set(bytesOf(content));
  return Buffer.concat([header, body, new Uint8Array(1024)]);
}

export interface ImageOptions {
  /** Each a layer with one file: its name, and its content, which is the name again. */
  layers?: string[];
  /** Not unpacked, where false. */
  unpack?: boolean;
  ids?: IdMaps;
  config?: object;
}

/** What a pull does. */
export async function putImage(
  store: Store,
  name: string | undefined,
  { layers = ["base", "top"], unpack = true, ids, config = {} }: ImageOptions = {},
): Promise<Descriptor> {
  using _ = store.hold();
  const tars = layers.map((file) => tarOf(file, file));
  const diffIds = tars.map((tar) => digestOf(tar));
  const chain = chainIds(diffIds);
  const blobs: Descriptor[] = [];
  for (const [at, tar] of tars.entries()) {
    const blob = await putBlob(store, Bun.gzipSync(tar as Uint8Array<ArrayBuffer>), `${OCI_LAYER}+gzip`);
    blobs.push(blob);
    if (unpack)
      await unpackInto(store, chain[at] as Digest, { at, file: layers[at] as string, diffIds, blob, chain, ids });
  }
  const image = { architecture: "amd64", os: "linux", config, rootfs: { type: "layers", diff_ids: diffIds } };
  const configBlob = await putBlob(store, bytesOf(image), OCI_CONFIG);
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: configBlob, layers: blobs };
  const descriptor = await putBlob(store, bytesOf(manifest), OCI_MANIFEST);
  if (name !== undefined) store.setName(name, descriptor);
  return descriptor;
}

interface Unpacking {
  at: number;
  file: string;
  diffIds: Digest[];
  blob: Descriptor;
  chain: Digest[];
  ids: IdMaps | undefined;
}

async function unpackInto(store: Store, chainId: Digest, { at, file, diffIds, blob, chain, ids }: Unpacking) {
  const layer = await store.prepareLayer(chainId, ids ? { ids } : {});
  if (!layer.isPending) return;
  using _ = layer;
  mkdirSync(join(layer.fs, "directory"));
  writeFileSync(join(layer.fs, file), file);
  const parent = chain[at - 1];
  layer.commit({
    diffId: diffIds[at] as Digest,
    digest: blob.digest,
    ...(parent ? { parent } : {}),
    bytes: file.length,
    entries: 1,
  });
}

/** What a whole store consists of; fails where an image that has a name is not whole. */
export function wholeImages(store: Store): StoredImage[] {
  const images = store.images(({ name, error }) => {
    throw new Error(`${name} is not whole`, { cause: error });
  });
  for (const image of images) {
    for (const { digest, size } of [image.manifest.config, ...image.manifest.layers]) {
      if (store.readBlob(digest, { maxBytes: 2 ** 20 }).length !== size) throw new Error(`${digest} is not whole`);
    }
  }
  return images;
}

/** The blobs and layers that there are, and those that images need. */
export function contents(store: Store) {
  const names = (directory: string) => {
    const path = join(store.path, directory);
    return existsSync(path) ? readdirSync(path).toSorted() : [];
  };
  const images = store.images();
  const needed = images.flatMap(({ descriptor, manifestDigest, manifest }) =>
    [descriptor.digest, manifestDigest, manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)].map(
      hexOf,
    ),
  );
  return {
    blobs: names("oci/blobs/sha256"),
    layers: names("layers"),
    ingest: names("ingest"),
    neededBlobs: [...new Set(needed)].toSorted(),
    neededLayers: [
      ...new Set(images.flatMap((image) => store.layersOf(image).map(({ chainId }) => hexOf(chainId)))),
    ].toSorted(),
  };
}

export const indexText = (store: Store): string => readFileSync(join(store.path, "oci/index.json"), "utf8");
