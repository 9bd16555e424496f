/**
 * Archives with images in them: those of `docker save` (manifest.json) and OCI image layouts (index.json).
 * @module
 * @see https://github.com/moby/docker-image-spec/blob/main/spec.md, https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
import {
  chooseManifest,
  Digester,
  familiarReference,
  digestOf,
  formatReference,
  hostPlatform,
  isImageIndex,
  isIndexType,
  isManifestType,
  algorithmOf,
  hexOf,
  MAX_CONFIG_BYTES,
  MAX_INDEX_DEPTH,
  MAX_MANIFEST_BYTES,
  OCI_CONFIG,
  parseImageConfig,
  parseManifest,
  parseReference,
  readImageJson,
  withDefaultTag,
  type Descriptor,
  type Digest,
  type Platform,
  type Reference,
} from "../image/index.ts";
import { list, object, required, text } from "../schema/index.ts";
import type { Store, StoredImage } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { ImageArchive } from "./archive.ts";
import { arriving, remember } from "./arrival.ts";
import { layerDescriptor, manifestBlob, manifestDescriptor } from "./config.ts";
import { compressionOfBytes, type ArchiveSource, type Pieces } from "./pieces.ts";
import { receiveImage, type BlobSource, type FoundManifest, type ReceiveOptions } from "./receive.ts";
import { checkBytes } from "./verify.ts";

/** An image of an archive, ready to be received. */
export interface ArchivedImage {
  manifest: FoundManifest;
  source: BlobSource;
  names: Reference[];
  /** Of the config, where the archive has no manifest, and one was made for it. */
  id?: Digest;
}

export interface LoadedImage {
  /** Digest of the config. */
  id: Digest;
  /** As Docker prints them. */
  names: string[];
}

/** @throws TsboxError `image_invalid`, `digest_mismatch`, `platform_not_found`, `store_unavailable` */
export async function loadImages(
  store: Store,
  source: ArchiveSource,
  platform: Platform | undefined,
  options: ReceiveOptions,
): Promise<LoadedImage[]> {
  using archive = await ImageArchive.open(source, `${store.path}/ingest`, options.signal);
  const loaded: LoadedImage[] = [];
  for (const { source: blobs, manifest, names, id: known } of await imagesOf(archive, platform)) {
    const isHere = (image: StoredImage) =>
      image.id === known && image.manifest.layers.every(({ digest }) => store.hasBlob(digest));
    // the same image: the manifest that it came with is kept
    const here = known === undefined ? undefined : store.images().find(isHere);
    const found = here ? readStored(store, here) : manifest;
    const { id, descriptor } = await arriving(store, (arrival) => receiveImage(arrival, blobs, found, names, options));
    if (!here) remember(() => store.metadata.setOrigin(descriptor.digest, { at: Date.now() }));
    loaded.push({ id, names: names.map(familiarReference) });
  }
  return loaded;
}

function readStored(store: Store, image: StoredImage): FoundManifest {
  const bytes = store.readBlob(image.manifestDigest, { maxBytes: MAX_MANIFEST_BYTES });
  return { bytes, descriptor: manifestDescriptor(image, bytes.length) };
}

const MAX_IMAGES = 1000;
const invalid = (why: string, hint?: string) =>
  new TsboxError(`load the archive: ${why}`, { code: "image_invalid", ...(hint === undefined ? {} : { hint }) });

/** @throws TsboxError `image_invalid`, `platform_not_found` */
export async function imagesOf(archive: ImageArchive, platform: Platform | undefined): Promise<ArchivedImage[]> {
  // what has both is a layout, with names for older readers
  const images =
    archive.has("index.json") && archive.has("oci-layout")
      ? await imagesOfLayout(archive, platform)
      : archive.has("manifest.json")
        ? await imagesOfDocker(archive)
        : archive.has("repositories")
          ? refuseOld()
          : refuseOther();
  if (images.length === 0) throw invalid("there is no image in it");
  return images;
}

function refuseOld(): never {
  throw invalid("of a Docker before 1.10, of which nothing can be verified", "save the image again, with a newer one");
}

function refuseOther(): never {
  throw invalid(
    "neither manifest.json nor index.json is in it",
    "an archive of a file system, without an image around it, is for import",
  );
}

const dockerReader = list(
  object<{ Config: string; RepoTags?: string[]; Layers: string[] }>({
    Config: required(text),
    RepoTags: list(text),
    Layers: required(list(text)),
  }),
);

async function imagesOfDocker(archive: ImageArchive): Promise<ArchivedImage[]> {
  const bytes = await archive.read("manifest.json", MAX_MANIFEST_BYTES);
  const entries = readImageJson("manifest.json of the archive", bytes, dockerReader);
  if (entries.length > MAX_IMAGES) throw invalid(`more than ${MAX_IMAGES} images`);
  const known = new Map<string, Descriptor>();
  const images: ArchivedImage[] = [];
  for (const { Config, RepoTags = [], Layers } of entries) {
    const config = await archive.read(Config, MAX_CONFIG_BYTES);
    const { diff_ids } = parseImageConfig(config, `the config ${JSON.stringify(Config)}`).rootfs;
    if (diff_ids.length !== Layers.length)
      throw invalid(`an image of ${Layers.length} layers, whose config has ${diff_ids.length}`);
    const files = new Map<Digest, string>();
    const layers: Descriptor[] = [];
    for (const [at, file] of Layers.entries()) {
      let layer = known.get(file);
      if (!layer) known.set(file, (layer = await describeLayer(archive, file, diff_ids[at] as Digest)));
      files.set(layer.digest, file);
      layers.push(layer);
    }
    images.push(dockerImage(archive, config, layers, files, RepoTags));
  }
  return images;
}

/** The archive has no manifest of the image's, so it gets one; its id, the config's digest, stays. */
function dockerImage(
  archive: ImageArchive,
  configBytes: Uint8Array,
  layers: Descriptor[],
  files: Map<Digest, string>,
  names: string[],
): ArchivedImage {
  const config = { mediaType: OCI_CONFIG, digest: digestOf(configBytes), size: configBytes.length };
  const manifest = manifestBlob(config, layers);
  return {
    manifest,
    id: config.digest,
    names: names.map((name) => referenceFor(name, [manifest.descriptor])),
    source: {
      blob: (descriptor, offset) =>
        descriptor.digest === config.digest
          ? once(configBytes.subarray(offset))
          : archive.pieces(files.get(descriptor.digest) as string, offset),
    },
  };
}

async function* once(bytes: Uint8Array): Pieces {
  yield bytes;
}

/** A plain tar is called what its diffId says, which is compared when it is read; of others the digest is found out. */
async function describeLayer(archive: ImageArchive, file: string, diffId: Digest): Promise<Descriptor> {
  const size = archive.sizeOf(file);
  const compression = compressionOfBytes(await archive.head(file));
  if (compression === "none") return layerDescriptor(diffId, size, compression);
  const digester = new Digester();
  for await (const piece of archive.pieces(file)) digester.update(piece);
  return layerDescriptor(digester.digest(), size, compression);
}

const blobPath = (digest: Digest) => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;

async function imagesOfLayout(archive: ImageArchive, platform: Platform | undefined): Promise<ArchivedImage[]> {
  const what = "index.json of the archive";
  const index = parseManifest(await archive.read("index.json", MAX_MANIFEST_BYTES), undefined, what);
  if (!isImageIndex(index)) throw invalid("its index.json is no index");
  const source: BlobSource = { blob: ({ digest }, offset) => archive.pieces(blobPath(digest), offset) };
  const images: ArchivedImage[] = [];
  for (const [name, descriptors] of byName(index.manifests)) {
    // several of one name are one image for several platforms
    const few =
      name === undefined ? descriptors : descriptors.length === 1 ? descriptors : [choose(descriptors, name, platform)];
    for (const descriptor of few) {
      const manifest = await findManifest(archive, descriptor, platform);
      images.push({
        manifest,
        source,
        names: name === undefined ? [] : [referenceFor(name, [descriptor, manifest.descriptor])],
      });
    }
  }
  if (images.length > MAX_IMAGES) throw invalid(`more than ${MAX_IMAGES} images`);
  // one that has several names is there several times
  const same = Map.groupBy(images, ({ manifest }) => manifest.descriptor.digest);
  return [...same.values()].map(([image, ...others]) => ({
    ...(image as ArchivedImage),
    names: [image as ArchivedImage, ...others].flatMap(({ names }) => names),
  }));
}

const choose = (manifests: Descriptor[], name: string, platform = hostPlatform()) =>
  chooseManifest({ schemaVersion: 2, manifests }, platform, JSON.stringify(name));

function byName(descriptors: Descriptor[]): Map<string | undefined, Descriptor[]> {
  const names = new Map<string | undefined, Descriptor[]>();
  for (const descriptor of descriptors) {
    const { mediaType, platform } = descriptor;
    // what is neither is no image; attestations are for no platform
    if (!(isManifestType(mediaType) || isIndexType(mediaType)) || platform?.os === "unknown") continue;
    const name = nameOf(descriptor);
    names.set(name, [...(names.get(name) ?? []), descriptor]);
  }
  return names;
}

/** Some write the whole name, others its tag alone, of which no name can be made. */
function nameOf({ annotations = {} }: Descriptor): string | undefined {
  const name = annotations["io.containerd.image.name"] ?? annotations["org.opencontainers.image.ref.name"];
  return name !== undefined && /[:/]/.test(name) ? name : undefined;
}

/** @throws TsboxError `image_invalid` for a digest that is another image's */
function referenceFor(name: string, descriptors: Descriptor[]): Reference {
  const reference = withDefaultTag(parseReference(name));
  if (reference.digest !== undefined && !descriptors.some(({ digest }) => digest === reference.digest))
    throw invalid(`an image is called ${JSON.stringify(formatReference(reference))}, but has another digest`);
  return reference;
}

/** Through an index, where it is one. */
async function findManifest(
  archive: ImageArchive,
  descriptor: Descriptor,
  platform = hostPlatform(),
): Promise<FoundManifest> {
  let [found, depth] = [descriptor, 0];
  for (;;) {
    const bytes = await readVerified(archive, found);
    const manifest = parseManifest(bytes, found.mediaType);
    if (!isImageIndex(manifest)) return { bytes, descriptor: found };
    if (depth++ >= MAX_INDEX_DEPTH) throw invalid(`image indexes in image indexes, more than ${MAX_INDEX_DEPTH}`);
    found = chooseManifest(manifest, platform);
  }
}

async function readVerified(archive: ImageArchive, descriptor: Descriptor): Promise<Uint8Array> {
  const bytes = await archive.read(blobPath(descriptor.digest), MAX_MANIFEST_BYTES);
  checkBytes(bytes, descriptor, "the manifest");
  return bytes;
}
