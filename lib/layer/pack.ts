/**
 * A directory as a tar: the upper directory of an overlay as a layer, or a whole tree as it is seen. Sorted by name,
 * each directory before what is in it, files before the directories beside them; the same tree is always the same bytes.
 * Sockets are left out, as in Docker; holes are not read, and are zeros in the archive, as many tools read no others.
 *
 * What is in the directory may be hostile, and may be changing: `look.ts` says how it is reached. What is gone by the
 * time it is its turn is left out; of a file that grows or shrinks, there is as much as its header says.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
import { turns } from "../../syscalls/index.ts";
import { OPAQUE, WHITEOUT_PREFIX } from "../../wasm/index.ts";
import { Digester, type Digest } from "../image/index.ts";
import type { TarHeader, TarTime } from "../tar/index.ts";
import { attributesOf, imageIds, withImageIds, type IdMaps, type ImageIds } from "./attributes.ts";
import { GROUP } from "./look.ts";
import { DT, isWhiteout, refused, type Looked } from "./looked.ts";
import { Output } from "./output.ts";
import { Reading } from "./reading.ts";
import { joinPath, Tree, type Level, type Merged, type Pending } from "./merged.ts";

export interface PackLimits {
  /** Files, directories and whatever else has a name. */
  entries: number;
  /** Of files together. */
  bytes: number;
  /** Of holes in files: a file of a few blocks can be as long as a disk. */
  holeBytes: number;
}

export interface PackOptions {
  /** Which ids of the host, on disk, are which ones of the image. Without: the same. */
  ids?: IdMaps;
  /** The same of the upper directory, where that has others than those below it: made in a user namespace of root's. */
  upperIds?: IdMaps;
  /**
   * Directories of the upper one, as absolute paths: what was written in them is left out. They are for what is kept
   * apart, as volumes are.
   */
  exclude?: readonly string[];
  /** Seconds since 1970: what was changed later is told to be of then. @see https://reproducible-builds.org/specs/source-date-epoch/ */
  sourceDateEpoch?: number;
  /** Whether the directory itself is an entry, `./`. */
  root?: boolean;
  /** A directory in the tree, as an absolute path in it, that is packed instead; where there is none, nothing is. */
  from?: string;
  limits?: Partial<PackLimits>;
  signal?: AbortSignal;
}

export interface Packed {
  /** Of the archive, uncompressed. */
  diffId: Digest;
  bytes: number;
  entries: number;
}

/** Takes pieces of an archive, each of which is good until what it gives is settled. */
export type Sink = (bytes: Uint8Array) => void | Promise<void>;

const LIMITS: PackLimits = { entries: 10_000_000, bytes: 2 ** 40, holeBytes: 2 ** 33 };

/**
 * The upper directory of an overlay, as a layer: its whiteouts and opaque directories as those of the specification.
 * @throws TsboxError `archive_refused` for what no layer can hold: names that mean whiteouts, files whose content is in
 * another layer (redirect_dir, metacopy), paths of more than 4095 bytes, and what exceeds the limits
 */
export function packLayer(upper: string, sink: Sink, options: PackOptions = {}): Promise<Packed> {
  return pack([upper], sink, options, "layer");
}

/**
 * Upper directories that lie over each other, the topmost first, as one layer: what they hide of the layers below them
 * all is hidden by it.
 * @throws TsboxError as {@link packLayer}
 */
export function packLayers(uppers: readonly string[], sink: Sink, options: PackOptions = {}): Promise<Packed> {
  return pack([...uppers], sink, options, "layer");
}

/** What is seen where directories lie over each other, as one tree: `docker export`. Nothing is mounted for it. */
export function packTree(
  lowers: string[],
  upper: string | undefined,
  sink: Sink,
  options: PackOptions = {},
): Promise<Packed> {
  return pack(upper === undefined ? lowers : [upper, ...lowers], sink, options, "tree");
}

async function pack(directories: string[], sink: Sink, options: PackOptions, as: "layer" | "tree"): Promise<Packed> {
  const { signal, limits } = options;
  signal?.throwIfAborted();
  using reading = new Reading(directories, options.ids);
  using output = new Output(reading.looker.batch, { ...LIMITS, ...limits });
  const tree = new Tree(reading.looker, reading.tops);
  const upperIds = options.upperIds ? imageIds(options.upperIds) : reading.ids;
  const packing = new Packing(tree, output, { upper: upperIds, lower: reading.ids }, as, options);
  const digester = new Digester();
  let bytes = 0;
  const turn = turns(signal);
  for (const piece of packing.all()) {
    digester.update(piece);
    bytes += piece.length;
    const taken = sink(piece);
    if (taken) await taken;
    await turn();
  }
  return { diffId: digester.digest(), bytes, entries: packing.entries };
}

/** Of the directories that lie over each other. */
const UPPER = 0;

const NOBODYS: Omit<TarHeader, "name"> = {
  type: "file",
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
};

class Packing {
  readonly #tree: Tree;
  readonly #output: Output;
  readonly #ids: { upper: ImageIds; lower: ImageIds };
  readonly #excluded: ReadonlySet<string>;
  readonly #isLayer: boolean;
  readonly #options: PackOptions;
  readonly #maxEntries: number;
  /** Where it begins. */
  #start = "";
  /** The names that files with several were packed under, by what the files are. */
  readonly #names = new Map<string, string>();
  entries = 0;

  constructor(
    tree: Tree,
    output: Output,
    ids: { upper: ImageIds; lower: ImageIds },
    as: "layer" | "tree",
    options: PackOptions,
  ) {
    this.#tree = tree;
    this.#output = output;
    this.#ids = ids;
    this.#isLayer = as === "layer";
    this.#options = options;
    this.#excluded = new Set(options.exclude?.map((path) => Buffer.from(path.slice(1)).toString("latin1")));
    this.#maxEntries = options.limits?.entries ?? LIMITS.entries;
  }

  *all(): Generator<Uint8Array, void> {
    const { from } = this.#options;
    const start = from === undefined ? this.#tree.root : this.#tree.find(Buffer.from(from).toString("latin1"));
    const stack: Pending[] = start ? [start] : [];
    this.#start = start?.path ?? "";
    for (let next; (next = stack.pop());) {
      const isExcluded = this.#excluded.has(next.path);
      const below = isExcluded ? next.layers.filter((layer) => layer !== UPPER) : next.layers;
      const level = this.#tree.enter(below.length > 0 ? { ...next, layers: below } : next);
      if (!level) continue;
      try {
        if (below.length === 0) {
          yield* this.#directory({ ...level, attributes: { ...level.attributes, isOpaque: false } });
          continue;
        }
        if (this.#isLayer) checkNames(level);
        yield* this.#directory(level);
        const names = level.names.filter(({ type }) => type !== DT.directory && type !== DT.socket);
        // whiteouts come before what is beside them
        names.sort((a, b) => Number(b.type === DT.character) - Number(a.type === DT.character));
        for (let at = 0; at < names.length; at += GROUP) yield* this.#group(level.path, names.slice(at, at + GROUP));
        for (const pending of this.#tree.below(level)) stack.push(pending);
      } finally {
        this.#tree.leave(level);
      }
    }
    yield* this.#output.end();
  }

  *#directory({ path, layer, directory, attributes }: Level): Generator<Uint8Array, void> {
    if (path !== this.#start || this.#options.root) {
      this.#count(path);
      yield* this.#output.put(this.#header(path, directory, layer, "directory", attributes.xattrs));
    }
    if (attributes.isOpaque && this.#isLayer)
      yield* this.#output.put({ ...NOBODYS, name: bytesOf(joinPath(path, OPAQUE)) });
  }

  *#group(path: string, wanted: Merged[]): Generator<Uint8Array, void> {
    const { looker } = this.#tree;
    const all = looker.look(wanted, (name) => joinPath(path, name));
    try {
      for (const [at, looked] of all.entries()) {
        if (looked) yield* this.#entry(joinPath(path, looked.name), looked, (wanted[at] as Merged).layer);
      }
      this.#output.settle();
    } finally {
      looker.close(all.flatMap((looked) => (looked ? [looked.fd] : [])));
    }
  }

  *#entry(path: string, looked: Looked, layer: number): Generator<Uint8Array, void> {
    const { kind, name } = looked;
    const hides = isWhiteout(looked);
    if (this.#isLayer && name.startsWith(WHITEOUT_PREFIX))
      throw refused(path, "a name that means a whiteout in layers");
    // replaced by something else since its name was read
    if (kind === "directory" || kind === "socket" || (kind === "file" && !looked.isReadable)) return;
    if (hides && !this.#isLayer) return;
    this.#count(path);
    if (hides) {
      const hidden = path.slice(0, path.length - name.length) + WHITEOUT_PREFIX + name;
      return yield* this.#output.put({ ...NOBODYS, name: bytesOf(hidden) });
    }
    if (kind !== "file") return yield* this.#output.put(this.#header(path, looked, layer, kind));
    const { xattrs } = attributesOf(looked.xattrs, path);
    const first = this.#firstName(looked, path);
    if (first !== undefined) {
      const header = this.#header(path, looked, layer, "hard link");
      return yield* this.#output.put({ ...header, linkName: bytesOf(this.#told(first)) });
    }
    const header = { ...this.#header(path, looked, layer, "file", xattrs), size: looked.size };
    yield* this.#output.putFile(header, looked, path);
  }

  /** The name that a file was packed under before. */
  #firstName({ identity }: Looked, path: string): string | undefined {
    if (identity === undefined) return undefined;
    const first = this.#names.get(identity);
    if (first === undefined) this.#names.set(identity, path);
    return first;
  }

  #header(
    path: string,
    looked: Looked,
    layer: number,
    type: TarHeader["type"],
    xattrs?: Map<string, Uint8Array>,
  ): TarHeader {
    const ids = layer === UPPER ? this.#ids.upper : this.#ids.lower;
    const { mode, uid, gid, mtime, major, minor, linkName } = looked;
    return {
      name: bytesOf(type === "directory" ? `${this.#told(path) || "."}/` : this.#told(path)),
      type,
      mode,
      uid: ids.toUid(uid),
      gid: ids.toGid(gid),
      size: 0,
      mtime: this.#clamped(mtime),
      ...(type === "symlink" && linkName !== undefined ? { linkName: bytesOf(linkName) } : {}),
      ...(type === "character device" || type === "block device" ? { major, minor } : {}),
      ...(xattrs ? { xattrs: withImageIds(xattrs, ids) } : {}),
    };
  }

  /** From where it begins. */
  #told(path: string): string {
    return this.#start === "" ? path : path.slice(this.#start.length + 1);
  }

  #clamped(mtime: TarTime): TarTime {
    const { sourceDateEpoch: epoch } = this.#options;
    return epoch !== undefined && mtime.seconds >= epoch ? { seconds: epoch, nanoseconds: 0 } : mtime;
  }

  #count(path: string): void {
    if (++this.entries > this.#maxEntries)
      throw refused(path, `more than ${this.#maxEntries} entries`, "limits.entries");
  }
}

/** What they are here, they would not be where the layer is unpacked. */
function checkNames({ path, names }: Level): void {
  const found = names.find(({ name }) => name.startsWith(WHITEOUT_PREFIX));
  if (found) throw refused(joinPath(path, found.name), "a name that means a whiteout in layers");
}

const bytesOf = (path: string): Uint8Array => Buffer.from(path, "latin1");
