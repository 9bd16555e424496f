/**
 * The root filesystem that files are copied into: an upper directory, written as the layers are, over those below it,
 * which are only looked at. What has been written is known here, so that nobody waits for it.
 * @module
 */
import { close, O_DIRECTORY, open, removeAttribute, TsboxError, trySyscall } from "../../../syscalls/index.ts";
import {
  DEFAULT_LIMITS,
  DT,
  LayerFiles,
  Reading,
  rightsFor,
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
import { lookIn, resolve, type Place, type Step } from "./place.ts";

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

/** What is known to be at a path. */
interface Known {
  /** Undefined: nothing. */
  kind: Stated["kind"] | undefined;
  linkName?: string;
  /** Of a directory that is there: what it is made of. */
  pending?: Pending | undefined;
  /** A directory is in the upper one. */
  isUpper: boolean;
}

const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
const UPPER = 0;
const ROOT = { mode: 0o755, uid: 0, gid: 0 };
const S_IRWXU = 0o700;

export class Target implements Disposable {
  /** The topmost first. */
  readonly layers: readonly string[];
  readonly files: LayerFiles;
  readonly #reading: Reading;
  readonly #tree: Tree;
  readonly #upper: number;
  /** Of directories, and what was written. */
  readonly #known = new Map<string, Known>();
  /** Of those, what is in which directory. */
  readonly #below = new Map<string, Set<string>>();
  /** Names of the directory that was asked about last. */
  #names: { path: string; types: Map<string, number> } | undefined;
  #asked = "";
  readonly #now: TarTime;

  /** @param isAlone nothing of the target counts, but for what this writes */
  constructor({ lower, upper }: CopyTarget, { latest, isAlone }: { latest?: number | undefined; isAlone: boolean }) {
    this.layers = [upper, ...lower.layers];
    const now = Math.floor(Date.now() / 1000);
    this.#now = { seconds: latest === undefined ? now : Math.min(now, latest), nanoseconds: 0 };
    this.#upper = open(upper, O_DIRECTORY | O_NOFOLLOW);
    const undo: (() => void)[] = [() => close(this.#upper)];
    try {
      const rights = rightsFor(lower.ids);
      this.#reading = new Reading(isAlone ? [upper] : this.layers, lower.ids);
      undo.push(() => this.#reading[Symbol.dispose]());
      this.#tree = new Tree(this.#reading.looker, this.#reading.tops);
      const root = this.#beginRoot(isAlone);
      rights.hand(upper);
      this.files = new LayerFiles(this.#upper, { limits: DEFAULT_LIMITS, rights });
      undo.push(() => this.files[Symbol.dispose]());
      this.write("", root);
    } catch (error) {
      for (const each of undo.toReversed()) each();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.files[Symbol.dispose]();
    this.#reading[Symbol.dispose]();
    close(this.#upper);
  }

  /** An empty upper directory is as the ones below say; one with files in it stays as it is. */
  #beginRoot(isAlone: boolean): Written {
    const { root } = this.#tree;
    const level = this.#enter({ path: "", layers: [UPPER] });
    this.#learn("", { kind: "directory", pending: root, isUpper: true });
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
    const look = lookIn(this.#tree);
    const known = (above: Step, name: string) => {
      const there = this.#known.get(join(above.path, name));
      return there ? foundOf(there, name) : look(above, name);
    };
    return resolve(this.#tree, path, known, { path: root, pending: this.#at(root).pending });
  }

  /** Something that this has written, and that is no directory. */
  isWritten(path: string): boolean {
    const known = this.#known.get(path);
    return known?.kind !== undefined && known.kind !== "directory" && known.isUpper;
  }

  /** What is at a path whose directories are no symlinks; it is not followed itself. */
  kindOf(path: string): Stated["kind"] | undefined {
    return this.#at(path).kind;
  }

  #at(path: string): Known {
    const known = this.#known.get(path);
    if (known) return known;
    const [above, name] = split(path);
    const { kind, pending } = this.#at(above);
    if (kind !== "directory" || !pending) return NOTHING;
    const type = this.#typeOf(pending, name);
    if (type === undefined) return NOTHING;
    const found = this.#tree.lookUp(pending, name);
    if (!found) return NOTHING;
    const { stated, layers } = found;
    if (stated.kind !== "directory") return { kind: stated.kind, isUpper: false };
    const here: Known = {
      kind: "directory",
      pending: { path, layers },
      isUpper: layers[0] === UPPER,
    };
    this.#learn(path, here);
    return here;
  }

  /** Whoever asks for a second name in a directory will ask for others. */
  #typeOf(pending: Pending, name: string): number | undefined {
    if (this.#names?.path !== pending.path) {
      const isAgain = this.#asked === pending.path;
      this.#asked = pending.path;
      if (!isAgain) return DT.unknown;
      const { names } = this.#enter(pending);
      this.#names = { path: pending.path, types: new Map(names.map((each) => [each.name, each.type])) };
    }
    return this.#names.types.get(name);
  }

  /**
   * Makes a directory, and those above it; those that are there stay as they are.
   * @param path without symlinks
   * @throws TsboxError `file_refused` where something else is in the way
   */
  makeDirectories(path: string, attributes: { mode: number; uid: number; gid: number }): void {
    const { kind } = this.#at(path);
    if (kind === "directory") return;
    if (kind !== undefined) throw inTheWay(path, `it is a ${kind}, not a directory`);
    this.makeDirectories(split(path)[0], attributes);
    this.write(path, { type: "directory", ...attributes, mtime: this.#now });
  }

  /** A directory of the layers below is one of the upper as well from now on. */
  #reach(path: string): void {
    const known = this.#at(path);
    if (known.isUpper) return;
    this.#reach(split(path)[0]);
    this.#put(path, this.#asItIs(this.#enter(known.pending as Pending)));
    this.#learn(path, { ...known, isUpper: true });
  }

  /** A directory is what it was, but for its time. */
  touch(path: string, mtime: TarTime): void {
    const { pending } = this.#at(path);
    // made by this
    const made = this.#made.get(path);
    if (made) return this.write(path, { ...made, mtime });
    if (pending) this.write(path, { ...this.#asItIs(this.#enter(pending)), mtime });
  }

  readonly #made = new Map<string, Written>();

  /**
   * The next file; the bytes of a plain one come behind it. What is there goes, but for a directory that stays one.
   * @param path without symlinks
   */
  write(path: string, written: Written): void {
    const before = this.#at(path);
    if (path !== "") {
      checkName(path);
      this.#reach(split(path)[0]);
    }
    this.#put(path, written);
    const { type, linkName } = written;
    if (type === "directory") {
      this.#made.set(path, written);
      const pending = before.kind === "directory" ? before.pending : undefined;
      this.#learn(path, { kind: "directory", pending, isUpper: true });
      return;
    }
    if (before.kind === "directory") this.#forget(path);
    const kind = type === "hard link" ? "file" : type;
    this.#learn(path, {
      kind,
      isUpper: true,
      ...(type === "symlink" && linkName !== undefined ? { linkName } : {}),
    });
  }

  #learn(path: string, known: Known): void {
    if (path !== "" && !this.#known.has(path)) {
      const [above] = split(path);
      const names = this.#below.get(above) ?? new Set();
      this.#below.set(above, names.add(path));
    }
    this.#known.set(path, known);
  }

  /** All that was in a directory. */
  #forget(path: string): void {
    const gone = [path];
    for (const each of gone) {
      for (const below of this.#below.get(each) ?? []) gone.push(below);
      this.#below.delete(each);
      this.#made.delete(each);
      if (each !== path) this.#known.delete(each);
    }
  }

  #put(path: string, { type, mode, uid, gid, size = 0, mtime, linkName, major, minor, xattrs }: Written): void {
    this.files.begin({
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
    });
  }

  /** All is there. */
  finish(): void {
    this.files.finish();
  }
}

const NOTHING: Known = { kind: undefined, isUpper: false };

/** Of what was written; only its kind, its target and what is in it count. */
function foundOf({ kind, linkName, pending }: Known, name: string): Found | undefined {
  if (kind === undefined) return undefined;
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
