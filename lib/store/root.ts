/**
 * Where a store is, and its directories, held open: no name in them leads anywhere else.
 *
 * ```
 * ROOT/version     of all this
 *      lock        held while names change, and while it is decided what goes
 *      spare       room for another index.json, for when the disk is full
 *      oci/        an OCI image layout, which other tools read and write
 *      layers/     unpacked layers, each a directory
 *      ingest/     what is not whole yet, and what is going
 *      tsbox.db    what the layout cannot say
 *      state.spare room for databases to be opened in, for when the disk is full: lib/state
 * ```
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
import {
  absolute,
  Directory,
  effectiveUid,
  ERRNO,
  OpenFile,
  show,
  standStill,
  TsboxError,
} from "../../syscalls/index.ts";
import type { DigestAlgorithm } from "../image/index.ts";
import { openRoot } from "../state/index.ts";
import { storing, unavailable } from "./failure.ts";

const VERSION = 1;
const LAYOUT_VERSION = "1.0.0";
const EMPTY_INDEX = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}';
const SPARE = "spare";
const PRIVATE = 0o700;
/** Of the small files here. */
const LIMIT_BYTES = 4096;
const SPARE_BYTES = 256 * 1024;
/** So long one process waits for another that changes names. */
const LOCK_MS = 30_000;

const encode = (text: string) => new TextEncoder().encode(text);
const decoder = new TextDecoder();

/** @throws TsboxError `invalid_option` where nothing says where it could be */
export function defaultRoot(environment: Record<string, string | undefined> = process.env): string {
  const { TSBOX_ROOT: asked, XDG_DATA_HOME: data, HOME: home } = environment;
  if (asked) return absolute(asked);
  if (effectiveUid() === 0) return "/var/lib/tsbox";
  // the specification has relative ones ignored
  if (data?.startsWith("/")) return absolute(`${data}/tsbox`);
  if (home?.startsWith("/")) return absolute(`${home}/.local/share/tsbox`);
  throw new TsboxError("find the store: neither HOME nor XDG_DATA_HOME is set", {
    code: "invalid_option",
    hint: "say where it is with TSBOX_ROOT or --root",
  });
}

export class StoreRoot implements Disposable {
  readonly path: string;
  readonly isReadOnly: boolean;
  readonly root: Directory;
  /** Those that were needed so far. */
  readonly #opened = new Map<string, Directory>();
  #isLocked = false;

  /**
   * Makes it where there is none, unless it is only to be read.
   * @throws TsboxError `store_unavailable`
   */
  constructor(path: string, isReadOnly: boolean) {
    this.path = path;
    this.isReadOnly = isReadOnly;
    this.root = storing(() => openRoot(path, isReadOnly ? "read" : "make"));
    try {
      if (!this.#hasVersion()) this.locked(() => this.#hasVersion() || this.#build());
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const directory of [this.root, ...this.#opened.values()]) directory[Symbol.dispose]();
    this.#opened.clear();
  }

  get oci(): Directory {
    return this.#kept("oci", () => this.#open(this.root, "oci"));
  }

  get blobs(): Directory {
    return this.#kept("blobs", () => this.#open(this.oci, "blobs"));
  }

  get layers(): Directory {
    return this.#kept("layers", () => this.#open(this.root, "layers"));
  }

  get ingest(): Directory {
    return this.#kept("ingest", () => this.#open(this.root, "ingest"));
  }

  #kept(name: string, open: () => Directory): Directory {
    let directory = this.#opened.get(name);
    if (!directory) this.#opened.set(name, (directory = open()));
    return directory;
  }

  #open(above: Directory, name: string): Directory {
    return storing(() => {
      const directory = above.directory(name);
      if (directory) return directory;
      if (this.isReadOnly || above.status(name) !== undefined)
        throw unavailable(`open the store ${show(this.path)}`, `${name} is no directory`);
      Directory.make(`${above.path}/${name}`, PRIVATE);
      return above.directory(name) as Directory;
    });
  }

  #hasVersion(): boolean {
    const written = storing(() => this.root.read("version", LIMIT_BYTES));
    if (written === undefined) return false;
    const version = decoder.decode(written).trim();
    if (version === String(VERSION)) return true;
    const newer = Number(version) > VERSION;
    throw unavailable(
      `open the store ${show(this.path)}`,
      newer ? `its version is ${version}, and this tsbox is for ${VERSION}` : `${show(version)} is no version`,
      newer ? "use a newer tsbox, or another store with TSBOX_ROOT or --root" : undefined,
    );
  }

  /** Whole when its version is written, whatever was there before. */
  #build(): void {
    if (this.isReadOnly) throw unavailable(`open the store ${show(this.path)}`, "there is none");
    storing(() => {
      using oci = this.#open(this.root, "oci");
      using blobs = this.#open(oci, "blobs");
      for (const each of [
        this.#open(blobs, "sha256"),
        this.#open(this.root, "layers"),
        this.#open(this.root, "ingest"),
      ])
        each[Symbol.dispose]();
      const layout = encode(JSON.stringify({ imageLayoutVersion: LAYOUT_VERSION }));
      if (oci.status("index.json") === undefined) oci.replace("index.json", encode(EMPTY_INDEX), 0o644, true);
      if (oci.status("oci-layout") === undefined) oci.replace("oci-layout", layout, 0o644, true);
      this.makeSpare();
      this.root.replace("version", encode(`${VERSION}\n`), 0o644, true);
    });
  }

  /** Where there is room for it. */
  makeSpare(): void {
    try {
      if (this.root.status(SPARE)) return;
      using file = OpenFile.open(this.root, SPARE, { as: "maker" });
      if (file?.allocate(SPARE_BYTES) === false) this.root.remove(SPARE);
    } catch (error) {
      if (!(error instanceof TsboxError)) throw error;
    }
  }

  /** Does what removes more than it adds: on a full disk once more, without the spare room. */
  withSpare(work: () => void): void {
    try {
      work();
    } catch (error) {
      const isFull = error instanceof TsboxError && (error.errno === ERRNO.ENOSPC || error.errno === ERRNO.EDQUOT);
      if (!isFull || !this.root.status(SPARE)) throw error;
      this.root.remove(SPARE);
      work();
    }
  }

  /** Of the blobs with such digests; undefined where there are none, and it is not to be made. */
  algorithm(algorithm: DigestAlgorithm, make = false): Directory | undefined {
    const there = this.#opened.get(algorithm);
    if (there) return there;
    const found = make ? this.#open(this.blobs, algorithm) : storing(() => this.blobs.directory(algorithm));
    if (found) this.#opened.set(algorithm, found);
    return found;
  }

  /** @throws TsboxError `store_unavailable` where it was opened for reading alone, or its layout is another than ours */
  checkWritable(action: string): void {
    if (this.isReadOnly) throw unavailable(action, `the store ${show(this.path)} was opened for reading`);
    checkLayout(this.oci);
  }

  /**
   * Does what no other process may do at the same time; it is short, and does not wait for anything.
   * @throws TsboxError `store_unavailable` where another one does not come to an end
   */
  locked<T>(work: () => T): T {
    if (this.#isLocked) return work();
    const as = this.isReadOnly ? "reader" : "maker";
    using file = storing(() => OpenFile.open(this.root, "lock", { as }));
    if (!file) throw unavailable(`open the store ${show(this.path)}`, "there is none");
    for (const end = performance.now() + LOCK_MS; !file.tryLock("exclusive"); standStill(1)) {
      if (performance.now() < end) continue;
      throw unavailable(`lock the store ${show(this.path)}`, `another process has had it for ${LOCK_MS / 1000} s`);
    }
    this.#isLocked = true;
    try {
      return work();
    } finally {
      this.#isLocked = false;
      file.unlock();
    }
  }
}

/** Other tools write in place, also what is there already: what is cut short now may be whole in a moment. */
const [PATIENCE_MS, AGAIN_MS] = [50, 5];

/** @param attempt undefined where it found something cut short */
export function patiently<T>(attempt: () => T | undefined): T | undefined {
  for (const end = performance.now() + PATIENCE_MS; ; standStill(AGAIN_MS)) {
    const result = attempt();
    if (result !== undefined || performance.now() > end) return result;
  }
}

function checkLayout(oci: Directory): void {
  const action = `open the image layout ${show(oci.path)}`;
  const layout = patiently(() => {
    const bytes = storing(() => oci.read("oci-layout", LIMIT_BYTES));
    if (!bytes) throw unavailable(action, "oci-layout is missing");
    try {
      return Object(JSON.parse(decoder.decode(bytes))) as Record<string, unknown>;
    } catch {
      return undefined;
    }
  });
  if (!layout) throw unavailable(action, "oci-layout is no JSON");
  const { imageLayoutVersion: version } = layout;
  if (version !== LAYOUT_VERSION) throw unavailable(action, `its version ${show(version)} is not ${LAYOUT_VERSION}`);
}
