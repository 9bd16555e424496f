/** Images by their names: everything that can be done with them. @module */
import {
  familiarReference,
  familiarRepository,
  parsePlatform,
  parseReference,
  withDefaultTag,
  type Digest,
  type Reference,
} from "../image/index.ts";
import { Registry, type RegistryOptions } from "../registry/index.ts";
import { imageIds } from "../launch/index.ts";
import { Store, type IdMaps, type Removed, type StoredImage, type StoredLayer } from "../store/index.ts";
import { absolute, show, TsboxError } from "../../syscalls/index.ts";
import { checkImageOptions, checkNames, checkSource } from "./check.ts";
import { manifestDescriptor } from "./config.ts";
import { historyOf, type HistoryStep } from "./history.ts";
import { inspectImage, type ImageInspect } from "./inspect.ts";
import { loadImages, type LoadedImage } from "./load.ts";
import { commitImage, importImage, type CommitOptions, type ImportOptions } from "./make.ts";
import { sourcePieces, type ArchiveSource, type Pieces } from "./pieces.ts";
import type { OnProgress } from "./progress.ts";
import { pullImage, type PulledImage } from "./pull.ts";
import { keepForContainers, planRemoval } from "./remove.ts";
import { pushImage, type PushedImage } from "./push.ts";
import { unpackImage } from "./unpack.ts";
import { archivePieces, chooseSaved, planArchive, type ArchiveFormat, type SavedImage } from "./save.ts";
import {
  anyReference,
  createdOf,
  familiarName,
  familiarNames,
  filterImages,
  isDangling,
  type ImageFilters,
  type ImageSummary,
} from "./summary.ts";

export interface TransferOptions {
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

export interface PullOptions extends TransferOptions {
  /** `"linux/arm64/v8"`; the host's unless set. */
  platform?: string;
  registry?: RegistryOptions;
}

export interface PushOptions extends TransferOptions {
  registry?: RegistryOptions;
}

export interface RemovedImages {
  /** Names that are gone, as Docker prints them. */
  untagged: string[];
  /** Digests of configs and chains of layers that are gone. */
  deleted: Digest[];
  /** Of blobs and unpacked files. */
  freedBytes: number;
}

export interface PruneOptions extends Pick<ImageFilters, "until" | "label" | "notLabel"> {
  /** Not only those without a name, but all that no sandbox uses. */
  all?: boolean;
}

export interface DiskUsage {
  images: number;
  /** In use by a sandbox. */
  active: number;
  sizeBytes: number;
  reclaimableBytes: number;
}

/** What is known without being asked for. */
type Inner = "names" | "ids" | "check";

/** What a new image is called. */
export interface MadeOptions {
  reference?: string;
}

/**
 * The images of a store.
 * @example
 * ```ts
 * using engine = new Tsbox({ root: "./store" });
 * const tar = Bun.gzipSync(new Uint8Array(1024)); // an archive without entries
 * await engine.images.import(tar, { reference: "empty", changes: ['CMD ["sh"]'] });
 * for (const { tags } of await engine.images.list()) console.log(tags[0]); // empty:latest
 * ```
 */
export class Images implements Disposable {
  readonly #root: string | undefined;
  #opened: Store | undefined;
  #running = 0;
  #isDone = false;
  #foundIds: { ids: IdMaps | undefined } | undefined;

  /** @param root directory of the store, which is opened when it is needed */
  constructor(root?: string) {
    this.#root = root === undefined ? undefined : absolute(root);
  }

  /** Whose layers are unpacked here. */
  get #ids(): IdMaps | undefined {
    return (this.#foundIds ??= { ids: imageIds() }).ids;
  }

  get #store(): Store {
    return (this.#opened ??= Store.open(this.#root === undefined ? {} : { root: this.#root }));
  }

  /** What is under way comes to its end. */
  [Symbol.dispose](): void {
    this.#isDone = true;
    this.#close();
  }

  #close(): void {
    if (this.#running > 0 || !this.#isDone) return;
    this.#opened?.[Symbol.dispose]();
    this.#opened = undefined;
  }

  /** What an AbortSignal ends is an error like any other. */
  async #run<T>(action: string, { signal }: TransferOptions, work: () => Promise<T>): Promise<T> {
    this.#running++;
    try {
      signal?.throwIfAborted();
      return await work();
    } catch (error) {
      if (!signal?.aborted || (error instanceof TsboxError && error.code === "aborted")) throw error;
      throw new TsboxError(`${action}: aborted`, { code: "aborted", cause: error });
    } finally {
      this.#running--;
      this.#close();
    }
  }

  /**
   * Fetches an image, verifies it, and unpacks its layers while they come. What is there already is not fetched, and
   * what broke off is gone on with.
   * @throws TsboxError `reference_invalid`, `image_not_found`, `platform_not_found`, `registry_denied`,
   * `registry_error`, `rate_limited`, `image_invalid`, `digest_mismatch`, `store_unavailable`
   */
  async pull(name: string, asked: PullOptions = {}): Promise<PulledImage> {
    checkNames(name);
    checkImageOptions("pull", asked);
    const { platform, registry, ...options } = asked;
    const reference = withDefaultTag(parseReference(name));
    const wanted = platform === undefined ? undefined : parsePlatform(platform);
    const from = { store: this.#store, registry: new Registry(registry) };
    return this.#run(`pull ${show(name)}`, options, () => pullImage(from, reference, wanted, this.#with(options)));
  }

  /**
   * Unpacks the layers of an image that another tool has brought, out of what is there: no registry is asked.
   * @throws TsboxError `image_not_found` where a layer is not there either, and as `pull`
   */
  async unpack(name: string, options: TransferOptions = {}): Promise<void> {
    checkImageOptions("unpack", options);
    const image = this.#get(name);
    await this.#run(`unpack ${show(name)}`, options, () => unpackImage(this.#store, image, this.#with(options)));
  }

  /** Every tag of a repository. */
  async pullAll(repository: string, asked: PullOptions = {}): Promise<PulledImage[]> {
    checkNames(repository);
    checkImageOptions("pullAll", asked);
    const { platform, registry, ...options } = asked;
    const reference = parseReference(repository);
    if (reference.tag !== undefined || reference.digest !== undefined)
      throw new TsboxError(`pull all tags of ${show(repository)}: it names one`, { code: "reference_invalid" });
    const client = new Registry(registry);
    const wanted = platform === undefined ? undefined : parsePlatform(platform);
    const pulled: PulledImage[] = [];
    const from = { store: this.#store, registry: client };
    return this.#run(`pull ${show(repository)}`, options, async () => {
      for (const tag of await client.tags(reference, options.signal ? { signal: options.signal } : {}))
        pulled.push(await pullImage(from, { ...reference, tag }, wanted, this.#with(options)));
      return pulled;
    });
  }

  /**
   * Sends an image to the registry that its name says. What is there is not sent again, and what is in another
   * repository of it is taken from there. Layers that are not compressed are, with gzip, as registries expect it.
   * @throws TsboxError `image_not_found`, and as for `pull`
   */
  async push(name: string, asked: PushOptions = {}): Promise<PushedImage> {
    checkNames(name);
    checkImageOptions("push", asked);
    const { registry, ...options } = asked;
    const reference = withDefaultTag(parseReference(name));
    if (reference.digest !== undefined)
      throw new TsboxError(`push ${show(name)}: a digest cannot be pushed to`, { code: "reference_invalid" });
    const { onProgress, signal } = options;
    const push = { store: this.#store, registry: new Registry(registry), reference, onProgress };
    return this.#run(`push ${show(name)}`, options, () => pushImage(push, this.#get(name), signal));
  }

  /** Every tag of a repository that is here. */
  async pushAll(repository: string, options: PushOptions = {}): Promise<PushedImage[]> {
    checkNames(repository);
    checkImageOptions("pushAll", options);
    const wanted = familiarRepository(parseReference(repository));
    const isWanted = (tag: string) => familiarRepository(anyReference(tag) as Reference) === wanted;
    const tags = this.#summaries().flatMap((image) => image.tags.filter((tag) => anyReference(tag) && isWanted(tag)));
    if (tags.length === 0) throw notFound(repository);
    const pushed: PushedImage[] = [];
    for (const tag of tags) pushed.push(await this.push(tag, options));
    return pushed;
  }

  /** Gives an image another name; an image that had it before keeps its others. */
  async tag(name: string, target: string): Promise<void> {
    checkNames(name, target);
    this.#store.setName(newName(target, "tag"), this.#get(name).descriptor);
  }

  /** Whether there is an image of this name, or whose id begins so. */
  async exists(name: string): Promise<boolean> {
    checkNames(name);
    return this.#store.findImage(name) !== undefined;
  }

  /** The newest first. */
  async list(filters: ImageFilters = {}): Promise<ImageSummary[]> {
    checkImageOptions("list", filters);
    return filterImages(this.#summaries(), filters, (name) => this.#summary(this.#get(name)));
  }

  /** @throws TsboxError `image_not_found` */
  async inspect(name: string): Promise<ImageInspect> {
    const image = this.#get(name);
    const layers = this.#layersOf(image).filter((layer) => layer !== undefined);
    return inspectImage(image, layers, this.#store.metadata.originOf(image.descriptor.digest)?.at);
  }

  /** The last step first. @throws TsboxError `image_not_found` */
  async history(name: string): Promise<HistoryStep[]> {
    const image = this.#get(name);
    const sizes = this.#layersOf(image).map((layer) => layer?.bytes ?? 0);
    return historyOf(image.id, image.config, sizes, familiarNames(image.names).tags);
  }

  /**
   * Images as one archive: for `docker load`, or an OCI image layout alone. A name without a tag stands for all that its
   * repository has.
   * @param options.as what an image that is asked for by its id is called there: whole names
   * @throws TsboxError `image_not_found`
   */
  async save(
    names: readonly string[],
    options: { format?: ArchiveFormat; signal?: AbortSignal; as?: string[] } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    checkNames(...(Array.isArray(names) ? names : [names]));
    checkImageOptions("save", options);
    const { format = "docker", signal, as = [] } = options;
    const store = this.#store;
    const chosen = chooseSaved(names, store.images(), (name) => this.#get(name));
    const saved = chosen.map(({ image, names: own }): SavedImage => {
      const descriptor = manifestDescriptor(image, store.blobSize(image.manifestDigest) as number);
      return { descriptor, manifest: image.manifest, names: own.length > 0 ? own : as };
    });
    return streamOf(archivePieces(store, planArchive(saved, format), signal));
  }

  /**
   * The images of an archive: of `docker save`, or an OCI image layout, packed as it may be.
   * @param source a file by its path, or bytes
   * @throws TsboxError `image_invalid`, `digest_mismatch`, `platform_not_found`, `store_unavailable`
   */
  async load(source: ArchiveSource, asked: TransferOptions & { platform?: string } = {}): Promise<LoadedImage[]> {
    checkSource(source);
    checkImageOptions("load", asked);
    const { platform, ...options } = asked;
    const wanted = platform === undefined ? undefined : parsePlatform(platform);
    return this.#run("load the archive", options, () => loadImages(this.#store, source, wanted, this.#with(options)));
  }

  /**
   * An archive of a file system as an image of one layer.
   * @throws TsboxError `invalid_option` for a change that cannot be made, `image_invalid`, `store_unavailable`
   */
  async import(
    source: ArchiveSource,
    asked: Omit<ImportOptions, Inner | "platform"> & MadeOptions & { platform?: string } = {},
  ): Promise<LoadedImage> {
    checkSource(source);
    checkImageOptions("import", asked);
    const { reference, platform, ...options } = asked;
    const made = namesFor(reference);
    const wanted = platform === undefined ? {} : { platform: parsePlatform(platform) };
    const { id } = await this.#run("import the archive", options, () =>
      importImage(this.#store, sourcePieces(source, options.signal), {
        ...this.#with(options),
        ...made,
        ...wanted,
      }),
    );
    return { id, names: made.names.map(familiarReference) };
  }

  /**
   * A new image of what lies in an overlay's upper directory, over the image that is below it.
   * @param base name or id; without one there is nothing below
   */
  async commit(
    base: string | undefined,
    upper: string,
    asked: Omit<CommitOptions, Inner> & MadeOptions = {},
  ): Promise<LoadedImage> {
    checkNames(base ?? "", upper);
    checkImageOptions("commit", asked);
    const { reference, ...options } = asked;
    const made = namesFor(reference);
    const below = base === undefined ? undefined : this.#get(base);
    const { id } = await this.#run("commit", options, () =>
      commitImage(this.#store, below, upper, { ...this.#with(options), ...made }),
    );
    return { id, names: made.names.map(familiarReference) };
  }

  /**
   * Takes a name away; with the last one the image goes, and what only it needs. By an id all names go.
   * @param options.force also an id with names in several repositories
   * @throws TsboxError `image_not_found`, `image_in_use` where a sandbox uses it, or a container, and nothing is forced
   */
  async remove(name: string, options: { force?: boolean } = {}): Promise<RemovedImages> {
    checkImageOptions("remove", options);
    const { force = false } = options;
    const store = this.#store;
    const image = this.#get(name);
    const { names, isLast, byId } = planRemoval(image, name, force);
    if (!isLast) {
      for (const each of names) store.removeName(each);
      return { untagged: names.map(familiarName), deleted: [], freedBytes: 0 };
    }
    if (keepForContainers(store.containersOf(image), image, name, { byId, force })) {
      for (const each of names) store.removeName(each);
      return { untagged: names.map(familiarName), deleted: [], freedBytes: 0 };
    }
    const wanted = byId ? image.id : image.descriptor.digest;
    const gone = await this.#run(`remove ${show(name)}`, {}, () => store.removeImage(wanted, { force: true }));
    return removed(gone, [image]);
  }

  /** Images that nobody needs go, and what is left of downloads and removals that broke off. */
  async prune(options: PruneOptions = {}): Promise<RemovedImages> {
    checkImageOptions("prune", options);
    const { all = false, ...filters } = options;
    const store = this.#store;
    const before = store.images();
    const chosen = new Map((await this.list(filters)).map((image) => [image.id, image]));
    const isGone = ({ id, names }: StoredImage) => {
      const image = chosen.get(id);
      return image !== undefined && (all || isDangling(image) || names.length === 0);
    };
    const gone = await this.#run("prune images", {}, () => store.prune({ images: isGone }));
    return removed(gone, before);
  }

  async diskUsage(): Promise<DiskUsage> {
    const { images, blobs, layers, reclaimableBytes } = this.#store.diskUsage();
    const active = images.filter(({ isUsed }) => isUsed).length;
    return { images: images.length, active, sizeBytes: blobs.bytes + layers.bytes, reclaimableBytes };
  }

  #get(name: string): StoredImage {
    checkNames(name);
    const image = this.#store.findImage(name);
    if (!image) throw notFound(name);
    return image;
  }

  /** One for each id, whatever manifests lead to it. */
  #summaries(): ImageSummary[] {
    const time = ({ created }: ImageSummary) => created?.getTime() ?? 0;
    const byId = Map.groupBy(this.#store.images(), ({ id }) => id);
    return [...byId.values()]
      .map(([image, ...others]) => this.#summary(image as StoredImage, others))
      .toSorted((a, b) => time(b) - time(a));
  }

  #with<Options extends TransferOptions>(options: Options): Options & { ids: IdMaps | undefined } {
    return { ...options, ids: this.#ids };
  }

  /** The lowest first; undefined for one that is not unpacked. */
  #layersOf(image: StoredImage): (StoredLayer | undefined)[] {
    return this.#store.layersOf(image).map(({ chainId }) => this.#store.findLayer(chainId, this.#ids));
  }

  #summary(image: StoredImage, others: readonly StoredImage[] = []): ImageSummary {
    const { id, manifestDigest, config, platform } = image;
    return {
      id,
      digest: manifestDigest,
      ...familiarNames([image, ...others].flatMap(({ names }) => names)),
      created: createdOf(config),
      sizeBytes: this.#layersOf(image).reduce((sum, layer) => sum + (layer?.bytes ?? 0), 0),
      labels: config.config?.Labels ?? {},
      platform,
    };
  }
}

function removed({ names, images, layers, bytes }: Removed, before: readonly StoredImage[]): RemovedImages {
  const ids = before.filter(({ descriptor }) => images.includes(descriptor.digest)).map(({ id }) => id);
  const chains = layers.map((key): Digest => `sha256:${key.split("-")[0] as string}`);
  return { untagged: names.map(familiarName), deleted: [...new Set([...ids, ...chains])], freedBytes: bytes };
}

const namesFor = (name: string | undefined): { names: Reference[] } => ({
  names: name === undefined ? [] : [newName(name, "name the image")],
});

/** A digest says what bytes are: nobody can give it. @throws TsboxError `reference_invalid` */
function newName(name: string, action: string): Reference {
  const reference = withDefaultTag(parseReference(name));
  if (reference.digest === undefined) return reference;
  throw new TsboxError(`${action} ${show(name)}: a name with a digest is not given`, { code: "reference_invalid" });
}

/** Nothing is read before it is asked for. */
function streamOf(pieces: Pieces): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let next = await iterator.next();
        // who enqueues nothing is not asked again
        while (!next.done && next.value.length === 0) next = await iterator.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: async () => void (await iterator.return?.()),
    },
    { highWaterMark: 0 },
  );
}

const notFound = (name: string) =>
  new TsboxError(`find the image ${show(name)}: it is not here`, {
    code: "image_not_found",
    hint: `tsbox pull ${name}`,
  });
