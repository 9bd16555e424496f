/** The digest of what is selected: over all that counts of it, in an order that is always the same. @module */
import { Digester, digestOf, hexOf } from "../../image/index.ts";
import { isWhiteout, type Looked, type Merged, type Stated, type StatedGroup } from "../../layer/index.ts";
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
  /** Of files, and of groups of them: what has not changed is not looked at one by one. */
  readonly #hashes: { files: Hashes; groups: Hashes };
  #unchanged = 0;

  constructor(open: OpenTree, hashes: { files: Hashes; groups: Hashes }) {
    this.#open = open;
    this.#hashes = hashes;
  }

  begin({ pending, others, name }: Match): void {
    this.recorded?.push([]);
    this.#digester.update(pending ? `source\0${others ? "parents" : ""}\0` : `source\0${JSON.stringify(name)}\0`);
  }

  end(): string {
    this.#hashes.groups.keep();
    this.#hashes.files.keep(this.#unchanged);
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
      this.#put(this.#digester, path, directory, xattrs ? hexOf(digestOf(textOfAttributes(xattrs))) : "");
      return;
    }
    const { groups } = this.#hashes;
    const where = (name: string) => join(level.path, name);
    const group = this.#open.tree.looker.stat(part.names, where);
    const known = groups.find(group.stamp);
    const found = known === undefined ? yield* this.#takeGroup(part, group, where) : { hash: known, isChanging: false };
    if (known === undefined) {
      if (group.isWhole && !found.isChanging) groups.add(group.stamp, found.hash, group.changed);
    } else {
      this.recorded = undefined;
      this.#unchanged += part.names.length;
    }
    this.stamps.set(groupPath(part), found.isChanging ? CHANGING : group.stamp);
    this.#digester.update(Buffer.from(`group\0${path}\0${found.hash}\0`, "latin1"));
  }

  *#takeGroup(
    { path, names }: Part & { kind: "files" },
    group: StatedGroup,
    where: (name: string) => string,
  ): Generator<void, { hash: string; isChanging: boolean }> {
    const digester = new Digester();
    const all = group.all();
    const read = yield* this.#read(names, all, where);
    let isChanging = false;
    for (const [index, stated] of all.entries()) {
      isChanging ||= !stated;
      // gone, or a whiteout
      if (!stated || isWhiteout(stated) || stated.kind === "directory" || stated.kind === "socket") continue;
      const { name, kind } = stated;
      const { hash = "", xattrs, bytes } = read[index] ?? {};
      isChanging ||= read[index]?.isChanging ?? false;
      this.#put(digester, name, stated, kind === "file" ? hash : stampOf(stated));
      if (kind === "file" && !bytes) this.recorded = undefined;
      this.#keep({ path: join(path, name), where: where(name), stated, xattrs, bytes });
    }
    return { hash: hexOf(digester.digest()), isChanging };
  }

  #keep(recorded: Recorded): void {
    if ((this.#keptBytes += 200 + (recorded.bytes?.length ?? 0)) > KEPT_BYTES) this.recorded = undefined;
    this.recorded?.at(-1)?.push(recorded);
  }

  #put(digester: Digester, path: string, { kind, mode, uid, gid }: Stated, what: string): void {
    const { files, ids } = this.#open;
    const rights = kind === "symlink" ? "" : mode.toString(8);
    const owner = files.isContext ? "" : `${ids.toUid(uid)}:${ids.toGid(gid)}`;
    digester.update(Buffer.from(`${kind}\0${path}\0${rights}\0${owner}\0${what}\0`, "latin1"));
  }

  /** Of the files among them, what is not known yet. */
  *#read(
    names: Merged[],
    all: (Stated | undefined)[],
    where: (name: string) => string,
  ): Generator<void, (Read | undefined)[]> {
    const found = all.map((stated): Read | undefined => {
      const hash = stated?.stamp === undefined ? undefined : this.#hashes.files.find(stated.stamp);
      return hash === undefined ? undefined : { hash };
    });
    const missing = all.flatMap((stated, index) => (stated?.stamp && !found[index] ? [index] : []));
    if (missing.length === 0) return found;
    const { looker } = this.#open.tree;
    const wanted = missing.map((index) => names[index] as Merged);
    const opened = looker.look(wanted, where);
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
        if (stamp === all[index]?.stamp) this.#hashes.files.add(stamp, each.hash, changedOf(stamp));
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

/** What the stamp of a group is found by. */
export const groupPath = ({ level, names }: Part & { kind: "files" }): string => `${level.path}\0${names[0]?.name}`;

/** In a stamp. */
const [CTIME_AT, MTIME_AT] = [16, 32];

/** The later of the two times of a file's stamp. */
function changedOf(stamp: string): number {
  const { buffer } = Uint8Array.fromHex(stamp);
  const view = new DataView(buffer);
  return Math.max(...[CTIME_AT, MTIME_AT].map((at) => Number(view.getBigInt64(at, true))));
}

/** The same as long as it is the same. */
export function stampOf({ kind, mode, stamp, linkName, major, minor }: Stated): string {
  if (kind === "file") return stamp ?? "";
  return kind === "symlink" ? (linkName ?? "") : `${kind}:${mode}:${major}:${minor}`;
}
