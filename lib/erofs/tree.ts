/**
 * The tree that a layer's entries come to, in memory: what unpacking them makes of a directory, by the same rules.
 *
 * A name leads nowhere but into this tree: `..` above its root is refused, symlinks of the same layer are followed as if
 * the root were the layer's, a hard link has to find its file here. What has a name already is replaced, but for a
 * directory that stays one.
 * @module
 */
import type { TarRecord } from "../../wasm/index.ts";
import {
  bytesOfName,
  invalid,
  isKeptXattr,
  OPAQUE,
  pathOf,
  textOfName,
  WHITEOUT_PREFIX,
  type UnpackLimits,
} from "../layer/index.ts";
import { Node, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from "./node.ts";

const TYPES = {
  file: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  fifo: S_IFIFO,
  "character device": S_IFCHR,
  "block device": S_IFBLK,
};
const NAME_BYTES = 255;
const MAX_SYMLINKS = 40;
/** Of a value, in the image and in the kernel. */
const XATTR_BYTES = 65_535;

export type TreeLimits = Pick<UnpackLimits, "nameBytes" | "repairs" | "directoryBytes">;

export class LayerTree {
  readonly root = new Node(S_IFDIR | 0o755);
  /** Devices that would be whiteouts. */
  leftOut = 0;
  readonly #limits: TreeLimits;
  #steps: number;
  #bytes = 0;
  /** Entries come directory by directory. */
  #last: { path: string; node: Node } | undefined;

  constructor(limits: TreeLimits) {
    this.#limits = limits;
    this.#steps = limits.repairs;
    this.root.isImplied = true;
  }

  /** @param offset of its bytes in the tar @throws TsboxError `image_invalid` */
  add(entry: TarRecord, offset: number): void {
    const text = entry.nameBytes ? textOfName(entry.nameBytes) : entry.name;
    this.#checkLength(text, text);
    const path = pathOf(text);
    const slash = path.lastIndexOf("/");
    const [above, name] = [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
    if (/(?:^|\/)\.wh\./.test(above)) {
      // what AUFS kept for itself
      if (/(?:^|\/)\.wh\.\.wh\./.test(above)) return;
      throw invalid(text, "it is below a name that means a whiteout");
    }
    if (name.startsWith(WHITEOUT_PREFIX)) return this.#whiteout(above, name, text);
    if (path !== "") return this.#put(this.#parent(above), name, text, entry, offset);
    if (entry.type !== "directory") throw invalid(text, `a ${entry.type} without a name`);
    this.root.take(entry, this.#xattrs(entry));
  }

  /** Paths of directories that no entry was for; "" is the root. */
  *implied(): Generator<[path: string, node: Node]> {
    const left: [string, Node][] = [["", this.root]];
    for (let each; (each = left.pop());) {
      const [path, node] = each;
      if (node.isImplied) yield each;
      for (const [name, child] of node.children ?? [])
        if (child.children) left.push([path === "" ? name : `${path}/${name}`, child]);
    }
  }

  #checkLength(text: string, name: string): void {
    const { nameBytes } = this.#limits;
    if (text.length > nameBytes || (text.length * 3 > nameBytes && bytesOfName(text).length > nameBytes))
      throw invalid(name.slice(0, 80), `a name of more than ${nameBytes} bytes`);
  }

  #whiteout(above: string, name: string, text: string): void {
    const parent = this.#parent(above);
    if (name === OPAQUE) {
      parent.isOpaque = true;
      return;
    }
    if (name.startsWith(WHITEOUT_PREFIX + WHITEOUT_PREFIX)) return;
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw invalid(text, "a whiteout of no file");
    const there = parent.children?.get(hidden);
    // what the layer has is above what it hides, in whichever order they come
    if (there) {
      if (there.children) there.isOpaque = true;
      there.hides = true;
    } else this.#name(parent, hidden, new Node(S_IFCHR), text);
  }

  #put(parent: Node, name: string, text: string, entry: TarRecord, offset: number): void {
    const { type } = entry;
    if (type === "hard link") return this.#link(parent, name, text, entry);
    const there = parent.children?.get(name);
    if (type === "directory" && there?.children) return there.take(entry, this.#xattrs(entry));
    const node = new Node(TYPES[type]);
    if (type === "file") {
      node.size = entry.size;
      if (entry.size > 0) node.content = { offset, ...(entry.segments ? { segments: entry.segments } : {}) };
    } else if (type === "symlink") {
      node.target = this.#linkName(entry, text);
    } else if (type === "character device" || type === "block device") {
      const { major, minor } = entry;
      // overlayfs would take it for a whiteout
      if (type === "character device" && major === 0 && minor === 0) return void this.leftOut++;
      if (!(major >= 0 && major <= 0xfff && minor >= 0 && minor <= 0xfffff))
        throw invalid(text, `a device ${major}:${minor}`);
      node.device = ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
    }
    node.take(entry, this.#xattrs(entry));
    this.#name(parent, name, node, text);
  }

  #link(parent: Node, name: string, text: string, entry: TarRecord): void {
    const path = pathOf(this.#linkName(entry, text));
    if (path === "") throw invalid(text, "a hard link to the layer's own directory");
    const slash = path.lastIndexOf("/");
    const directory = this.#walk(path.slice(0, Math.max(0, slash)), false);
    const node = directory.children?.get(path.slice(slash + 1));
    if (!node || node.isWhiteout) throw invalid(text, `a hard link to "${path}", which is not there`);
    if (node.children) throw invalid(text, `a hard link to "${path}", which is a directory`);
    if (parent.children?.get(name) !== node) this.#name(parent, name, node, text);
  }

  #linkName({ linkName, linkNameBytes }: TarRecord, name: string): string {
    const text = linkNameBytes ? textOfName(linkNameBytes) : linkName;
    this.#checkLength(text, name);
    if (text === "") throw invalid(name, "a link to nothing");
    return text;
  }

  #xattrs({ xattrs, name }: TarRecord): Map<string, Uint8Array> | undefined {
    if (!xattrs) return undefined;
    const kept = new Map<string, Uint8Array>();
    for (const [key, value] of xattrs) {
      if (!isKeptXattr(key)) continue;
      if (key.length > NAME_BYTES || bytesOfName(key).length > NAME_BYTES || value.length > XATTR_BYTES)
        throw invalid(name, `an extended attribute of ${value.length} bytes`);
      this.#hold(value.length + key.length, name);
      // the archive's bytes are gone when the next ones come
      kept.set(key, value.slice());
    }
    return kept.size > 0 ? kept : undefined;
  }

  /** Against archives that are nothing but names. */
  #hold(bytes: number, name: string): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#limits.directoryBytes * 4)
      throw invalid(name, `names and attributes of more than ${this.#limits.directoryBytes * 4} bytes together`);
  }

  #name(parent: Node, name: string, node: Node, text: string): void {
    if (name.length > NAME_BYTES || (name.length * 3 > NAME_BYTES && bytesOfName(name).length > NAME_BYTES))
      throw invalid(text, `a name of more than ${NAME_BYTES} bytes`);
    this.#hold(name.length + 100, text);
    const there = parent.children?.get(name);
    if (there) {
      const hides = there.isWhiteout || there.hides || there.isOpaque;
      node.hides ||= hides;
      if (node.children && hides) node.isOpaque = true;
      if (there.children) this.#last = undefined;
    }
    parent.children?.set(name, node);
  }

  #parent(path: string): Node {
    if (this.#last?.path === path) return this.#last.node;
    const node = this.#walk(path, true);
    this.#last = { path, node };
    return node;
  }

  /** The directory of a path; what is missing on the way is made, unless it must be there. */
  #walk(path: string, make: boolean): Node {
    let left = path === "" ? [] : path.split("/").toReversed();
    let at = [this.root];
    for (let links = 0, name; (name = left.pop()) !== undefined;) {
      if (--this.#steps < 0) throw invalid(path, "too many entries in each other's way");
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (at.length > 1) at.pop();
        continue;
      }
      const directory = at.at(-1) as Node;
      let node = directory.children?.get(name);
      if (node?.target) {
        if (++links > MAX_SYMLINKS) throw invalid(path, "too many symlinks above it");
        if (node.target.startsWith("/")) at = [this.root];
        left = [...left, ...node.target.split("/").toReversed()];
        continue;
      }
      if (!node || (node.isWhiteout && make)) {
        if (!make) throw invalid(path, "a directory above it is missing");
        const made = new Node(S_IFDIR | 0o755);
        made.isImplied = true;
        this.#name(directory, name, made, path);
        node = made;
      }
      if (!node.children) throw invalid(path, "what is above it is not a directory");
      at.push(node);
    }
    return at.at(-1) as Node;
  }
}
