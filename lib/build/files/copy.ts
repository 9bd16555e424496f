/**
 * COPY: files of a selection into a target, as BuildKit does it: a directory's content goes into the destination, a file
 * to it or, where it is a directory, into it; directories are joined, files replaced, one kind never by another.
 * @module
 */
import type { TarPiece, TarTime } from "../../../wasm/index.ts";
import { isWhiteout, type Level, type Looked } from "../../layer/index.ts";
import { entriesIfArchive } from "./archive.ts";
import { withZeros } from "./content.ts";
import type { Copied, CopyOptions, CopyTarget } from "./face.ts";
import { modeChange, type ModeChange } from "./mode.ts";
import { bytesOf, join, split, textOf } from "./names.ts";
import { ownerOf, type Owner } from "./owner.ts";
import { OpenTree, Turns, type SelectedFiles } from "./selection.ts";
import type { Match } from "./sources.ts";
import { inTheWay, Target, type Written } from "./target.ts";
import { EntriesInto } from "./unpack.ts";
import type { Part } from "./walk.ts";

const DIRECTORY_MODE = 0o755;

/** Of all that is copied. */
export interface Style {
  owner: Owner | undefined;
  mode: ModeChange | undefined;
  latest: number | undefined;
}

export const styleOf = ({ chown, chmod, latest }: CopyOptions, layers: readonly string[]): Style => ({
  owner: chown === undefined ? undefined : ownerOf(chown, layers),
  mode: chmod === undefined ? undefined : modeChange(chmod),
  latest,
});

/** Absolute; with a slash at its end where it has to be a directory. */
export function destinationOf({ destination, workingDirectory }: CopyOptions): { path: string; isDirectory: boolean } {
  const path = destination.startsWith("/") ? destination : `${workingDirectory}/${destination}`;
  return { path: bytesOf(path), isDirectory: /(?:^|\/)\.{0,2}$/.test(destination) };
}

export async function copyFiles(selection: SelectedFiles, target: CopyTarget, options: CopyOptions): Promise<Copied> {
  options.signal?.throwIfAborted();
  if (selection.isEmpty) return { changed: [] };
  const { latest, link = false } = options;
  const style = styleOf(options, [target.upper, ...target.lower.layers]);
  using into = new Target(target, { latest, isAlone: link });
  using from = new OpenTree(selection.tree);
  const copying = new Copying(selection, from, into, style);
  const turns = new Turns(options.signal);
  for (const match of selection.matches) {
    if (options.unpack && (await copying.unpacked(match, destinationOf(options).path, turns))) continue;
    copying.begin(match, destinationOf(options));
    for (const part of selection.parts(from, match)) {
      copying.take(part);
      await turns.next();
    }
  }
  into.finish();
  return { changed: copying.changed };
}

export class Copying {
  readonly changed: string[] = [];
  readonly #selection: SelectedFiles;
  readonly #from: OpenTree;
  readonly #into: Target;
  readonly #style: Style;
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
  async unpacked(match: Match, destination: string, turns: Turns): Promise<boolean> {
    if (match.found.stated.kind !== "file") return false;
    const { looker } = this.#from.tree;
    for (const part of this.#selection.parts(this.#from, match)) {
      if (part.kind === "directory") continue;
      const where = (name: string) => join(part.level.path, name);
      const opened = looker.look(part.names, where).flatMap((file) => file ?? []);
      try {
        const [file] = opened.filter(({ kind, isReadable }) => kind === "file" && isReadable);
        if (!file) return false;
        for (const { pieces } of this.#from.content.read([file])) {
          const entries = entriesIfArchive(withZeros(pieces, file.size), textOf(where(file.name)));
          if (!entries) return false;
          await this.#unpack(entries, destination, turns);
        }
        this.#compare([file], where);
        return true;
      } finally {
        looker.close(opened.map(({ fd }) => fd));
      }
    }
    return false;
  }

  async #unpack(entries: Iterable<TarPiece>, destination: string, turns: Turns): Promise<void> {
    const { path } = this.#into.resolve(destination);
    const { owner } = this.#style;
    this.#into.makeDirectories(path, { mode: DIRECTORY_MODE, uid: owner?.uid ?? 0, gid: owner?.gid ?? 0 });
    const unpacking = new EntriesInto(this.#into, path, { owner, time: (time) => this.#time(time) });
    for (const piece of entries) {
      unpacking.take(piece);
      await turns.next();
    }
  }

  take(part: Part): void {
    if (part.kind === "directory") this.#directory(part.path, part.level);
    else this.#files(part);
  }

  #directory(path: string, level: Level): void {
    const { directory, attributes } = level;
    // what is copied into stays as it is
    if (path === "") return this.#into.touch(this.#to, this.#time(directory.mtime));
    const to = join(this.#to, path);
    const there = this.#into.kindOf(to);
    if (there !== undefined && there !== "directory") throw inTheWay(to, `a directory, but a ${there} is there`);
    const xattrs = this.#from.attributes({ ...directory, xattrs: attributes.xattrs ?? NONE }, level.path);
    this.#into.write(to, { type: "directory", ...this.#owned(directory), ...(xattrs ? { xattrs } : {}) });
  }

  #owned(looked: Looked): Pick<Written, "mode" | "uid" | "gid" | "mtime"> {
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

  #files({ path, level, names }: Extract<Part, { kind: "files" }>): void {
    const { looker } = this.#from.tree;
    const where = (name: string) => join(level.path, name);
    const opened = looker.look(names, where);
    try {
      const there = opened.flatMap((file) => (file && !isWhiteout(file) ? [file] : []));
      const contents = there.filter((file) => file.kind === "file" && file.isReadable);
      const reading = this.#from.content.read(contents.filter((file) => this.#isFirst(file, path)));
      for (const file of there) {
        const to = this.#place(path, file.name);
        this.#checkPlace(to, file);
        if (file.kind === "file") this.#file(file, to, where(file.name), reading);
        else this.#other(file, to, where(file.name));
      }
      this.#compare(contents, where);
    } finally {
      looker.close(opened.flatMap((file) => (file ? [file.fd] : [])));
    }
  }

  #place(path: string, name: string): string {
    return this.#match?.pending ? join(this.#to, join(path, name)) : this.#to;
  }

  #checkPlace(to: string, { kind }: Looked): void {
    if (kind === "socket" || kind === "directory") return;
    if (this.#into.kindOf(to) === "directory") throw inTheWay(to, `a ${kind}, but a directory is there`);
  }

  /** Of the names that one file has. */
  #isFirst({ identity, name }: Looked, path: string): boolean {
    if (identity === undefined) return true;
    if (this.#names.has(identity)) return false;
    this.#names.set(identity, this.#place(path, name));
    return true;
  }

  #file(file: Looked, to: string, where: string, reading: ReturnType<OpenTree["content"]["read"]>): void {
    if (!file.isReadable) return;
    const first = file.identity === undefined ? to : this.#names.get(file.identity);
    if (first !== undefined && first !== to) {
      this.#into.write(to, { type: "hard link", ...this.#owned(file), linkName: first });
      return;
    }
    const xattrs = this.#from.attributes(file, where);
    this.#into.write(to, { type: "file", ...this.#owned(file), size: file.size, ...(xattrs ? { xattrs } : {}) });
    const next = reading.next();
    if (next.done || next.value.file !== file) throw new Error("files are read in their order");
    for (const { bytes, offset } of next.value.pieces) this.#into.files.data(bytes, offset);
  }

  #other(file: Looked, to: string, where: string): void {
    const { kind, linkName, major, minor } = file;
    if (kind === "socket" || kind === "directory" || kind === "file") return;
    if (kind === "symlink") {
      this.#into.write(to, { type: "symlink", ...this.#owned(file), ...(linkName === undefined ? {} : { linkName }) });
      return;
    }
    if (kind !== "fifo" && this.#from.files.isContext)
      throw inTheWay(to, `"${textOf(where)}" in the build context is a ${kind}`);
    this.#into.write(to, { type: kind, ...this.#owned(file), major, minor });
  }

  /** What has been read is what its digest says, unless it was changed in between. */
  #compare(files: Looked[], where: (name: string) => string): void {
    if (!this.#selection.isHashed) return;
    const after = this.#from.tree.looker.stampsOf(
      files.map(({ fd }) => fd),
      (index) => where((files[index] as Looked).name),
    );
    for (const [index, file] of files.entries()) {
      const path = where(file.name);
      if (this.#selection.stampOf(path) !== after[index]) this.changed.push(textOf(path));
    }
  }
}

const NONE = new Map<string, Uint8Array>();
