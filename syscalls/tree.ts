/**
 * Removal of a directory with all that lies in it, whoever filled it: any depth, any bytes in names, directories that may
 * not be read. No symlink is followed, and names go from one system call to the next without being decoded.
 * @module
 */
import { O_DIRECTORY, O_PATH, O_RDONLY } from "./calls.ts";
import type { Directory } from "./directory.ts";
import { mapArena, systemError, trySyscall, unmapArena, type Arena } from "./kernel.ts";
import type { SyscallName } from "./numbers.ts";
import { path, PATH_BYTES, scratch } from "./scratch.ts";

const AT_FDCWD = -100;
const AT_REMOVEDIR = 0x200;
const O_CLOEXEC = 0o2000000;
const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
const [ENOENT, EACCES, EISDIR, ENOTEMPTY] = [2, 13, 21, 39];
const DT_DIR = 4;
const OWN = 0o700;
/** Directories that are open at a time; what lies deeper is moved up first. */
const DEPTH = 64;
/** What is left of such a tree, next to it, by a process that was killed at it. */
export const DEEP = "deep-";
/** Somebody may still be adding to it, and some file systems skip names when others go. */
const ATTEMPTS = 16;

/** Makes a system call, as this process or as another one that shares its memory. */
export type Caller = (name: SyscallName, ...args: number[]) => number;

/** Removes a directory at once. @throws TsboxError where some of it stays */
export function removeTree(parent: Directory, name: string, caller?: Caller): void {
  for (const _ of removal(parent, name, caller));
}

/**
 * Removes it piece by piece: who iterates may do something else in between.
 * @param caller with whose rights; the parent has the same descriptor there
 */
export function* removal(parent: Directory, name: string, caller: Caller = trySyscall): Generator<void> {
  const entries = mapArena(65536);
  try {
    const work = new Removal(parent, entries, caller);
    work.waiting.push(nameBytes(name));
    for (let next; (next = work.waiting.pop());) yield* work.directory(parent.fd, next, 0);
  } finally {
    unmapArena(entries);
  }
}

function nameBytes(name: string): Uint8Array {
  path(name);
  return scratch.bytes.slice(0, scratch.bytes.indexOf(0) + 1);
}

class Removal {
  readonly #parent: Directory;
  readonly #entries: Arena;
  readonly #call: Caller;
  /** In the parent: what is to be removed, the tree and then what lay too deep in it. */
  readonly waiting: Uint8Array[] = [];

  constructor(parent: Directory, entries: Arena, caller: Caller) {
    this.#parent = parent;
    this.#call = caller;
    this.#entries = entries;
  }

  #failure(call: string, errno: number): Error {
    return systemError(`remove what lies in ${JSON.stringify(this.#parent.path)}`, call, errno);
  }

  *directory(above: number, name: Uint8Array, depth: number): Generator<void> {
    const fd = this.#open(above, name);
    if (fd === -ENOENT) return;
    if (fd < 0) throw this.#failure("openat", -fd);
    try {
      for (let attempt = 1; ; attempt++) {
        yield* this.#clear(fd, depth);
        let result = this.#call("unlinkat", above, at(name), AT_REMOVEDIR);
        if (result === -EACCES && this.#makeOwn(above)) result = this.#call("unlinkat", above, at(name), AT_REMOVEDIR);
        if (result === 0 || result === -ENOENT) return;
        if (result !== -ENOTEMPTY || attempt === ATTEMPTS) throw this.#failure("unlinkat", -result);
        this.#call("lseek", fd, 0, 0);
      }
    } finally {
      this.#close(fd);
    }
  }

  *#clear(fd: number, depth: number): Generator<void> {
    const below: Uint8Array[] = [];
    const { address, size, bytes, view } = this.#entries;
    for (let length; (length = this.#call("getdents64", fd, address, size)) !== 0;) {
      // somebody else has removed it meanwhile
      if (length === -ENOENT) break;
      if (length < 0) throw this.#failure("getdents64", -length);
      // { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[] }
      for (let entry = 0; entry < length; entry += view.getUint16(entry + 16, true)) {
        const start = entry + 19;
        const end = bytes.indexOf(0, start);
        if (bytes[start] === 46 && (end - start === 1 || (end - start === 2 && bytes[start + 1] === 46))) continue;
        if (bytes[entry + 18] === DT_DIR || this.#unlink(fd, address + start) === -EISDIR)
          below.push(bytes.slice(start, end + 1));
      }
      yield;
    }
    for (const name of below) {
      if (depth < DEPTH) yield* this.directory(fd, name, depth + 1);
      else this.#moveUp(fd, name);
    }
  }

  /** Path lengths and descriptors have an end, trees have none. */
  #moveUp(fd: number, name: Uint8Array): void {
    const up = nameBytes(`${DEEP}${crypto.randomUUID()}`);
    scratch.bytes.set(up, PATH_BYTES);
    let result = this.#call("renameat2", fd, at(name), this.#parent.fd, scratch.address + PATH_BYTES);
    // a directory that changes its place is written to
    if (result === -EACCES && this.#makeOwn(fd)) {
      this.#close(this.#open(fd, name));
      scratch.bytes.set(up, PATH_BYTES);
      result = this.#call("renameat2", fd, at(name), this.#parent.fd, scratch.address + PATH_BYTES);
    }
    if (result === -ENOENT) return;
    if (result < 0) throw this.#failure("renameat2", -result);
    this.waiting.push(up);
  }

  #unlink(fd: number, name: number): number {
    let result = this.#call("unlinkat", fd, name, 0);
    if (result === -EACCES && this.#makeOwn(fd)) result = this.#call("unlinkat", fd, name, 0);
    if (result < 0 && result !== -ENOENT && result !== -EISDIR) throw this.#failure("unlinkat", -result);
    return result;
  }

  /** Its owner may open a directory in any case, after having changed its mode. */
  #open(above: number, name: Uint8Array): number {
    const flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const opened = this.#call("openat", above, at(name), O_RDONLY | flags, 0);
    if (opened !== -EACCES) return opened;
    this.#makeOwn(above);
    const found = this.#call("openat", above, at(name), O_PATH | flags, 0);
    if (found < 0) return found;
    const changed = this.#call("fchmodat", AT_FDCWD, path(`/proc/self/fd/${found}`), OWN);
    this.#close(found);
    return changed < 0 ? opened : this.#call("openat", above, at(name), O_RDONLY | flags, 0);
  }

  #makeOwn(fd: number): boolean {
    return this.#call("fchmod", fd, OWN) === 0;
  }

  #close(fd: number): void {
    this.#call("close", fd);
  }
}

/** The address of a name, until the next one. */
function at(name: Uint8Array): number {
  scratch.bytes.set(name);
  return scratch.address;
}
