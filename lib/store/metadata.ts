/**
 * What the image layout cannot say, in SQLite: when and from where an image came, which tar a blob is of, where else a
 * blob is known to be, and how many images need what. Nothing of it is needed to start an image, nothing is loaded for
 * that; and what is lost with it is lost for listings alone: the rest is read from the layout again.
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { isDigest, type Digest } from "../image/index.ts";
import { Database } from "../state/index.ts";
import { blobStatus } from "./blobs.ts";
import { layersOf, tryLoad } from "./images.ts";
import { readIndexFile } from "./index-file.ts";
import { neededBy } from "./marking.ts";
import type { StoreRoot } from "./root.ts";

const FILE = "tsbox.db";
const VERSION = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS images (digest TEXT PRIMARY KEY, pulled_from TEXT, pulled_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS layers (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS layers_by_diff_id ON layers (diff_id);
  CREATE TABLE IF NOT EXISTS sources (digest TEXT NOT NULL, repository TEXT NOT NULL, PRIMARY KEY (digest, repository)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS needs (image TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (image, kind, name)) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS needs_by_name ON needs (kind, name);
`;

/** How an image came here. */
export interface Origin {
  /** The whole reference that it was pulled by; undefined where it was made or loaded here. */
  from?: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** How many images need a blob, or an unpacked layer, by its digest or the hexadecimal digits of its chainId. */
export interface ReferenceCounts {
  blobs: Map<Digest, number>;
  layers: Map<string, number>;
}

type Row = Record<string, unknown>;

export class Metadata implements Disposable {
  readonly #root: StoreRoot;
  readonly #database: Database;

  constructor(root: StoreRoot) {
    this.#root = root;
    this.#database = new Database({
      file: FILE,
      version: VERSION,
      schema: SCHEMA,
      // nothing is written to a store that is only read: what the layout says is put together in memory
      directory: () => (root.isReadOnly ? undefined : root.root),
      locked: (work) => root.locked(work),
      build: (database) => this.#build(database),
    });
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }

  /** @param digest of the manifest, or of the image index, that names lead to */
  setOrigin(digest: Digest, { from, at }: Origin): void {
    this.#database.use((database) =>
      database
        .prepare("INSERT OR REPLACE INTO images (digest, pulled_from, pulled_at) VALUES (?, ?, ?)")
        .run(digest, from ?? null, Math.round(at)),
    );
  }

  originOf(digest: Digest): Origin | undefined {
    const row = this.#rows("SELECT pulled_from, pulled_at FROM images WHERE digest = ?", digest)[0];
    if (!row) return undefined;
    const { pulled_from: from, pulled_at: at } = row;
    return { at: Number(at), ...(typeof from === "string" ? { from } : {}) };
  }

  /** A blob is a layer: this tar, uncompressed. */
  setDiffId(digest: Digest, diffId: Digest): void {
    this.#database.use((database) =>
      database.prepare("INSERT OR REPLACE INTO layers (digest, diff_id) VALUES (?, ?)").run(digest, diffId),
    );
  }

  /** Of blobs that are the same layer, however they are compressed. */
  digestsOf(diffId: Digest): Digest[] {
    return digestsIn(this.#rows("SELECT digest FROM layers WHERE diff_id = ? ORDER BY digest", diffId));
  }

  /** A repository has a blob, so that others of its registry can take it from there. */
  addSource(digest: Digest, repository: string): void {
    this.#database.use((database) =>
      database.prepare("INSERT OR IGNORE INTO sources (digest, repository) VALUES (?, ?)").run(digest, repository),
    );
  }

  sourcesOf(digest: Digest): string[] {
    const rows = this.#rows("SELECT repository FROM sources WHERE digest = ? ORDER BY repository", digest);
    return rows.map(({ repository }) => String(repository));
  }

  /** It is not there after all. */
  removeSource(digest: Digest, repository: string): void {
    this.#database.use((database) =>
      database.prepare("DELETE FROM sources WHERE digest = ? AND repository = ?").run(digest, repository),
    );
  }

  /** Of all that images need at present. */
  referenceCounts(): ReferenceCounts {
    this.#database.transaction((database) => this.#countAnew(database));
    const rows = this.#rows("SELECT kind, name, COUNT(*) AS count FROM needs GROUP BY kind, name");
    const counts: ReferenceCounts = { blobs: new Map(), layers: new Map() };
    for (const { kind, name, count } of rows) {
      if (kind === "blob" && isDigest(name)) counts.blobs.set(name, Number(count));
      if (kind === "layer") counts.layers.set(String(name), Number(count));
    }
    return counts;
  }

  /** What an image needs never changes, as its digest would; which images there are does. */
  #countAnew(database: DatabaseSync): void {
    const { entries } = readIndexFile(this.#root);
    const there = new Map(entries.flatMap(({ descriptor }) => (descriptor ? [[descriptor.digest, descriptor]] : [])));
    const known = new Set(
      database
        .prepare("SELECT DISTINCT image FROM needs")
        .all()
        .map(({ image }) => String(image)),
    );
    const add = database.prepare("INSERT OR IGNORE INTO needs (image, kind, name) VALUES (?, ?, ?)");
    for (const image of known) {
      if (!there.has(image as Digest)) database.prepare("DELETE FROM needs WHERE image = ?").run(image);
    }
    for (const [image, descriptor] of there) {
      if (known.has(image)) continue;
      const { blobs, layers } = neededBy(this.#root, [{ descriptor }]);
      for (const blob of blobs) add.run(image, "blob", blob);
      for (const layer of layers) add.run(image, "layer", layer);
    }
  }

  /** What the layout says; from where images were pulled is lost. */
  #build(database: DatabaseSync): void {
    this.#countAnew(database);
    const origin = database.prepare("INSERT OR IGNORE INTO images (digest, pulled_at) VALUES (?, ?)");
    const layer = database.prepare("INSERT OR IGNORE INTO layers (digest, diff_id) VALUES (?, ?)");
    for (const { descriptor } of readIndexFile(this.#root).entries) {
      if (!descriptor) continue;
      origin.run(descriptor.digest, Math.round(blobStatus(this.#root, descriptor.digest)?.modifiedMs ?? 0));
      const image = tryLoad(this.#root, descriptor);
      for (const { descriptor: blob, diffId } of image ? layersOf(image) : []) layer.run(blob.digest, diffId);
    }
  }

  /** What is said of blobs that are gone goes, too. */
  forget(digests: readonly Digest[]): void {
    if (digests.length === 0) return;
    this.#database.transaction((database) => {
      const tables = ["images", "layers", "sources"];
      const removals = tables.map((table) => database.prepare(`DELETE FROM ${table} WHERE digest = ?`));
      for (const digest of digests) for (const removal of removals) removal.run(digest);
    });
  }

  #rows(query: string, ...values: string[]): Row[] {
    return this.#database.use((database) => database.prepare(query).all(...values)) as Row[];
  }
}

const digestsIn = (rows: readonly Row[]): Digest[] => rows.map(({ digest }) => digest).filter(isDigest);
