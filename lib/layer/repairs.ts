/** Calls that have failed while a layer was unpacked: what is in the way is put right, or it is an error. @module */
import { errnoName, TsboxError, type FailedCall, type Walker } from "../../syscalls/index.ts";
import type { TarRecord } from "../../wasm/index.ts";
import { COUNT, ENTER, ENTER_TARGET, LINK, MAKE, OWN, PARENT, TARGET, WRITE, XATTR } from "./item.ts";
import type { Item, Parent } from "./item.ts";
import { invalid, joined, pathOf, textOfName } from "./names.ts";
import type { LayerTree } from "./tree.ts";

const [ENOENT, EPERM, EACCES, EEXIST, ENOTDIR, EINVAL, EROFS, ELOOP] = [2, 1, 13, 17, 20, 22, 30, 40];
const [E2BIG, ENOSPC, EMLINK, ENAMETOOLONG, EOPNOTSUPP, EDQUOT] = [7, 28, 31, 36, 95, 122];

export const linkNameOf = ({ linkName, linkNameBytes }: TarRecord): string =>
  linkNameBytes ? textOfName(linkNameBytes) : linkName;

export class Repairs {
  /** Devices and attributes that the caller has no right to make. */
  leftOut = 0;
  readonly #walker: Walker<Item>;
  readonly #tree: LayerTree;

  constructor(walker: Walker<Item>, tree: LayerTree) {
    this.#walker = walker;
    this.#tree = tree;
  }

  /** @returns the call to go on with */
  failed({ kind, owner: item, errno, at }: FailedCall<Item>): number {
    const path = joined(item.parent.path, item.name);
    switch (kind) {
      case ENTER:
      case ENTER_TARGET: {
        if (errno !== ENOENT && errno !== ELOOP && errno !== ENOTDIR) break;
        const parent = kind === ENTER ? item.parent : (item.target as Parent);
        const found = this.#tree.resolve(parent.path, kind === ENTER);
        if (found.path !== parent.path) parent.via = parent.path;
        parent.path = found.path;
        this.#walker.setSlot(kind === ENTER ? PARENT : TARGET, found.fd);
        return at + 1;
      }
      case MAKE:
        return this.#makeFailed(item, errno, at, path);
      case LINK:
        return this.#linkFailed(item, errno, at, path);
      case WRITE: {
        const rest = this.#walker.rest(at, COUNT);
        if (rest !== undefined) return rest;
        break;
      }
      case XATTR:
        this.refusedXattr(errno, path);
        return at + 1;
      case OWN:
        if (errno === EINVAL)
          throw new TsboxError(`unpack "${path}": its owner ${item.entry.uid}:${item.entry.gid} cannot be had`, {
            code: "unsupported",
            errno,
            path,
            hint: "more subordinate ids are needed: /etc/subuid and /etc/subgid",
          });
        break;
    }
    throw this.#error(path, "write it", errno);
  }

  #makeFailed(item: Item, errno: number, at: number, path: string): number {
    const parent = this.#walker.slot(PARENT);
    if (errno === EEXIST) {
      const { wanted } = item;
      const kind = wanted === "directory" || wanted === "whiteout" ? wanted : "other";
      if (this.#tree.meet(parent, item.name, path, kind)) return at + 1;
      this.#checkWay(item.parent, path);
      return this.#once(item, errno, at, path);
    }
    if (errno === EPERM && item.wanted === "device") {
      this.leftOut++;
      return item.end;
    }
    if (errno === ENOENT) {
      // the directory itself has been taken away by an entry in between
      this.#tree.call("close", parent);
      const found = this.#tree.resolve(item.parent.path, true);
      item.parent.path = found.path;
      this.#walker.setSlot(PARENT, found.fd);
      return this.#once(item, errno, at, path);
    }
    throw this.#error(path, "make it", errno);
  }

  /** Entries that follow in the same directory are on their way already: what has gone must not have led there. */
  #checkWay({ path, via }: Parent, replaced: string): void {
    if (via === undefined) return;
    const found = this.#tree.tryResolve(via);
    if (found !== path) throw invalid(replaced, `it replaces what "${via}" leads through`);
  }

  #once(item: Item, errno: number, at: number, path: string): number {
    if (item.again === at) throw this.#error(path, "make it", errno);
    item.again = at;
    return at;
  }

  #linkFailed(item: Item, errno: number, at: number, path: string): number {
    const { name, entry } = item;
    const target = pathOf(linkNameOf(entry)).split("/").at(-1) as string;
    const [from, to] = [this.#walker.slot(TARGET), this.#walker.slot(PARENT)];
    if (errno === EEXIST) {
      const [there, here] = [this.#tree.statusOf(from, target), this.#tree.statusOf(to, name)];
      if (there && there.inode === here?.inode) return at + 1;
      if (!there) throw invalid(path, `a hard link to "${entry.linkName}", which is not there`);
      this.#tree.remove(to, name, path);
      this.#checkWay(item.parent, path);
      return this.#once(item, errno, at, path);
    }
    if (errno === ENOENT) throw invalid(path, `a hard link to "${entry.linkName}", which is not there`);
    if (errno === EPERM) throw invalid(path, `a hard link to "${entry.linkName}", which is a directory`);
    throw this.#error(path, "link it", errno);
  }

  #error(path: string, what: string, errno: number): TsboxError {
    const message = `unpack "${path}": ${what}: ${errnoName(errno)}`;
    if (errno === ENOSPC || errno === EDQUOT || errno === EROFS)
      return new TsboxError(message, {
        code: "store_unavailable",
        errno,
        path,
        hint: "the disk is full, or read-only",
      });
    const theirs = [ENAMETOOLONG, ELOOP, ENOTDIR, EMLINK, EINVAL, ENOENT, EEXIST].includes(errno);
    return new TsboxError(message, { code: theirs ? "image_invalid" : "system", errno, path });
  }

  /** An attribute that the file system, or the caller's rights, do not take. */
  refusedXattr(errno: number, path: string): void {
    const action = "set its extended attributes";
    if (errno === ENOSPC || errno === E2BIG)
      throw new TsboxError(`unpack "${path}": ${action}: ${errnoName(errno)}`, {
        code: "unsupported",
        errno,
        path,
        hint: "the file system takes no more of them for one file: ext4 takes 4 KiB",
      });
    if (errno !== EOPNOTSUPP && errno !== EPERM && errno !== EACCES) throw this.#error(path, action, errno);
    this.leftOut++;
  }
}
