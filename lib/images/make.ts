/** Images that are made here: of an archive of a file system, or of what has changed in a sandbox. @module */
import {
  Digester,
  parseImageConfig,
  type ContainerConfig,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type Platform,
  type Reference,
} from "../image/index.ts";
import { DEFAULT_LIMITS, packLayer, type PackOptions } from "../layer/index.ts";
import type { IdMaps, Store, StoredImage } from "../store/index.ts";
import { arriving, remember, type Arrival } from "./arrival.ts";
import { boundedTar } from "./bounded-tar.ts";
import {
  configBlob,
  creationTime,
  emptyConfig,
  extendConfig,
  layerDescriptor,
  manifestBlob,
  type Blob,
} from "./config.ts";
import { decompress, sniff, type Pieces } from "./pieces.ts";
import { receiveImage, type BlobSource, type ReceivedImage, type ReceiveOptions } from "./receive.ts";

export interface ChangeOptions extends ReceiveOptions {
  /** What it is called; without a name it is known by its id. */
  names?: readonly Reference[];
  /** Instructions of a Dockerfile: `'CMD ["sh"]'`, `"ENV A=1"`. */
  changes?: readonly string[];
  /** What is said of it in its history. */
  message?: string;
  author?: string;
}

export interface ImportOptions extends ChangeOptions {
  platform?: Platform;
}

export interface CommitOptions extends ChangeOptions {
  /** How its containers run; of the base image unless set. */
  config?: ContainerConfig;
  /** The command whose changes these are. */
  createdBy?: string;
  /** Which ids of the host are which ones of the image, in what was written. */
  upperIds?: IdMaps;
  /** Directories of the upper one, as absolute paths, that are left out: volumes. */
  exclude?: readonly string[];
}

interface NewLayer {
  descriptor: Descriptor;
  diffId: Digest;
}

/** An archive of a file system, packed as it may be, as an image of one layer. */
export function importImage(store: Store, pieces: Pieces, options: ImportOptions): Promise<ReceivedImage> {
  return arriving(store, (arrival) => importInto(arrival, pieces, options));
}

async function importInto(arrival: Arrival, pieces: Pieces, options: ImportOptions): Promise<ReceivedImage> {
  const base = emptyConfig(options.platform);
  const config = await changed({}, options.changes);
  const layer = await storeLayer(arrival, pieces, options.signal);
  const { message = "Imported", author } = options;
  const change = {
    diffId: layer.diffId,
    config,
    created: creationTime(),
    comment: message,
    ...(author ? { author } : {}),
  };
  return storeImage(arrival, extendConfig(base, change), [layer.descriptor], options);
}

/** Who changes nothing does without what reads Dockerfiles. */
async function changed(config: ContainerConfig, changes: readonly string[] = []): Promise<ContainerConfig> {
  if (changes.length === 0) return config;
  const { applyChanges } = await import("./changes.ts");
  return applyChanges(config, changes);
}

async function storeLayer(
  { store, blobs }: Arrival,
  source: Pieces,
  signal: AbortSignal | undefined,
): Promise<NewLayer> {
  const { compression, pieces } = await sniff(source);
  using ingest = store.ingestUnknown();
  const digester = new Digester();
  const kept = async function* (): Pieces {
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      ingest.write(piece);
      yield piece;
    }
  };
  const bounds = { entries: DEFAULT_LIMITS.entries, stored: () => ingest.sizeBytes };
  for await (const plain of boundedTar(decompress(kept(), compression), bounds)) digester.update(plain);
  const { digest, size } = await ingest.commit();
  blobs.push(digest);
  return { descriptor: layerDescriptor(digest, size, compression), diffId: digester.digest() };
}

/**
 * A new image: the base, and what lies in an overlay's upper directory. The layer is stored as it is, and packed when it
 * is pushed. Where nothing has changed there is no new layer, only a step in the history.
 */
export function commitImage(
  store: Store,
  base: StoredImage | undefined,
  upper: string,
  options: CommitOptions,
): Promise<ReceivedImage> {
  return arriving(store, (arrival) => commitInto(arrival, base, upper, options));
}

async function commitInto(
  arrival: Arrival,
  base: StoredImage | undefined,
  upper: string,
  options: CommitOptions,
): Promise<ReceivedImage> {
  const { config: given, changes, message, author, createdBy, upperIds: ids, exclude, signal } = options;
  const from = base?.config ?? emptyConfig();
  const config = await changed(given ?? from.config ?? {}, changes);
  const layer = await packUpper(arrival, upper, {
    ...(ids ? { ids } : {}),
    ...(exclude ? { exclude } : {}),
    ...(signal ? { signal } : {}),
  });
  const change = {
    diffId: layer?.diffId,
    config,
    created: creationTime(),
    ...(createdBy === undefined ? {} : { createdBy }),
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { comment: message }),
  };
  const layers = [...(base?.manifest.layers ?? []), ...(layer ? [layer.descriptor] : [])];
  return storeImage(arrival, extendConfig(from, change), layers, options);
}

async function packUpper(
  { store, blobs }: Arrival,
  upper: string,
  options: Pick<PackOptions, "ids" | "exclude" | "signal">,
): Promise<NewLayer | undefined> {
  using ingest = store.ingestUnknown();
  const { diffId, entries } = await packLayer(upper, (bytes) => ingest.write(bytes), options);
  if (entries === 0) return undefined;
  const { digest, size } = await ingest.commit();
  blobs.push(digest);
  return { descriptor: layerDescriptor(digest, size, "none"), diffId };
}

export interface AssembleOptions extends ReceiveOptions {
  names?: readonly Reference[];
}

/** An image of layers that the store has, blobs and unpacked. */
export const assembleImage = (
  store: Store,
  config: ImageConfig,
  layers: Descriptor[],
  options: AssembleOptions,
): Promise<ReceivedImage> => arriving(store, (arrival) => storeImage(arrival, config, layers, options));

/** An image whose layers the store has as blobs. */
async function storeImage(
  arrival: Arrival,
  config: ImageConfig,
  layers: Descriptor[],
  { names = [], ...options }: AssembleOptions,
): Promise<ReceivedImage> {
  const blob = configBlob(config);
  // what others read has to be readable here, too
  parseImageConfig(blob.bytes);
  const source: BlobSource = { blob: (_, offset) => once(blob, offset) };
  const received = await receiveImage(arrival, source, manifestBlob(blob.descriptor, layers), names, options);
  remember(() => arrival.store.metadata.setOrigin(received.descriptor.digest, { at: Date.now() }));
  return received;
}

async function* once({ bytes }: Blob, offset: number): Pieces {
  yield bytes.subarray(offset);
}
