/** What the sources of a COPY came to, and what that is called: its digest. @module */
import { excluding, type Ignore } from "../../dockerfile/index.ts";
import { Digester, digestOf, hexOf } from "../../image/index.ts";
import { isWhiteout, Reading, Tree, type ImageIds, type Looked, type Merged, type Stated } from "../../layer/index.ts";
import { keptAttributes, textOfAttributes } from "./attributes.ts";
import { Content, withZeros } from "./content.ts";
import type { FileTree, Selection, SelectOptions } from "./face.ts";
import { Hashes } from "./hashes.ts";
import { join, split, textOf } from "./names.ts";
import { matchesOf, type Match } from "./sources.ts";
import { walk, type Filter, type Part } from "./walk.ts";

/** The event loop has its turn in between. */
const TURN_MS = 20;

/** A tree that is open to be read. */
export class OpenTree implements Disposable {
  readonly files: FileTree;
  readonly tree: Tree;
  readonly ids: ImageIds;
  readonly content: Content;
  readonly #reading: Reading;

  constructor(files: FileTree) {
    this.files = files;
    const { layers, ids, isContext } = files;
    // what is mounted in a user's directory is a part of it; in the store nothing is
    this.#reading = new Reading(layers, ids, isContext);
    this.tree = new Tree(this.#reading.looker, this.#reading.tops);
    this.ids = this.#reading.ids;
    this.content = new Content(this.#reading.looker);
  }

  [Symbol.dispose](): void {
    this.content[Symbol.dispose]();
    this.#reading[Symbol.dispose]();
  }

  /** A plain file, open; undefined where it is none any more. */
  use<T>(path: string, layer: number, use: (file: Looked) => T): T | undefined {
    const [above, name] = split(path);
    const { looker } = this.tree;
    const level = this.tree.enter({ path: above, layers: [layer] });
    if (!level) return undefined;
    try {
      const opened = looker.look(
        level.names.filter((each) => each.name === name),
        () => path,
      );
      try {
        const [file] = opened;
        return file?.kind === "file" && file.isReadable ? use(file) : undefined;
      } finally {
        looker.close(opened.flatMap((file) => (file ? [file.fd] : [])));
      }
    } finally {
      this.tree.leave(level);
    }
  }

  /** Of a file or a directory, as the image has them. */
  attributes({ xattrs }: Looked, where: string): Map<string, Uint8Array> | undefined {
    return keptAttributes(xattrs, where, this.ids, this.files.isContext);
  }
}

/** Gives others a turn from time to time. */
export class Turns {
  #since = performance.now();
  readonly #signal: AbortSignal | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  async next(): Promise<void> {
    this.#signal?.throwIfAborted();
    if (performance.now() - this.#since < TURN_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#since = performance.now();
    this.#signal?.throwIfAborted();
  }
}

export class SelectedFiles implements Selection {
  readonly tree: FileTree;
  readonly matches: readonly Match[];
  readonly #exclude: Ignore | undefined;
  readonly #hashes: string | undefined;
  /** Of files, when they were hashed. */
  #stamps: Map<string, string> | undefined;
  #digest: Promise<string> | undefined;

  /**
   * @param hashes where it is kept what files were
   * @throws TsboxError `file_not_found`, `file_refused`, `invalid_option`
   */
  constructor(files: FileTree, options: SelectOptions, hashes?: string) {
    this.tree = files;
    this.#hashes = hashes;
    const { exclude = [] } = options;
    this.#exclude = exclude.length > 0 ? excluding(exclude) : undefined;
    using open = new OpenTree(files);
    this.matches = matchesOf(open.tree, files, options).filter((match) => match.pending || !this.#excludes(match));
  }

  get isEmpty(): boolean {
    return this.matches.length === 0;
  }

  /** One that was named itself, by that name or the whole path. */
  #excludes({ path, name }: Match): boolean {
    const exclude = this.#exclude;
    return exclude !== undefined && [name, path].some((each) => exclude.isIgnored(textOf(each)));
  }

  /** What a file was when it was hashed; undefined where nothing was. */
  stampOf(path: string): string | undefined {
    return this.#stamps?.get(path);
  }

  get isHashed(): boolean {
    return this.#stamps !== undefined;
  }

  /** A directory's parts; those of a file are of the directory that it is in. */
  *parts(open: OpenTree, match: Match): Generator<Part, void> {
    const { ignore } = this.tree;
    const { pending, others } = match;
    const excluded = [this.#exclude, others].filter((each) => each !== undefined);
    const filter: Filter = { ...(ignore ? { ignore } : {}), excluded };
    if (pending) return yield* walk(open.tree, pending, filter);
    const [above, name] = split(match.path);
    const layer = match.found.layers[0] as number;
    const level = open.tree.enter({ path: above, layers: [layer] });
    if (!level) return;
    try {
      const names = level.names.filter((each) => each.name === name);
      yield { kind: "files", path: "", level, names };
    } finally {
      open.tree.leave(level);
    }
  }

  digest(): Promise<string> {
    return (this.#digest ??= this.#computed());
  }

  async #computed(): Promise<string> {
    using open = new OpenTree(this.tree);
    const hashing = new Hashing(open, new Hashes(this.#hashes, this.tree));
    const turns = new Turns();
    for (const match of this.matches) {
      hashing.begin(match);
      for (const part of this.parts(open, match)) {
        hashing.take(part);
        await turns.next();
      }
    }
    this.#stamps = hashing.stamps;
    return hashing.end();
  }
}

class Hashing {
  readonly stamps = new Map<string, string>();
  readonly #digester = new Digester();
  readonly #open: OpenTree;
  readonly #hashes: Hashes;

  constructor(open: OpenTree, hashes: Hashes) {
    this.#open = open;
    this.#hashes = hashes;
  }

  begin({ pending, others, name }: Match): void {
    this.#digester.update(pending ? `source\0${others ? "parents" : ""}\0` : `source\0${JSON.stringify(name)}\0`);
  }

  end(): string {
    this.#hashes.keep();
    return hexOf(this.#digester.digest());
  }

  take(part: Part): void {
    const { path, level } = part;
    if (part.kind === "directory") {
      // what it is copied into stays as it is
      if (path === "") return;
      const { directory, attributes } = level;
      const xattrs = this.#open.attributes(
        attributes.xattrs ? { ...directory, xattrs: attributes.xattrs } : { ...directory, xattrs: new Map() },
        level.path,
      );
      this.#put(path, "directory", directory, textOfAttributes(xattrs));
      return;
    }
    const { tree } = this.#open;
    const where = (name: string) => join(level.path, name);
    const all = tree.looker.stat(part.names, where);
    const hashes = this.#hashesOf(level.path, part.names, all);
    for (const [index, stated] of all.entries()) {
      // gone, or a whiteout
      if (!stated || isWhiteout(stated) || stated.kind === "directory" || stated.kind === "socket") continue;
      const { kind, name, linkName, major, minor } = stated;
      const what =
        kind === "file" ? (hashes[index] ?? "") : kind === "symlink" ? (linkName ?? "") : `${major}:${minor}`;
      this.#put(join(path, name), kind, stated, what);
    }
  }

  #put(path: string, kind: Stated["kind"], { mode, uid, gid }: Stated, what: string): void {
    const { files, ids } = this.#open;
    const rights = kind === "symlink" ? "" : mode.toString(8);
    const owner = files.isContext ? "" : `${ids.toUid(uid)}:${ids.toGid(gid)}`;
    this.#digester.update(Buffer.from(`${kind}\0${path}\0${rights}\0${owner}\0${what}\0`, "latin1"));
  }

  /** Of the files among them. */
  #hashesOf(above: string, names: Merged[], all: (Stated | undefined)[]): (string | undefined)[] {
    const hashes = all.map((stated) => {
      if (stated?.stamp === undefined) return undefined;
      this.stamps.set(join(above, stated.name), stated.stamp);
      return this.#hashes.find(stated.stamp);
    });
    const missing = all.flatMap((stated, index) => (stated?.stamp && hashes[index] === undefined ? [index] : []));
    if (missing.length === 0) return hashes;
    const { looker } = this.#open.tree;
    const where = (name: string) => join(above, name);
    const opened = looker.look(
      missing.map((index) => names[index] as Merged),
      where,
    );
    try {
      const files = opened.flatMap((file) => (file?.kind === "file" && file.isReadable ? [file] : []));
      const found = new Map<Looked, string>();
      for (const { file, pieces } of this.#open.content.read(files)) {
        const digester = new Digester();
        for (const bytes of withZeros(pieces, file.size)) digester.update(bytes);
        const hash = hexOf(digester.digest());
        const attributes = textOfAttributes(this.#open.attributes(file, where(file.name)));
        found.set(file, attributes === "" ? hash : hexOf(digestOf(`${hash}${attributes}`)));
      }
      const after = looker.stampsOf(
        files.map(({ fd }) => fd),
        (index) => where((files[index] as Looked).name),
      );
      const stamps = new Map(files.map((file, index) => [file, after[index]]));
      for (const [at, index] of missing.entries()) {
        const file = opened[at];
        const stamp = file && stamps.get(file);
        const hash = file && found.get(file);
        if (hash === undefined || stamp === undefined) continue;
        hashes[index] = hash;
        const was = all[index]?.stamp;
        // changed meanwhile: what has been read is neither the one nor the other
        if (stamp === was) this.#hashes.add(stamp, hash);
        else this.stamps.set(where(file?.name ?? ""), "changing");
      }
      return hashes;
    } finally {
      looker.close(opened.flatMap((file) => (file ? [file.fd] : [])));
    }
  }
}
