/**
 * The root filesystem that files are copied into: an upper directory, written as the layers are, over those below it,
 * which are only looked at. What has been written is known here, so that nobody waits for it.
 * @module
 */
import { close, O_DIRECTORY, open, removeAttribute, TsboxError, trySyscall } from "../../../syscalls/index.ts";
import {
  DEFAULT_LIMITS,
  LayerFiles,
  Reading,
  rightsFor,
  type SortedArchive,
  Tree,
  WHITEOUT_PREFIX,
  withImageIds,
  type Found,
  type Level,
  type Pending,
  type Stated,
} from "../../layer/index.ts";
import type { TarRecord, TarTime } from "../../../wasm/index.ts";
import type { CopyTarget } from "./face.ts";
import { join, split, textOf } from "./names.ts";
import { resolve, type Place, type Step } from "./place.ts";

/** What is written of a file. */
export interface Written {
  type: TarRecord["type"];
  mode: number;
  uid: number;
  gid: number;
  size?: number;
  mtime: TarTime;
  linkName?: string;
  major?: number;
  minor?: number;
  xattrs?: Map<string, Uint8Array>;
}

/** What is known to be somewhere. */
interface Node {
  kind: Stated["kind"];
  linkName?: string;
  /** Of a directory that was there: what it is made of. */
  pending?: Pending | undefined;
  /** It is in the upper directory. */
  isUpper: boolean;
  /** Written by this. */
  made?: Written;
  /** What is known to be in it; undefined: nothing. */
  below?: Map<string, Node | undefined>;
  /** What was in it, where several have been asked for. */
  types?: Map<string, number>;
  isAsked?: boolean;
}

const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
const UPPER = 0;
const ROOT = { mode: 0o755, uid: 0, gid: 0 };
const S_IRWXU = 0o700;

export class Target implements Disposable {
  /** The topmost first. */
  readonly layers: readonly string[];
  readonly #files: LayerFiles;
  readonly #reading: Reading;
  readonly #tree: Tree;
  readonly #upper: number;
  readonly #root: Node;
  /** The directory that was asked for last: what is copied comes a directory at a time. */
  #last: { path: string; node: Node } | undefined;
  readonly #now: TarTime;
  readonly #archive: SortedArchive | undefined;

  /** @param isAlone nothing of the target counts, but for what this writes */
  constructor(
    { lower, upper, archive }: CopyTarget,
    { latest, isAlone }: { latest?: number | undefined; isAlone: boolean },
  ) {
    this.#archive = archive;
    this.layers = [upper, ...lower.layers];
    const now = Math.floor(Date.now() / 1000);
    this.#now = { seconds: latest === undefined ? now : Math.min(now, latest), nanoseconds: 0 };
    this.#upper = open(upper, O_DIRECTORY | O_NOFOLLOW);
    const undo: (() => void)[] = [() => close(this.#upper)];
    try {
      const rights = rightsFor(lower.ids);
      if (!rights.owners) archive?.giveUp();
      this.#reading = new Reading(isAlone ? [upper] : this.layers, lower.ids);
      undo.push(() => this.#reading[Symbol.dispose]());
      this.#tree = new Tree(this.#reading.looker, this.#reading.tops);
      this.#root = { kind: "directory", pending: this.#tree.root, isUpper: true };
      const root = this.#beginRoot(isAlone);
      rights.hand(upper);
      this.#files = new LayerFiles(this.#upper, { limits: DEFAULT_LIMITS, rights });
      undo.push(() => this.#files[Symbol.dispose]());
      this.write("", root);
    } catch (error) {
      for (const each of undo.toReversed()) each();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
    this.#reading[Symbol.dispose]();
    close(this.#upper);
  }

  /** An empty upper directory is as the ones below say; one with files in it stays as it is. */
  #beginRoot(isAlone: boolean): Written {
    const { root } = this.#tree;
    const level = this.#enter({ path: "", layers: [UPPER] });
    if (level.names.length > 0) return this.#asItIs(level);
    trySyscall("fchmod", this.#upper, S_IRWXU);
    removeAttribute(this.#upper, "system.posix_acl_default");
    const below = root.layers.slice(1);
    if (isAlone || below.length === 0) return { type: "directory", ...ROOT, mtime: this.#now };
    return this.#asItIs(this.#enter({ path: "", layers: below }));
  }

  #enter(pending: Pending): Level {
    const level = this.#tree.enter(pending);
    if (!level) throw new TsboxError(`copy into "/${textOf(pending.path)}": it is gone`, { code: "file_not_found" });
    this.#tree.leave(level);
    return level;
  }

  /** What a directory is, but for its time: something in it changes. */
  #asItIs({ directory, attributes }: Level): Written {
    const { ids } = this.#reading;
    const { mode, uid, gid } = directory;
    const { xattrs } = attributes;
    return {
      type: "directory",
      mode,
      uid: ids.toUid(uid),
      gid: ids.toGid(gid),
      mtime: this.#now,
      ...(xattrs ? { xattrs: withImageIds(xattrs, ids) } : {}),
    };
  }

  /** Where a path leads, as if this, or a directory in it, were the root. */
  resolve(path: string, root = ""): Place {
    const look = (above: Step, name: string) => {
      const node = this.#at(join(above.path, name));
      return node && foundOf(node, name);
    };
    return resolve(this.#tree, path, look, { path: root, pending: this.#at(root)?.pending });
  }

  /** Something that this has written, and that is no directory. */
  isWritten(path: string): boolean {
    return this.#at(path)?.made !== undefined && this.kindOf(path) !== "directory";
  }

  /** What is at a path whose directories are no symlinks; it is not followed itself. */
  kindOf(path: string): Stated["kind"] | undefined {
    return this.#at(path)?.kind;
  }

  #at(path: string): Node | undefined {
    if (path === "") return this.#root;
    if (this.#last?.path === path) return this.#last.node;
    const [above, name] = split(path);
    const directory = this.#directory(above);
    return directory && this.#below(directory, name);
  }

  #directory(path: string): Node | undefined {
    if (this.#last?.path === path) return this.#last.node;
    const node = this.#at(path);
    if (node?.kind !== "directory") return undefined;
    this.#last = { path, node };
    return node;
  }

  #below(directory: Node, name: string): Node | undefined {
    const below = (directory.below ??= new Map<string, Node | undefined>());
    const node = below.get(name);
    if (node !== undefined || below.has(name)) return node;
    const found = this.#look(directory, name);
    below.set(name, found);
    return found;
  }

  #look(directory: Node, name: string): Node | undefined {
    const { pending } = directory;
    if (!pending || this.#isKnownAbsent(directory, pending, name)) return undefined;
    const found = this.#tree.lookUp(pending, name);
    if (!found) return undefined;
    const { stated, layers } = found;
    const { kind, linkName } = stated;
    return {
      kind,
      isUpper: layers[0] === UPPER,
      ...(linkName === undefined ? {} : { linkName }),
      ...(kind === "directory" ? { pending: { path: join(pending.path, name), layers } } : {}),
    };
  }

  /** Whoever asks for a second name in a directory will ask for others. */
  #isKnownAbsent(directory: Node, pending: Pending, name: string): boolean {
    if (!directory.isAsked) {
      directory.isAsked = true;
      return false;
    }
    directory.types ??= new Map(this.#enter(pending).names.map((each) => [each.name, each.type]));
    return !directory.types.has(name);
  }

  /**
   * Makes a directory, and those above it; those that are there stay as they are.
   * @param path without symlinks
   * @throws TsboxError `file_refused` where something else is in the way
   */
  makeDirectories(path: string, attributes: { mode: number; uid: number; gid: number }): void {
    const kind = this.kindOf(path);
    if (kind === "directory") return;
    if (kind !== undefined) throw inTheWay(path, `it is a ${kind}, not a directory`);
    this.makeDirectories(split(path)[0], attributes);
    this.write(path, { type: "directory", ...attributes, mtime: this.#now });
  }

  /** A directory of the layers below is one of the upper as well from now on. */
  #reach(path: string): Node {
    const node = this.#directory(path);
    if (!node) throw inTheWay(path, "it is gone");
    if (node.isUpper) return node;
    this.#reach(split(path)[0]);
    this.#put(path, this.#asItIs(this.#enter(node.pending as Pending)));
    node.isUpper = true;
    return node;
  }

  /** A directory is what it was, but for its time. */
  touch(path: string, mtime: TarTime): void {
    const node = this.#directory(path);
    if (node?.made) this.write(path, { ...node.made, mtime });
    else if (node?.pending) this.write(path, { ...this.#asItIs(this.#enter(node.pending)), mtime });
  }

  /**
   * The next file; the bytes of a plain one come behind it. What is there goes, but for a directory that stays one.
   * @param path without symlinks
   */
  write(path: string, written: Written): void {
    const { type, linkName } = written;
    if (path === "") {
      this.#put(path, written);
      this.#root.made = written;
      return;
    }
    checkName(path);
    const [above, name] = split(path);
    const directory = this.#reach(above);
    const before = this.#below(directory, name);
    // the archive has it already
    if (before?.made && before.kind !== "directory") this.#archive?.giveUp();
    this.#put(path, written);
    const kind = type === "hard link" ? "file" : type;
    if (before?.kind === "directory") {
      if (kind === "directory") {
        before.made = written;
        before.isUpper = true;
        return;
      }
      this.#last = undefined;
    }
    const link = type === "symlink" && linkName !== undefined ? { linkName } : {};
    (directory.below as Map<string, Node>).set(name, { kind, isUpper: true, made: written, ...link });
  }

  #put(path: string, { type, mode, uid, gid, size = 0, mtime, linkName, major, minor, xattrs }: Written): void {
    const entry = {
      name: path === "" ? "./" : textOf(path),
      type,
      mode,
      uid,
      gid,
      size,
      mtime,
      linkName: linkName === undefined ? "" : textOf(linkName),
      major: major ?? 0,
      minor: minor ?? 0,
      ...(xattrs ? { xattrs } : {}),
    };
    this.#files.begin(entry);
    if (path !== "") this.#archive?.begin(entry.name, entry);
  }

  /** Bytes of the file that was written last. */
  data(bytes: Uint8Array, offset: number): void {
    this.#files.data(bytes, offset);
    this.#archive?.data(bytes, offset);
  }

  /** All is there. */
  finish(): void {
    this.#files.finish();
    if (this.#files.leftOut > 0) this.#archive?.giveUp();
  }
}

/** Only its kind, its target and what is in it count. */
function foundOf({ kind, linkName, pending }: Node, name: string): Found {
  const time = { seconds: 0, nanoseconds: 0 };
  const numbers = { mode: 0, uid: 0, gid: 0, size: 0, allocated: 0, major: 0, minor: 0 };
  return {
    stated: { name, kind, ...numbers, mtime: time, ...(linkName === undefined ? {} : { linkName }) },
    layers: pending?.layers ?? [],
  };
}

/** In a layer it would hide another. */
function checkName(path: string): void {
  if (!path.includes(WHITEOUT_PREFIX) || !path.split("/").some((part) => part.startsWith(WHITEOUT_PREFIX))) return;
  throw new TsboxError(`copy to "/${textOf(path)}": a name that means a whiteout in layers`, {
    code: "archive_refused",
    path: textOf(path),
  });
}

export const inTheWay = (path: string, why: string): TsboxError =>
  new TsboxError(`copy to "/${textOf(path)}": ${why}`, { code: "file_refused", path: `/${textOf(path)}` });
