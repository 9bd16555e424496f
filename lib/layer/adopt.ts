/**
 * Directories that a layer only implies (a file in them is all that it has) are those of the layers below: overlayfs
 * shows the topmost one's owner, mode, times and attributes.
 * @module
 */
import { ARCH, close, O_DIRECTORY, open, STAT, struct, type SyscallName, Walker } from "../../syscalls/index.ts";
import type { IdMaps } from "./attributes.ts";
import { encodedName, joined } from "./names.ts";
import { rightsFor } from "./rights.ts";
import { HOW_BYTES } from "./tree.ts";
import { AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_NOFOLLOW } from "./tree.ts";
import { isKeptXattr, OPAQUE_XATTR } from "./xattrs.ts";

interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  /** Two of `struct timespec`. */
  times: Uint8Array;
  xattrs: [name: string, value: Uint8Array][];
}

const AT_EMPTY_PATH = 0x1000;
const [RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH] = [4, 8];

/**
 * Gives directories of a layer what the layers below say of them. What is hidden there (by a whiteout, by something
 * else of the same name, by a directory that is opaque) says nothing.
 * @param lowers directories of layers, the top first
 * @param implied of the layer: see `UnpackedLayer`
 */
export function adoptDirectories(directory: string, lowers: string[], implied: string[], ids?: IdMaps): void {
  if (lowers.length === 0 || implied.length === 0) return;
  const fds: number[] = [];
  try {
    for (const each of [directory, ...lowers]) fds.push(open(each, O_DIRECTORY | O_NOFOLLOW));
    const rights = rightsFor(ids);
    using walker = new Walker<never>(fds, IDLE, rights.namespaces);
    rights.assume(walker);
    const adoption = new Adoption(walker, rights.owners);
    for (const path of implied) {
      const attributes = adoption.find(fds.slice(1), path);
      if (attributes) adoption.give(fds[0] as number, path, attributes);
    }
  } finally {
    fds.forEach(close);
  }
}

/** Its calls are made one at a time. */
const IDLE = { failed: (): number => 0, reached: (): void => {} };

class Adoption {
  readonly #walker: Walker<never>;
  readonly #owners: boolean;
  readonly #how: number;

  constructor(walker: Walker<never>, owners: boolean) {
    this.#walker = walker;
    this.#owners = owners;
    const how = { flags: O_DIRECTORY | O_CLOEXEC, resolve: RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
    this.#how = walker.constant(struct("open_how", how));
  }

  #call(name: SyscallName, ...args: (number | string | Uint8Array)[]): number {
    return this.#walker.single(name, ...args.map((arg) => (typeof arg === "string" ? encodedName(arg) : arg)));
  }

  #open(root: number, path: string): number {
    return this.#call("openat2", root, path || ".", this.#how, HOW_BYTES);
  }

  /** Of the topmost layer that has the directory. */
  find(lowers: number[], path: string): Attributes | undefined {
    for (const root of lowers) {
      const fd = this.#open(root, path);
      if (fd >= 0) {
        const attributes = this.#read(fd);
        this.#call("close", fd);
        return attributes;
      }
      if (this.#hides(root, path)) return undefined;
    }
    return undefined;
  }

  /** Whether a layer that has not got the directory hides that of others. */
  #hides(root: number, path: string): boolean {
    const { bufferAddress, buffer } = this.#walker;
    let above = "";
    for (const name of ["", ...path.split("/")]) {
      const at = joined(above, name);
      if (this.#call("newfstatat", root, at || ".", bufferAddress, AT_SYMLINK_NOFOLLOW) < 0) return false;
      const mode = new DataView(buffer.buffer, buffer.byteOffset).getUint32(STAT[ARCH].fields.st_mode[0], true);
      if ((mode & 0o170000) !== 0o040000) return true;
      const fd = this.#open(root, at);
      const opaque = fd >= 0 && this.#xattr(fd, OPAQUE_XATTR)?.[0] === 0x79;
      if (fd >= 0) this.#call("close", fd);
      if (opaque) return true;
      above = at;
    }
    return false;
  }

  #xattr(fd: number, name: string): Uint8Array | undefined {
    const { bufferAddress, buffer } = this.#walker;
    const length = this.#call("fgetxattr", fd, name, bufferAddress, buffer.length);
    return length < 0 ? undefined : buffer.slice(0, length);
  }

  #read(fd: number): Attributes {
    const { bufferAddress, buffer } = this.#walker;
    this.#call("newfstatat", fd, "", bufferAddress, AT_EMPTY_PATH);
    const { st_mode, st_uid, st_gid, st_atime, st_mtime } = STAT[ARCH].fields;
    const view = new DataView(buffer.buffer, buffer.byteOffset);
    const number = (at: number) => view.getUint32(at, true);
    const times = new Uint8Array(32);
    times.set(buffer.subarray(st_atime[0], st_atime[0] + 16));
    times.set(buffer.subarray(st_mtime[0], st_mtime[0] + 16), 16);
    const status = { mode: number(st_mode[0]) & 0o7777, uid: number(st_uid[0]), gid: number(st_gid[0]), times };
    const length = this.#call("flistxattr", fd, bufferAddress, buffer.length);
    const names = length > 0 ? new TextDecoder().decode(buffer.slice(0, length)).split("\0") : [];
    const xattrs = names.filter(isKeptXattr).flatMap((name): Attributes["xattrs"] => {
      const value = this.#xattr(fd, name);
      return value ? [[name, value]] : [];
    });
    return { ...status, xattrs };
  }

  /** The times last, as what is above does not change them. */
  give(root: number, path: string, { mode, uid, gid, times, xattrs }: Attributes): void {
    const fd = this.#open(root, path);
    if (fd < 0) return;
    if (this.#owners) this.#call("fchown", fd, uid, gid);
    for (const [name, value] of xattrs) this.#call("fsetxattr", fd, name, value, value.length, 0);
    this.#call("fchmod", fd, mode);
    this.#call("utimensat", fd, 0, times, 0);
    this.#call("close", fd);
  }
}
