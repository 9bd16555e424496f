/**
 * What steps have made, by their keys: a layer over the one that they went on from, or nothing. In SQLite, beside the
 * layers; several builds use it at once.
 * @module
 */
import { isDigest, type Descriptor, type Digest } from "../image/index.ts";
import { BUILD_CACHE } from "../store/index.ts";
import { Database, openRoot } from "../state/index.ts";
import { OpenFile, standStill, type Directory } from "../../syscalls/index.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS steps (
    key TEXT PRIMARY KEY, digest TEXT, media_type TEXT, size INTEGER, diff_id TEXT, chain_id TEXT, bytes INTEGER NOT NULL,
    text TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL, uses INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS aliases (key TEXT PRIMARY KEY, step TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS images (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, config TEXT NOT NULL,
    used INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** What was used a moment ago need not be written down again. */
const NOTED_MS = 10 * 60 * 1000;

/** A layer, over those below it. */
export interface Layer {
  diffId: Digest;
  chainId: Digest;
  descriptor: Descriptor;
}

export interface CachedStep {
  key: string;
  /** Undefined: nothing was changed. */
  layer: Layer | undefined;
  /** Of the layer's files. */
  bytes: number;
  text: string;
  /** Milliseconds since 1970. */
  created: number;
  used: number;
  uses: number;
}

export interface CachedImage {
  manifest: Descriptor;
  config: Digest;
}

type Row = Record<string, unknown>;

export class BuildCache implements Disposable {
  readonly #database: Database;
  readonly #root: Directory;
  /** Keys that were found: written down at the end, at once. */
  readonly #used = new Set<string>();

  /** @param path of the store */
  constructor(path: string) {
    const root = openRoot(path, "make");
    this.#root = root;
    this.#database = new Database({
      file: BUILD_CACHE,
      version: 1,
      schema: SCHEMA,
      directory: () => root,
      locked: (work) => locked(root, work),
    });
  }

  [Symbol.dispose](): void {
    this.#noteUses();
    this.#database[Symbol.dispose]();
    this.#root[Symbol.dispose]();
  }

  find(key: string): CachedStep | undefined {
    const query = `SELECT * FROM steps WHERE key = COALESCE((SELECT step FROM aliases WHERE key = ?1), ?1)`;
    const row = this.#database.use((database) => database.prepare(query).get(key)) as Row | undefined;
    const step = row && stepOf(row);
    if (step && step.used < Date.now() - NOTED_MS) this.#used.add(step.key);
    return step;
  }

  put(step: Omit<CachedStep, "used" | "uses">): void {
    const { key, layer, bytes, text, created } = step;
    const { digest = null, mediaType = null, size = null } = layer?.descriptor ?? {};
    const query = `INSERT OR REPLACE INTO steps
      (key, digest, media_type, size, diff_id, chain_id, bytes, text, created, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
    const ids = [layer?.diffId ?? null, layer?.chainId ?? null];
    this.#database.use((database) =>
      database.prepare(query).run(key, digest, mediaType, size, ...ids, bytes, text, created, Date.now()),
    );
  }

  /** Another key leads to the same. */
  addAlias(key: string, step: string): void {
    if (key === step) return;
    this.#database.use((database) =>
      database.prepare("INSERT OR REPLACE INTO aliases (key, step) VALUES (?, ?)").run(key, step),
    );
  }

  aliasesOf(step: string): string[] {
    const query = "SELECT key FROM aliases WHERE step = ? ORDER BY key";
    return this.#database
      .use((database) => database.prepare(query).all(step))
      .map((row) => String((row as Row)["key"]));
  }

  findImage(key: string): CachedImage | undefined {
    const query = "SELECT digest, media_type, size, config FROM images WHERE key = ?";
    const row = this.#database.use((database) => database.prepare(query).get(key)) as Row | undefined;
    if (!row || !isDigest(row["digest"]) || !isDigest(row["config"])) return undefined;
    const { digest, media_type: mediaType, size, config } = row;
    return { manifest: { mediaType: String(mediaType), digest, size: Number(size) }, config };
  }

  putImage(key: string, { manifest: { digest, mediaType, size }, config }: CachedImage): void {
    const query =
      "INSERT OR REPLACE INTO images (key, digest, media_type, size, config, used) VALUES (?, ?, ?, ?, ?, ?)";
    this.#database.use((database) => database.prepare(query).run(key, digest, mediaType, size, config, Date.now()));
  }

  /** Those that were used last come first. */
  steps(): CachedStep[] {
    const rows = this.#database.use((database) => database.prepare("SELECT * FROM steps ORDER BY used DESC").all());
    return (rows as Row[]).flatMap((row) => stepOf(row) ?? []);
  }

  remove(keys: readonly string[]): void {
    this.#database.transaction((database) => {
      const queries = ["DELETE FROM steps WHERE key = ?", "DELETE FROM aliases WHERE step = ?"];
      const removals = queries.map((query) => database.prepare(query));
      for (const key of keys) for (const removal of removals) removal.run(key);
    });
  }

  /** Whose images are gone is of no use. */
  removeImages(isGone: (image: Digest) => boolean): void {
    this.#database.transaction((database) => {
      const removal = database.prepare("DELETE FROM images WHERE key = ?");
      for (const { key, digest } of database.prepare("SELECT key, digest FROM images").all() as Row[])
        if (isGone(digest as Digest)) removal.run(String(key));
    });
  }

  #noteUses(): void {
    if (this.#used.size === 0) return;
    try {
      this.#database.transaction((database) => {
        const update = database.prepare("UPDATE steps SET used = ?, uses = uses + 1 WHERE key = ?");
        for (const key of this.#used) update.run(Date.now(), key);
      });
    } catch {
      // a full disk: what was used is not known, and pruned too early
    }
    this.#used.clear();
  }
}

/** Nobody else mends it at the same time. */
function locked<T>(root: Directory, work: () => T): T {
  using file = OpenFile.open(root, `${BUILD_CACHE}.lock`, { as: "maker" }) as OpenFile;
  while (!file.tryLock("exclusive")) standStill(1);
  try {
    return work();
  } finally {
    file.unlock();
  }
}

function stepOf(row: Row): CachedStep | undefined {
  const { key, digest, media_type: mediaType, size, diff_id: diffId, chain_id: chainId, text } = row;
  const numbers = { bytes: Number(row["bytes"]), created: Number(row["created"]), used: Number(row["used"]) };
  const common = { key: String(key), text: String(text), ...numbers, uses: Number(row["uses"]) };
  if (digest === null) return { ...common, layer: undefined };
  if (!isDigest(digest) || !isDigest(diffId) || !isDigest(chainId)) return undefined;
  const descriptor = { mediaType: String(mediaType), digest, size: Number(size) };
  return { ...common, layer: { diffId, chainId, descriptor } };
}
