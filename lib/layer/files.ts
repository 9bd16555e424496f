/**
 * Entries of a layer as calls that make its files. They are written in the hope that all is well, and made by another
 * process, thousands at a time (`syscalls/walker.ts`). One that fails is looked into (`repairs.ts`), and then the walk goes
 * on there.
 * @module
 */
import { numberOf, O_DIRECTORY, O_PATH, struct, Walker } from "../../syscalls/index.ts";
import type { FailedCall, SyscallName, Walked } from "../../syscalls/index.ts";
import { OPAQUE, WHITEOUT_PREFIX, type TarRecord } from "../../wasm/index.ts";
import { COUNT, ENTER, ENTER_TARGET, FILE, LINK, MAKE, OWN, PARENT, REST, TARGET, WRITE, XATTR } from "./item.ts";
import type { Item, Parent } from "./item.ts";
import type { UnpackLimits } from "./limits.ts";
import { bytesOfName, encodedName, invalid, joined, pathOf, textOfName } from "./names.ts";
import { linkNameOf, Repairs } from "./repairs.ts";
import type { Rights } from "./rights.ts";
import { AT_SYMLINK_NOFOLLOW, HOW_BYTES, LayerTree, O_CLOEXEC, O_NOFOLLOW, PRIVATE_MODE } from "./tree.ts";
import { isKeptXattr, OPAQUE_XATTR } from "./xattrs.ts";

const [ROOT_ARGUMENT, BOTH] = [1, 5];
const [O_WRONLY, O_CREAT, O_EXCL] = [1, 0o100, 0o200];
const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
const TYPES = { fifo: 0o010000, "character device": 0o020000, "block device": 0o060000 };

const NR = (name: SyscallName): number => numberOf(name);
const CALLS = {
  openat: NR("openat"),
  openat2: NR("openat2"),
  close: NR("close"),
  mkdirat: NR("mkdirat"),
  symlinkat: NR("symlinkat"),
  linkat: NR("linkat"),
  mknodat: NR("mknodat"),
  fchown: NR("fchown"),
  fchownat: NR("fchownat"),
  fchmod: NR("fchmod"),
  fchmodat: NR("fchmodat"),
  fsetxattr: NR("fsetxattr"),
  ftruncate: NR("ftruncate"),
  utimensat: NR("utimensat"),
};

export interface FilesOptions {
  limits: UnpackLimits;
  rights: Rights;
}

export class LayerFiles implements Walked<Item>, Disposable {
  readonly walker: Walker<Item>;
  readonly #tree: LayerTree;
  readonly #repairs: Repairs;
  readonly #root: number;
  readonly #limits: UnpackLimits;
  readonly #owners: boolean;
  readonly #how: { search: number; read: number };
  #parent: Parent | undefined;
  #file: Item | undefined;
  #written = 0;

  constructor(root: number, { limits, rights }: FilesOptions) {
    this.#root = root;
    this.#limits = limits;
    this.#owners = rights.owners;
    this.walker = new Walker<Item>([root], this, rights.namespaces);
    this.#assume(rights);
    // nothing that came from an archive leads anywhere: symlinks are for `tree.ts` to follow
    const [RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH] = [1, 4, 8];
    const resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
    const how = (flags: number) => this.walker.constant(struct("open_how", { flags, resolve }));
    this.#how = { search: how(O_PATH | O_DIRECTORY | O_CLOEXEC), read: how(O_DIRECTORY | O_CLOEXEC) };
    this.#tree = new LayerTree(root, this.walker as Walker<never>, limits, this.#how.search);
    this.#repairs = new Repairs(this.walker, this.#tree);
  }

  #assume(rights: Rights): void {
    try {
      rights.assume(this.walker as Walker<never>);
    } catch (error) {
      this.walker[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.walker[Symbol.dispose]();
  }

  /** Things that the caller has no right to make: devices, owners, attributes. */
  get leftOut(): number {
    return this.#repairs.leftOut;
  }

  /** Directories that no entry was for. */
  get implied(): string[] {
    return [...this.#tree.implied].toSorted();
  }

  get isOpaque(): boolean {
    return this.#tree.opaque.has("");
  }

  /** The next entry. */
  begin(entry: TarRecord): void {
    this.endFile();
    const text = entry.nameBytes ? textOfName(entry.nameBytes) : entry.name;
    this.#checkLength(text, text);
    const path = pathOf(text);
    const slash = path.lastIndexOf("/");
    const [above, name] = [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
    if (/(?:^|\/)\.wh\./.test(above)) return this.#reserved(above, text);
    if (name.startsWith(WHITEOUT_PREFIX)) return this.#whiteout(entry, above, name, text);
    if (path === "") {
      if (entry.type !== "directory") throw invalid(text, `a ${entry.type} without a name`);
      this.#count(entry, "");
      this.walker.mark({ entry, parent: { path: "" }, name: "", wanted: "directory", end: 0 });
      return;
    }
    this.#make({ entry, parent: this.#enter(above), name, wanted: "other", end: 0 }, text);
  }

  #checkLength(text: string, name: string): void {
    const { nameBytes } = this.#limits;
    if (text.length > nameBytes || (text.length * 3 > nameBytes && bytesOfName(text).length > nameBytes))
      throw invalid(name.slice(0, 80), `a name of more than ${nameBytes} bytes`);
  }

  #reserved(above: string, name: string): void {
    // what AUFS kept for itself
    if (/(?:^|\/)\.wh\.\.wh\./.test(above)) return;
    throw invalid(name, "it is below a name that means a whiteout");
  }

  #whiteout(entry: TarRecord, above: string, name: string, text: string): void {
    if (name === OPAQUE) {
      this.walker.mark({ entry, parent: this.#enter(above), name: "", wanted: "opaque", end: 0 });
      return;
    }
    if (name.startsWith(WHITEOUT_PREFIX + WHITEOUT_PREFIX)) return;
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw invalid(text, "a whiteout of no file");
    const item: Item = { entry, parent: this.#enter(above), name: hidden, wanted: "whiteout", end: 0 };
    this.walker.reserve(1, hidden.length * 3 + 8);
    this.#node(item, this.#place(hidden), TYPES["character device"], 0);
    item.end = this.walker.next;
  }

  /** Opens the directory of entries to come, unless it is. */
  #enter(path: string): Parent {
    if (this.#parent?.path === path) return this.#parent;
    const parent = { path };
    const item: Item = { entry: NOTHING, parent, name: "", wanted: "other", end: 0 };
    this.walker.reserve(2, path.length * 3 + 8);
    if (this.#parent) this.walker.call(REST, item, CALLS.close, 0, 1, PARENT);
    const address = this.#place(path || ".");
    this.walker.call(ENTER, item, CALLS.openat2, PARENT, 0, this.#root, address, this.#how.search, HOW_BYTES);
    return (this.#parent = parent);
  }

  #place(text: string): number {
    if (text.isWellFormed()) return this.walker.placeText(text);
    return this.walker.place(encodedName(text) as Uint8Array);
  }

  #make(item: Item, text: string): void {
    const { entry, name } = item;
    const { walker } = this;
    switch (entry.type) {
      case "directory": {
        item.wanted = "directory";
        this.#count(entry, text);
        walker.reserve(1, name.length * 3 + 8);
        walker.call(MAKE, item, CALLS.mkdirat, 0, ROOT_ARGUMENT, PARENT, this.#place(name), PRIVATE_MODE);
        walker.mark(item);
        break;
      }
      case "file": {
        walker.reserve(1, name.length * 3 + 8);
        // attributes of its user's are for those who may write to it
        const mode = entry.xattrs ? 0o600 : entry.mode & 0o777;
        walker.call(MAKE, item, CALLS.openat, FILE, ROOT_ARGUMENT, PARENT, this.#place(name), CREATE, mode);
        this.#file = item;
        this.#written = 0;
        break;
      }
      case "symlink":
        this.#symlink(item);
        break;
      case "hard link":
        this.#hardLink(item, text);
        break;
      default:
        this.#special(item, text);
    }
    item.end = walker.next;
  }

  #count(entry: TarRecord, path: string): void {
    let bytes = 0;
    for (const [key, value] of entry.xattrs ?? []) bytes += key.length + value.length;
    this.#tree.keep(path, bytes);
  }

  #linkName(entry: TarRecord, name: string): string {
    const text = linkNameOf(entry);
    this.#checkLength(text, name);
    if (text === "") throw invalid(name, "a link to nothing");
    return text;
  }

  #symlink(item: Item): void {
    const { entry, name } = item;
    const target = this.#linkName(entry, joined(item.parent.path, name));
    this.walker.reserve(3, (target.length + name.length) * 3 + 64);
    const [to, at] = [this.#place(target), this.#place(name)];
    // (target, directory, name)
    this.walker.call(MAKE, item, CALLS.symlinkat, 0, 2, to, PARENT, at);
    this.#ownLink(item, at);
    this.#xattrsByName(item);
  }

  /** Owner and times of what is not opened. */
  #ownLink(item: Item, at: number): void {
    const { entry } = item;
    if (this.#isOthers(entry))
      this.walker.call(
        OWN,
        item,
        CALLS.fchownat,
        0,
        ROOT_ARGUMENT,
        PARENT,
        at,
        entry.uid,
        entry.gid,
        AT_SYMLINK_NOFOLLOW,
      );
    const times = this.walker.placeTimes(entry.atime ?? entry.mtime, entry.mtime);
    this.walker.call(REST, item, CALLS.utimensat, 0, ROOT_ARGUMENT, PARENT, at, times, AT_SYMLINK_NOFOLLOW);
  }

  #isOthers({ uid, gid }: TarRecord): boolean {
    return this.#owners && (uid !== 0 || gid !== 0);
  }

  /** Attributes of what cannot be opened are set once it is there. */
  #xattrsByName(item: Item): void {
    const { entry, name } = item;
    if (!entry.xattrs) return;
    this.walker.flush();
    this.walker.settle();
    const directory = this.walker.slot(PARENT);
    if (this.#tree.kindOf(directory, name) === undefined) return;
    const path = bytesOfName(`/proc/self/fd/${directory}/${name}\0`);
    for (const [key, value] of this.#xattrsOf(entry)) {
      const result = this.walker.single("lsetxattr", path, `${key}\0`, value, value.length, 0);
      if (result < 0) this.#repairs.refusedXattr(-result, joined(item.parent.path, name));
    }
  }

  *#xattrsOf({ xattrs, name }: TarRecord): Generator<[string, Uint8Array]> {
    for (const [key, value] of xattrs ?? []) {
      if (!isKeptXattr(key)) continue;
      if (key.length > 255 || value.length > this.#limits.xattrBytes)
        throw invalid(name, `an extended attribute of ${value.length} bytes`);
      yield [key, value];
    }
  }

  #hardLink(item: Item, text: string): void {
    const { entry, name } = item;
    const path = pathOf(this.#linkName(entry, text));
    if (path === "") throw invalid(text, "a hard link to the layer's own directory");
    const slash = path.lastIndexOf("/");
    const above = path.slice(0, Math.max(0, slash));
    item.target = { path: above };
    this.walker.reserve(3, (path.length + name.length) * 3 + 64);
    const [directory, target, at] = [this.#place(above || "."), this.#place(path.slice(slash + 1)), this.#place(name)];
    const { walker } = this;
    walker.call(ENTER_TARGET, item, CALLS.openat2, TARGET, 0, this.#root, directory, this.#how.search, HOW_BYTES);
    walker.call(LINK, item, CALLS.linkat, 0, BOTH, TARGET, target, PARENT, at, 0);
    walker.call(REST, item, CALLS.close, 0, 1, TARGET);
  }

  #special(item: Item, text: string): void {
    const { entry, name } = item;
    const { major, minor } = entry;
    if (entry.type !== "fifo") {
      item.wanted = "device";
      // overlayfs would take it for a whiteout
      if (entry.type === "character device" && major === 0 && minor === 0) return void this.#repairs.leftOut++;
      if (!(major >= 0 && major <= 0xfff && minor >= 0 && minor <= 0xfffff))
        throw invalid(text, `a device ${major}:${minor}`);
    }
    this.walker.reserve(4, name.length * 3 + 64);
    const at = this.#place(name);
    const device = entry.type === "fifo" ? 0 : (minor & 0xff) + major * 0x100 + (minor >> 8) * 0x100000;
    this.#node(item, at, TYPES[entry.type as keyof typeof TYPES] | (entry.mode & 0o777), device);
    this.#ownLink(item, at);
    if (entry.mode & 0o7000)
      this.walker.call(REST, item, CALLS.fchmodat, 0, ROOT_ARGUMENT, PARENT, at, entry.mode & 0o7777);
    item.end = this.walker.next;
    this.#xattrsByName(item);
  }

  #node(item: Item, at: number, mode: number, device: number): void {
    this.walker.call(MAKE, item, CALLS.mknodat, 0, ROOT_ARGUMENT, PARENT, at, mode, device);
  }

  /** Bytes of the file that was begun last, if it was one. */
  data(bytes: Uint8Array, offset: number): void {
    const item = this.#file;
    if (!item) return;
    for (let done = 0; done < bytes.length;) {
      // a piece that is worth its call
      this.walker.reserve(3, Math.min(bytes.length - done, MIN_PIECE_BYTES));
      const part = bytes.subarray(done, done + this.walker.roomBytes);
      const address = this.walker.place(part);
      this.walker.write(WRITE, item, FILE, COUNT, address, part.length, offset + done);
      done += part.length;
    }
    this.#written = offset + bytes.length;
  }

  /** Attributes of the file that is written, now that it is complete: the owner first, as that takes others away. */
  endFile(): void {
    const item = this.#file;
    if (!item) return;
    this.#file = undefined;
    const { entry } = item;
    const { walker } = this;
    walker.reserve(6, 64);
    if (this.#written < entry.size) walker.call(REST, item, CALLS.ftruncate, 0, 1, FILE, entry.size);
    this.#attributes(item);
  }

  #attributes(item: Item, mode = item.entry.mode, always = item.entry.xattrs !== undefined): void {
    const { entry } = item;
    const { walker } = this;
    if (this.#isOthers(entry)) walker.call(OWN, item, CALLS.fchown, 0, 1, FILE, entry.uid, entry.gid);
    for (const [key, value] of this.#xattrsOf(entry)) this.#xattr(XATTR, item, key, value);
    walker.reserve(4, 64);
    if (always || mode & 0o7000) walker.call(REST, item, CALLS.fchmod, 0, 1, FILE, mode & 0o7777);
    if (entry !== NOTHING) {
      const times = walker.placeTimes(entry.atime ?? entry.mtime, entry.mtime);
      walker.call(REST, item, CALLS.utimensat, 0, 1, FILE, 0, times);
    }
    walker.call(REST, item, CALLS.close, 0, 1, FILE);
  }

  #xattr(kind: number, item: Item, key: string, value: Uint8Array): void {
    this.walker.reserve(1, key.length * 3 + value.length + 64);
    const [name, content] = [this.walker.placeText(key), this.walker.place(value)];
    this.walker.call(kind, item, CALLS.fsetxattr, 0, 1, FILE, name, content, value.length);
  }

  /** All entries are there: the directories get what entries say of them, those below before those above. */
  finish(): void {
    this.endFile();
    this.walker.flush();
    this.walker.settle();
    const { directories, implied, opaque } = this.#tree;
    for (const path of [...directories.keys(), ...implied].toSorted().toReversed()) {
      const entry = directories.get(path) ?? NOTHING;
      const item: Item = { entry, parent: { path }, name: "", wanted: "directory", end: 0 };
      this.walker.reserve(3, path.length * 3 + 64);
      const address = this.#place(path || ".");
      this.walker.call(REST, item, CALLS.openat2, FILE, 0, this.#root, address, this.#how.read, HOW_BYTES);
      if (opaque.has(path)) this.#xattr(REST, item, OPAQUE_XATTR, YES);
      this.#attributes(item, entry === NOTHING ? 0o755 : entry.mode, true);
    }
    this.walker.flush();
    this.walker.settle();
  }

  reached({ entry, parent, name, wanted }: Item): void {
    const path = joined(parent.path, name);
    if (wanted === "opaque") return this.#tree.makeOpaque(parent.path);
    this.#tree.implied.delete(path);
    this.#tree.directories.set(path, entry);
  }

  /** @returns the call to go on with */
  failed(call: FailedCall<Item>): number {
    return this.#repairs.failed(call);
  }
}

const MIN_PIECE_BYTES = 64 * 1024;
const YES = new TextEncoder().encode("y");
/** Of directories that no entry was for. */
const NOTHING: TarRecord = {
  name: "",
  type: "directory",
  linkName: "",
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  major: 0,
  minor: 0,
};
