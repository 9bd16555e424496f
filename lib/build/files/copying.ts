/** Files of a selection on their way into a target: what is read of each, and what is written. @module */
import type { Turn } from "../../../syscalls/index.ts";
import type { TarPiece, TarTime } from "../../../wasm/index.ts";
import { isWhiteout, type Looked, type Stated } from "../../layer/index.ts";
import { entriesIfArchive } from "./archive.ts";
import { withZeros } from "./content.ts";
import { groupPath, stampOf } from "./hashing.ts";
import { join, split, textOf } from "./names.ts";
import type { OpenTree } from "./open-tree.ts";
import type { Recorded } from "./recorded.ts";
import type { SelectedFiles } from "./selection.ts";
import type { Match } from "./sources.ts";
import type { Style } from "./style.ts";
import { inTheWay, type Target, type Written } from "./target.ts";
import { EntriesInto } from "./unpack.ts";
import type { Part } from "./walk.ts";

/** Takes a millisecond or so. */
const LONG_BYTES = 512 * 1024;
/** Of those that are made on the way. */
const DIRECTORY_MODE = 0o755;

export class Copying {
  readonly #selection: SelectedFiles;
  readonly #from: OpenTree;
  readonly #into: Target;
  readonly #style: Style;
  #isSame = true;
  readonly #seen = new Set<string>();
  /** Of the source that is copied. */
  #match: Match | undefined;
  #to = "";
  /** Where files with several names went first. */
  #names = new Map<string, string>();
  /** The last source that was a file, by where it went. */
  readonly #single = new Map<string, string>();

  constructor(selection: SelectedFiles, from: OpenTree, into: Target, style: Style) {
    this.#selection = selection;
    this.#from = from;
    this.#into = into;
    this.#style = style;
  }

  /** @throws TsboxError `file_refused` where what is at the destination cannot be had out of the way */
  begin(match: Match, { path, isDirectory }: { path: string; isDirectory: boolean }): void {
    this.#match = match;
    this.#names = new Map();
    const into = this.#into;
    this.#make(into.resolve(isDirectory ? path : split(path)[0]).path);
    const place = into.resolve(path);
    const kind = place.path === "" || place.pending ? "directory" : place.found?.stated.kind;
    if (match.pending) {
      if (kind !== undefined && kind !== "directory") throw inTheWay(place.path, `a directory, but a ${kind} is there`);
      this.#make(place.path);
      this.#to = place.path;
      return;
    }
    this.#to = kind === "directory" ? join(place.path, match.name) : place.path;
    this.#make(split(this.#to)[0]);
    const other = this.#single.get(this.#to);
    if (other !== undefined && !isDirectory && kind !== "directory")
      throw inTheWay(
        this.#to,
        `both "${textOf(other)}" and "${textOf(match.path)}" go there: end the destination with "/"`,
      );
    this.#single.set(this.#to, match.path);
  }

  #make(path: string): void {
    const { uid, gid } = this.#style.owner ?? { uid: 0, gid: 0 };
    this.#into.makeDirectories(path, { mode: this.#style.mode?.directory ?? DIRECTORY_MODE, uid, gid });
  }

  /** Whether it was an archive, which then has been unpacked below the destination. */
  async unpacked(match: Match, destination: string, turn: Turn): Promise<boolean> {
    if (match.found.stated.kind !== "file") return false;
    const { looker } = this.#from.tree;
    for (const part of this.#selection.parts(this.#from, match)) {
      if (part.kind === "directory") continue;
      const where = (name: string) => join(part.level.path, name);
      const opened = looker.look(part.names, where);
      try {
        const [file] = opened;
        if (file?.kind !== "file" || !file.isReadable) return false;
        for (const { pieces } of this.#from.content.read([file])) {
          const entries = entriesIfArchive(withZeros(pieces, file.size), textOf(where(file.name)));
          if (!entries) return false;
          await this.#unpack(entries, destination, turn);
        }
        this.#compare(part, opened);
        return true;
      } finally {
        looker.close(opened.flatMap((each) => (each ? [each.fd] : [])));
      }
    }
    return false;
  }

  async #unpack(entries: Iterable<TarPiece>, destination: string, turn: Turn): Promise<void> {
    const { path } = this.#into.resolve(destination);
    const { owner } = this.#style;
    this.#into.makeDirectories(path, { mode: DIRECTORY_MODE, uid: owner?.uid ?? 0, gid: owner?.gid ?? 0 });
    const unpacking = new EntriesInto(this.#into, path, { owner, time: (time) => this.#time(time) });
    for (const piece of entries) {
      unpacking.take(piece);
      await turn();
    }
  }

  /** Others may have their turn wherever this gives something. */
  *take(part: Part): Generator<void, void> {
    if (part.kind === "files") return yield* this.#files(part);
    const { directory } = part.level;
    const xattrs = this.#from.attributes(directory.xattrs, part.level.path);
    if (part.path !== "") this.#compareOne(part.level.path, stampOf(directory));
    this.write({ path: part.path, where: part.level.path, stated: directory, xattrs });
  }

  #owned(looked: Stated): Pick<Written, "mode" | "uid" | "gid" | "mtime"> {
    const { owner, mode } = this.#style;
    const { files, ids } = this.#from;
    const own = files.isContext ? { uid: 0, gid: 0 } : { uid: ids.toUid(looked.uid), gid: ids.toGid(looked.gid) };
    return {
      ...(owner ?? own),
      mode: mode && looked.kind !== "symlink" ? mode.of(looked.mode, looked.kind === "directory") : looked.mode,
      mtime: this.#time(looked.mtime),
    };
  }

  #time(mtime: TarTime): TarTime {
    const { latest } = this.#style;
    return latest !== undefined && mtime.seconds >= latest ? { seconds: latest, nanoseconds: 0 } : mtime;
  }

  *#files(part: Part & { kind: "files" }): Generator<void, void> {
    const { path, level, names } = part;
    const { looker } = this.#from.tree;
    const where = (name: string) => join(level.path, name);
    const opened = looker.look(names, where);
    try {
      const there = opened.flatMap((file) => (file && !isWhiteout(file) ? [file] : []));
      const contents = there.filter(({ kind, isReadable }) => kind === "file" && isReadable);
      // in the order of their names, as whoever packs them has them
      let next = 0;
      const writeOthers = (until?: Looked) => {
        for (; next < there.length && there[next] !== until; next++) {
          const stated = there[next] as Looked;
          if (stated.kind !== "file") this.write({ path: join(path, stated.name), where: where(stated.name), stated });
        }
      };
      for (const { file, pieces } of this.#from.content.read(contents)) {
        writeOthers(file);
        const xattrs = this.#from.attributes(file.xattrs, where(file.name));
        if (!this.write({ path: join(path, file.name), where: where(file.name), stated: file, xattrs })) continue;
        for (const { bytes, offset } of pieces) {
          this.#into.data(bytes, offset);
          if (bytes.length >= LONG_BYTES) yield;
        }
      }
      writeOthers();
      this.#compare(part, opened);
    } finally {
      looker.close(opened.flatMap((file) => (file ? [file.fd] : [])));
    }
  }

  writeRecorded(recorded: Recorded): void {
    const { bytes } = recorded;
    if (this.write(recorded) && bytes && bytes.length > 0) this.#into.data(bytes, 0);
  }

  /**
   * The next of the source, without its content.
   * @returns whether that is to follow
   * @throws TsboxError `file_refused` where what is there cannot be had out of the way
   */
  write({ path, where, stated, xattrs }: Omit<Recorded, "bytes">): boolean {
    const { kind, size, linkName, major, minor, identity } = stated;
    const into = this.#into;
    // what is copied into stays as it is
    if (kind === "directory" && path === "") into.touch(this.#to, this.#time(stated.mtime));
    if (kind === "socket" || (kind === "directory" && path === "")) return false;
    const to = this.#match?.pending ? join(this.#to, path) : this.#to;
    const there = into.kindOf(to);
    if (there !== undefined && (there === "directory") !== (kind === "directory"))
      throw inTheWay(to, `a ${kind}, but a ${there} is there`);
    if ((kind === "character device" || kind === "block device") && this.#from.files.isContext)
      throw inTheWay(to, `"${textOf(where)}" in the build context is a ${kind}`);
    const owned = this.#owned(stated);
    const first = identity === undefined ? undefined : this.#names.get(identity);
    if (first !== undefined && first !== to) {
      into.write(to, { type: "hard link", ...owned, linkName: first });
      return false;
    }
    if (identity !== undefined) this.#names.set(identity, to);
    const link = kind === "symlink" ? { linkName: linkName ?? "" } : {};
    into.write(to, { type: kind, ...owned, size, major, minor, ...link, ...(xattrs ? { xattrs } : {}) });
    return kind === "file";
  }

  /** What has been read is what its digest says, unless it was changed in between. */
  #compare(part: Part & { kind: "files" }, opened: (Looked | undefined)[]): void {
    if (!this.#selection.stamps) return;
    this.#compareOne(groupPath(part), this.#from.tree.looker.stampOf(part.names, opened));
  }

  #compareOne(path: string, stamp: string): void {
    const { stamps } = this.#selection;
    if (!stamps) return;
    this.#seen.add(path);
    if (stamps.get(path) !== stamp) this.#isSame = false;
  }

  /** All was as its digest said, and nothing was gone. */
  get isSame(): boolean {
    return this.#isSame && this.#seen.size === (this.#selection.stamps?.size ?? 0);
  }
}
