/**
 * The directory that a layer is unpacked to, where things are not as the next entry expects them: a parent is missing,
 * or a symlink, or something has the entry's name already. One call at a time, each with one name in a directory that
 * is open, and no symlink is ever followed by the kernel.
 * @module
 */
import {
  ARCH,
  O_DIRECTORY,
  O_PATH,
  STAT,
  STRUCTS,
  TsboxError,
  type SyscallName,
  type Walker,
} from "../../syscalls/index.ts";
import type { UnpackLimits } from "./limits.ts";
import { encodedName, invalid, joined, textOfName } from "./names.ts";
import type { TarRecord } from "../../wasm/index.ts";

export const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
export const O_CLOEXEC = 0o2000000;
export const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const [ENOENT, EEXIST, ENOTDIR, EISDIR, ELOOP] = [2, 17, 20, 21, 40];
const MAX_SYMLINKS = 40;
/** That are remembered. */
const MAX_WAYS = 1_000;
export const HOW_BYTES = STRUCTS.open_how.size;
/** A directory is at its owner's alone until the layer is complete. */
export const PRIVATE_MODE = 0o700;

export type Kind = "directory" | "symlink" | "whiteout" | "other";

export class LayerTree {
  /** Directories that no entry has made, by their paths without symlinks; at first the layer's own, which is "". */
  readonly implied = new Set([""]);
  /** What entries say of directories; the last counts. */
  readonly directories = new Map<string, TarRecord>();
  /** Directories that hide those below. */
  readonly opaque = new Set<string>();
  /** Paths that had a whiteout. */
  readonly #hidden = new Set<string>();
  /** Where paths through symlinks led to, and do until something is taken away. */
  readonly #ways = new Map<string, string>();
  readonly #root: number;
  readonly #walker: Walker<never>;
  #repairs: number;
  readonly #mostBytes: number;
  #keptBytes = 0;
  readonly #search: number;

  /** @param search where it says how a directory is opened by a path: beneath the root, without symlinks */
  constructor(root: number, walker: Walker<never>, { repairs, directoryBytes }: UnpackLimits, search: number) {
    this.#root = root;
    this.#search = search;
    this.#walker = walker;
    this.#repairs = repairs;
    this.#mostBytes = directoryBytes;
  }

  /** A path that is remembered until the end, and so much with it. */
  keep(path: string, bytes = 0): void {
    this.#keptBytes += path.length * 2 + 400 + bytes;
    if (this.#keptBytes > this.#mostBytes)
      throw invalid(path, `names of directories of more than ${this.#mostBytes} bytes together`);
  }

  #add(paths: Set<string>, path: string): void {
    if (paths.has(path)) return;
    this.keep(path);
    paths.add(path);
  }

  /** It hides what is below it. */
  makeOpaque(path: string): void {
    this.#add(this.opaque, path);
  }

  /** One call; names are placed. */
  call(name: SyscallName, ...args: (number | string)[]): number {
    if (--this.#repairs < 0) throw invalid("", "too many entries in each other's way");
    return this.#walker.single(name, ...args.map((arg) => (typeof arg === "number" ? arg : encodedName(arg))));
  }

  #expect(what: string, result: number): number {
    if (result < 0) throw invalid(what, `errno ${-result}`);
    return result;
  }

  /**
   * Opens a directory as if the layer's were the root. What is missing on the way is made, unless it must be there.
   * @returns a descriptor of the walker's, and where that is
   * @throws TsboxError `image_invalid` where something else is in the way
   */
  resolve(path: string, make: boolean): { fd: number; path: string } {
    let { fd, at, left } = this.#begin(this.#ways.get(path) ?? path);
    for (let links = 0; ;) {
      const name = left.shift();
      if (name === undefined) {
        const found = at.join("/");
        if (links > 0) this.#remember(path, found);
        return { fd, path: found };
      }
      if (name === "" || name === ".") continue;
      const next = name === ".." ? -ELOOP : this.#step(fd, at.join("/"), name, make);
      if (next >= 0) {
        this.call("close", fd);
        fd = next;
        at.push(name);
        continue;
      }
      if (name === "..") left = [...at.slice(0, -1), ...left];
      else {
        const target = next === -ELOOP ? this.#linkAt(fd, name) : undefined;
        if (target === undefined || ++links > MAX_SYMLINKS) {
          this.call("close", fd);
          throw invalid(path, WHY[-next] ?? `errno ${-next}`);
        }
        left = [...(target.startsWith("/") ? [] : at), ...target.split("/"), ...left];
      }
      this.call("close", fd);
      fd = this.#openRoot();
      at = [];
    }
  }

  /** What is above is there mostly, and one call away. */
  #begin(path: string): { fd: number; at: string[]; left: string[] } {
    const slash = path.lastIndexOf("/");
    const above = path.slice(0, Math.max(0, slash));
    const fd = above === "" ? -1 : this.call("openat2", this.#root, above, this.#search, HOW_BYTES);
    if (fd < 0) return { fd: this.#openRoot(), at: [], left: path.split("/") };
    return { fd, at: above.split("/"), left: [path.slice(slash + 1)] };
  }

  #remember(path: string, found: string): void {
    if (this.#ways.size >= MAX_WAYS) this.#ways.clear();
    this.#ways.set(path, found);
  }

  /** Where a path leads, all of which is there; undefined where it leads to no directory. */
  tryResolve(path: string): string | undefined {
    try {
      const found = this.resolve(path, false);
      this.call("close", found.fd);
      return found.path;
    } catch (error) {
      if (error instanceof TsboxError) return undefined;
      throw error;
    }
  }

  #openRoot(): number {
    return this.#expect("", this.call("openat", this.#root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  /** One directory down. @returns a descriptor; or -ELOOP for a symlink, -ENOTDIR for a file, -ENOENT */
  #step(fd: number, at: string, name: string, make: boolean): number {
    const open = () => this.call("openat", fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const found = open();
    if (found !== -ENOENT && found !== -ENOTDIR && found !== -ELOOP) return found;
    const path = joined(at, name);
    if (found !== -ENOENT) {
      const kind = this.kindOf(fd, name);
      if (kind === "symlink") return -ELOOP;
      if (kind !== "whiteout" || !make) return -ENOTDIR;
      this.remove(fd, name, path);
      this.makeOpaque(path);
    } else if (!make) return -ENOENT;
    const made = this.call("mkdirat", fd, name, PRIVATE_MODE);
    if (made < 0) return made;
    this.#add(this.implied, path);
    return open();
  }

  #linkAt(fd: number, name: string): string | undefined {
    const { bufferAddress, buffer } = this.#walker;
    const length = this.call("readlinkat", fd, name, bufferAddress, 8192);
    return length < 0 ? undefined : textOfName(buffer.subarray(0, length));
  }

  /** What a name stands for; undefined where there is nothing. */
  kindOf(fd: number, name: string): Kind | undefined {
    const status = this.statusOf(fd, name);
    if (!status) return undefined;
    const type = status.mode & 0o170000;
    if (type === 0o040000) return "directory";
    if (type === 0o120000) return "symlink";
    return type === 0o020000 && status.device === 0n ? "whiteout" : "other";
  }

  statusOf(fd: number, name: string): { mode: number; device: bigint; inode: bigint } | undefined {
    if (this.call("newfstatat", fd, name, this.#walker.bufferAddress, AT_SYMLINK_NOFOLLOW) < 0) return undefined;
    const { st_mode, st_rdev, st_ino } = STAT[ARCH].fields;
    const { buffer } = this.#walker;
    const view = new DataView(buffer.buffer, buffer.byteOffset);
    return {
      mode: view.getUint32(st_mode[0], true),
      device: view.getBigUint64(st_rdev[0], true),
      inode: view.getBigUint64(st_ino[0], true),
    };
  }

  /** Takes away what has a name. Directories are emptied from the top, so that they may be as deep as they like. */
  remove(fd: number, name: string, path: string): void {
    this.#ways.clear();
    if (this.kindOf(fd, name) === "whiteout") this.#add(this.#hidden, path);
    const queue = [{ name, path }];
    let moved = 0;
    for (const each of queue) {
      const result = this.call("unlinkat", fd, each.name, 0);
      if (result !== -EISDIR) {
        this.#expect(path, result);
        continue;
      }
      this.#forget(each.path);
      const directory = this.#expect(path, this.call("openat", fd, each.name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      for (const below of this.#namesIn(directory)) {
        if (this.call("unlinkat", directory, below, 0) !== -EISDIR) continue;
        // no entry has such a name
        const aside = `.wh..wh.${moved++}`;
        this.#expect(path, this.call("renameat2", directory, below, fd, aside, 0));
        queue.push({ name: aside, path: joined(each.path, below) });
      }
      this.call("close", directory);
      this.#expect(path, this.call("unlinkat", fd, each.name, AT_REMOVEDIR));
    }
  }

  #forget(path: string): void {
    if (this.opaque.delete(path)) this.#hidden.add(path);
    this.implied.delete(path);
    this.directories.delete(path);
  }

  #namesIn(directory: number): string[] {
    const { bufferAddress, buffer } = this.#walker;
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    const names: string[] = [];
    for (let length; (length = this.call("getdents64", directory, bufferAddress, buffer.length)) > 0;)
      // { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[] }
      for (let at = 0; at < length; at += view.getUint16(at + 16, true))
        names.push(textOfName(buffer.subarray(at + 19, buffer.indexOf(0, at + 19))));
    return names.filter((name) => name !== "." && name !== "..");
  }

  /**
   * Something has the name that a new file, link or directory is to have.
   * @returns whether it may stay
   */
  meet(fd: number, name: string, path: string, wanted: "directory" | "whiteout" | "other"): boolean {
    const kind = this.kindOf(fd, name);
    // what the layer has is above what it hides, in whichever order they come
    if (wanted === "whiteout") {
      if (kind === "directory") this.makeOpaque(path);
      return true;
    }
    if (wanted === "directory" && kind === "directory") return true;
    if (kind !== undefined) this.remove(fd, name, path);
    if (wanted === "directory" && this.#hidden.has(path)) this.makeOpaque(path);
    return false;
  }
}

const WHY: Record<number, string> = {
  [ENOENT]: "a directory above it is missing",
  [EEXIST]: "something is in the way",
  [ENOTDIR]: "what is above it is not a directory",
  [ELOOP]: "too many symlinks above it",
  36: "its path is too long",
};
