/** The digest of what is selected: over all that counts of it, in an order that is always the same. @module */
import { Digester, digestOf, hexOf } from "../../image/index.ts";
import { isWhiteout, type Looked, type Merged, type Stated } from "../../layer/index.ts";
import { textOfAttributes } from "./attributes.ts";
import { withZeros, type Piece } from "./content.ts";
import type { Hashes } from "./hashes.ts";
import { join } from "./names.ts";
import type { OpenTree } from "./open-tree.ts";
import type { Recorded } from "./recorded.ts";
import type { Match } from "./sources.ts";
import type { Part } from "./walk.ts";

/** Of the files of one selection: so much is kept in memory until it is copied. */
const KEPT_BYTES = 32 * 2 ** 20;

/** Takes a millisecond or so. */
const LONG_BYTES = 512 * 1024;

export class Hashing {
  /** What all of it was, by its path. */
  readonly stamps = new Map<string, string>();
  /** Of each source; undefined where that is too much, or not all of it was read. */
  recorded: Recorded[][] | undefined = [];
  #keptBytes = 0;
  readonly #digester = new Digester();
  readonly #open: OpenTree;
  readonly #hashes: Hashes;

  constructor(open: OpenTree, hashes: Hashes) {
    this.#open = open;
    this.#hashes = hashes;
  }

  begin({ pending, others, name }: Match): void {
    this.recorded?.push([]);
    this.#digester.update(pending ? `source\0${others ? "parents" : ""}\0` : `source\0${JSON.stringify(name)}\0`);
  }

  end(): string {
    this.#hashes.keep();
    return hexOf(this.#digester.digest());
  }

  /** Others may have their turn wherever this gives something. */
  *take(part: Part): Generator<void, void> {
    const { path, level } = part;
    if (part.kind === "directory") {
      const { directory } = level;
      const xattrs = this.#open.attributes(directory.xattrs, level.path);
      this.#keep({ path, where: level.path, stated: directory, xattrs });
      // what it is copied into stays as it is
      if (path === "") return;
      this.stamps.set(level.path, stampOf(directory));
      this.#put(path, directory, xattrs ? hexOf(digestOf(textOfAttributes(xattrs))) : "");
      return;
    }
    const { tree } = this.#open;
    const where = (name: string) => join(level.path, name);
    // all of them will be read anyway
    const opened = this.#hashes.isEmpty ? tree.looker.look(part.names, where, true) : undefined;
    const all = opened ?? tree.looker.stat(part.names, where);
    const read = yield* this.#read(part.names, all, where, opened);
    for (const [index, stated] of all.entries()) {
      // gone, or a whiteout
      if (!stated || isWhiteout(stated) || stated.kind === "directory" || stated.kind === "socket") continue;
      const { name, kind } = stated;
      const at = where(name);
      const { hash = "", xattrs, bytes } = read[index] ?? {};
      this.stamps.set(at, read[index]?.isChanging ? CHANGING : stampOf(stated));
      this.#put(join(path, name), stated, kind === "file" ? hash : stampOf(stated));
      if (kind === "file" && !bytes) this.recorded = undefined;
      this.#keep({ path: join(path, name), where: at, stated, xattrs, bytes });
    }
  }

  #keep(recorded: Recorded): void {
    if ((this.#keptBytes += 200 + (recorded.bytes?.length ?? 0)) > KEPT_BYTES) this.recorded = undefined;
    this.recorded?.at(-1)?.push(recorded);
  }

  #put(path: string, { kind, mode, uid, gid }: Stated, what: string): void {
    const { files, ids } = this.#open;
    const rights = kind === "symlink" ? "" : mode.toString(8);
    const owner = files.isContext ? "" : `${ids.toUid(uid)}:${ids.toGid(gid)}`;
    this.#digester.update(Buffer.from(`${kind}\0${path}\0${rights}\0${owner}\0${what}\0`, "latin1"));
  }

  /** Of the files among them, what is not known yet. @param open of all of them, which this closes */
  *#read(
    names: Merged[],
    all: (Stated | undefined)[],
    where: (name: string) => string,
    open: (Looked | undefined)[] | undefined,
  ): Generator<void, (Read | undefined)[]> {
    const found = all.map((stated): Read | undefined => {
      const hash = stated?.stamp === undefined ? undefined : this.#hashes.find(stated.stamp);
      return hash === undefined ? undefined : { hash };
    });
    const missing = all.flatMap((stated, index) => (open || (stated?.stamp && !found[index]) ? [index] : []));
    if (missing.length === 0) return found;
    const { looker } = this.#open.tree;
    const wanted = missing.map((index) => names[index] as Merged);
    const opened = open ?? looker.look(wanted, where);
    try {
      const files = opened.flatMap((file) => (file?.kind === "file" && file.isReadable ? [file] : []));
      const read = new Map<Looked, Read>();
      for (const { file, pieces } of this.#open.content.read(files))
        read.set(file, yield* this.#hash(file, pieces, where));
      const after = looker.stampsOf(
        files.map(({ fd }) => fd),
        (index) => where((files[index] as Looked).name),
      );
      const stamps = new Map(files.map((file, index) => [file, after[index]]));
      for (const [at, index] of missing.entries()) {
        const file = opened[at];
        const [each, stamp] = [file && read.get(file), file && stamps.get(file)];
        if (!each || stamp === undefined) continue;
        found[index] = each;
        if (stamp === all[index]?.stamp) this.#hashes.add(stamp, each.hash);
        else each.isChanging = true;
      }
      return found;
    } finally {
      looker.close(opened.flatMap((file) => (file ? [file.fd] : [])));
    }
  }

  *#hash(file: Looked, pieces: Iterable<Piece>, where: (name: string) => string): Generator<void, Read> {
    const digester = new Digester();
    const isKept = this.recorded !== undefined && this.#keptBytes + file.size <= KEPT_BYTES;
    const bytes = isKept ? new Uint8Array(file.size) : undefined;
    let done = 0;
    for (const piece of withZeros(pieces, file.size)) {
      digester.update(piece);
      bytes?.set(piece, done);
      done += piece.length;
      if (piece.length >= LONG_BYTES) yield;
    }
    const content = hexOf(digester.digest());
    const xattrs = this.#open.attributes(file.xattrs, where(file.name));
    const hash = xattrs ? hexOf(digestOf(`${content}${textOfAttributes(xattrs)}`)) : content;
    return { hash, xattrs, bytes };
  }
}

interface Read {
  hash: string;
  xattrs?: Map<string, Uint8Array> | undefined;
  bytes?: Uint8Array | undefined;
  /** What has been read is neither what it was before, nor what it is now. */
  isChanging?: boolean;
}

const CHANGING = "changing";

/** The same as long as it is the same. */
export function stampOf({ kind, mode, stamp, linkName, major, minor }: Stated): string {
  if (kind === "file") return stamp ?? "";
  return kind === "symlink" ? (linkName ?? "") : `${kind}:${mode}:${major}:${minor}`;
}
