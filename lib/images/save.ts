/**
 * Images as one archive, which is an OCI image layout. That of the format "docker" has what `docker load` looks for as
 * well: manifest.json and repositories.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
import {
  algorithmOf,
  familiarReference,
  familiarRepository,
  formatReference,
  hexOf,
  OCI_INDEX,
  parseReference,
  repositoryOf,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type Manifest,
  type Reference,
} from "../image/index.ts";
import type { Store, StoredImage } from "../store/index.ts";
import { tarEnd, tarHeader, tarPadding } from "../tar/index.ts";
import type { Pieces } from "./pieces.ts";
import { anyReference, tryReference } from "./summary.ts";

export type ArchiveFormat = "docker" | "oci";

export interface SavedImage {
  descriptor: Descriptor;
  manifest: Manifest;
  /** Whole names with tags; none for an image that was asked for by its id. */
  names: string[];
}

/** What is in an archive: small files first, so that readers know at once what the others are. */
type ArchiveFile = { name: string } & ({ bytes: Uint8Array } | { blob: Descriptor } | { isDirectory: true });

const blobPath = (digest: Digest) => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;

/** The files of an archive, each blob once. */
export function planArchive(images: readonly SavedImage[], format: ArchiveFormat): ArchiveFile[] {
  const blobs = new Map<Digest, Descriptor>();
  for (const { descriptor, manifest } of images)
    for (const blob of [descriptor, manifest.config, ...manifest.layers]) blobs.set(blob.digest, blob);
  const json = (name: string, value: unknown) => ({ name, bytes: new TextEncoder().encode(JSON.stringify(value)) });
  return [
    json("oci-layout", { imageLayoutVersion: "1.0.0" }),
    json("index.json", layoutIndex(images)),
    ...(format === "docker"
      ? [json("manifest.json", dockerManifest(images)), json("repositories", repositories(images))]
      : []),
    // skopeo would give those that are only implied to root
    ...["blobs", ...new Set([...blobs.keys()].map((digest) => `blobs/${algorithmOf(digest)}`))].map((name) => ({
      name: `${name}/`,
      isDirectory: true as const,
    })),
    ...[...blobs.values()].map((blob) => ({ name: blobPath(blob.digest), blob })),
  ];
}

/** Docker reads the one annotation, Podman and skopeo the other. */
function layoutIndex(images: readonly SavedImage[]): ImageIndex {
  const named = (descriptor: Descriptor, name: string) => ({
    ...descriptor,
    annotations: {
      ...descriptor.annotations,
      "io.containerd.image.name": name,
      "org.opencontainers.image.ref.name": name,
    },
  });
  const manifests = images.flatMap(({ descriptor: whole, names }) => {
    const { annotations: _, ...descriptor } = whole;
    return names.length === 0 ? [descriptor] : names.map((name) => named(descriptor, name));
  });
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
}

const dockerManifest = (images: readonly SavedImage[]) =>
  images.map(({ manifest, names }) => ({
    Config: blobPath(manifest.config.digest),
    RepoTags: names.length === 0 ? null : names.map((name) => familiarReference(parseReference(name))),
    Layers: manifest.layers.map(({ digest }) => blobPath(digest)),
  }));

/** What Docker before 1.10 looked for: the tags of each repository, and the layer on top. */
function repositories(images: readonly SavedImage[]): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {};
  for (const { manifest, names } of images) {
    const top = manifest.layers.at(-1);
    for (const name of top ? names : []) {
      const reference = parseReference(name);
      const repository = familiarRepository(reference);
      found[repository] = { ...found[repository], [reference.tag ?? "latest"]: hexOf((top as Descriptor).digest) };
    }
  }
  return found;
}

/** The archive, as it is read; always the same for the same images. */
export async function* archivePieces(store: Store, files: readonly ArchiveFile[], signal?: AbortSignal): Pieces {
  for (const file of files) {
    signal?.throwIfAborted();
    const isDirectory = "isDirectory" in file;
    const size = isDirectory ? 0 : "bytes" in file ? file.bytes.length : file.blob.size;
    yield tarHeader({
      name: new TextEncoder().encode(file.name),
      type: isDirectory ? "directory" : "file",
      mode: isDirectory ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      size,
      mtime: { seconds: 0, nanoseconds: 0 },
    });
    if (isDirectory) continue;
    if ("bytes" in file) yield file.bytes;
    else
      for await (const piece of store.openBlob(file.blob.digest)) {
        signal?.throwIfAborted();
        yield piece;
      }
    yield tarPadding(size);
  }
  yield tarEnd();
}

/**
 * What is saved for names: under the name that was asked for, under all tags of a repository, or, for an id, under none.
 * @param get by a name, or an id
 */
export function chooseSaved(
  names: readonly string[],
  all: readonly StoredImage[],
  get: (name: string) => StoredImage,
): { image: StoredImage; names: string[] }[] {
  const chosen = new Map<Digest, { image: StoredImage; names: string[] }>();
  const add = (image: StoredImage, own: string[]) => {
    const { names: before = [] } = chosen.get(image.manifestDigest) ?? {};
    chosen.set(image.manifestDigest, { image, names: [...new Set([...before, ...own])] });
  };
  for (const name of names) {
    const reference = anyReference(name);
    const isRepository = reference !== undefined && reference.tag === undefined && reference.digest === undefined;
    const tagged = isRepository ? all.map((image) => ({ image, own: tagsOf(image, reference) })) : [];
    const found = tagged.filter(({ own }) => own.length > 0);
    for (const { image, own } of found) add(image, own);
    if (found.length > 0) continue;
    const image = get(name);
    const whole = reference?.tag === undefined ? undefined : formatReference(reference);
    add(image, whole !== undefined && image.names.includes(whole) ? [whole] : []);
  }
  return [...chosen.values()];
}

/** Whole names in a repository. */
function tagsOf({ names }: StoredImage, repository: Reference): string[] {
  return names.filter((name) => {
    const reference = tryReference(name);
    return reference?.tag !== undefined && repositoryOf(reference) === repositoryOf(repository);
  });
}
