/**
 * ADD of an archive: its entries become files below the destination, which is their root: no name and no symlink leads
 * out of it. What is in an entry's way goes, but for a directory that stays one.
 * @module
 */
import { show, TsboxError } from "../../../syscalls/index.ts";
import type { TarPiece, TarRecord, TarTime } from "../../../wasm/index.ts";
import { pathOf, textOfName } from "../../layer/index.ts";
import { bytesOf, join, split, textOf } from "./names.ts";
import type { Owner } from "./owner.ts";
import type { Target } from "./target.ts";

const IMPLIED = { mode: 0o755, uid: 0, gid: 0 };

export interface UnpackStyle {
  /** Of all that is unpacked; otherwise what the archive says. */
  owner: Owner | undefined;
  time: (time: TarTime) => TarTime;
}

export class EntriesInto {
  readonly #into: Target;
  readonly #base: string;
  readonly #style: UnpackStyle;
  #isFile = false;

  /** @param base a directory of the target, without symlinks */
  constructor(into: Target, base: string, style: UnpackStyle) {
    this.#into = into;
    this.#base = base;
    this.#style = style;
  }

  /** @throws TsboxError `archive_refused` */
  take({ entry, bytes, offset }: TarPiece): void {
    if (entry) this.#entry(entry);
    else if (this.#isFile) this.#into.data(bytes, offset);
  }

  #entry(entry: TarRecord): void {
    const { type, size, major, minor, xattrs } = entry;
    const name = nameOf(entry.nameBytes, entry.name);
    const path = bytesOf(inside(name));
    this.#isFile = false;
    if (path === "") {
      if (type === "directory") return;
      throw refused(name, `a ${type} without a name`);
    }
    const at = join(this.#above(split(path)[0]), split(path)[1]);
    this.#isFile = type === "file";
    const { uid, gid } = this.#style.owner ?? entry;
    this.#into.write(at, {
      type,
      mode: entry.mode,
      uid,
      gid,
      size,
      mtime: this.#style.time(entry.mtime),
      major,
      minor,
      ...this.#linkOf(entry, name),
      ...(xattrs ? { xattrs } : {}),
    });
  }

  #linkOf(entry: TarRecord, name: string): { linkName?: string } {
    const target = nameOf(entry.linkNameBytes, entry.linkName);
    if (entry.type === "symlink") return { linkName: bytesOf(target) };
    if (entry.type !== "hard link") return {};
    const path = bytesOf(inside(target));
    const at = join(this.#above(split(path)[0]), split(path)[1]);
    if (path === "" || !this.#into.isWritten(at))
      throw refused(name, `a hard link to ${show(target)}, which is not in the archive before it`);
    return { linkName: at };
  }

  /** The directory that an entry is made in; made where there is none. */
  #above(path: string): string {
    const { path: at } = this.#into.resolve(path, this.#base);
    this.#into.makeDirectories(at, IMPLIED);
    return at;
  }
}

const nameOf = (bytes: Uint8Array | undefined, text: string): string => (bytes ? textOfName(bytes) : text);

function inside(name: string): string {
  try {
    return pathOf(name);
  } catch {
    throw refused(name, '".." leads out of the destination');
  }
}

const refused = (name: string, why: string): TsboxError =>
  new TsboxError(`unpack ${show(textOf(bytesOf(name)))}: ${why}`, { code: "archive_refused", path: name });
