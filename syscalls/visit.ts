/**
 * All that lies below a directory which somebody else has filled, and may be changing: each file is opened as a path, by
 * one name in a directory that is open, so that no symlink leads anywhere, and no other file system is entered.
 * @module
 * @see openat2(2), getdents(2)
 */
import { O_DIRECTORY, O_PATH, O_RDONLY } from "./calls.ts";
import { mapArena, systemError, trySyscall, unmapArena, type Arena } from "./kernel.ts";
import { encoder, path, PATH_BYTES, scratch } from "./scratch.ts";
import { struct } from "./structs.ts";
import type { Caller } from "./tree.ts";

const O_CLOEXEC = 0o2000000;
const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
/** RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH */
const RESOLVE = 0x01 | 0x02 | 0x08;
const [ENOENT, EXDEV] = [2, 18];
const [DT_UNKNOWN, DT_DIR] = [0, 4];
/** Each directory above is open. */
const DEPTH = 500;
const NAME_BYTES = 512;
const [HOW_AT, ENTRIES_AT] = [0, 64];

/**
 * @param top an open directory, which is visited as well, or a file
 * @param visit gets a descriptor that is good as a path; a number below zero, which it returns, is an error
 * @param caller who opens, and whose descriptors these are
 * @throws TsboxError also for what is deeper than 500 directories
 */
export function visitTree(top: number, visit: (fd: number) => number, caller: Caller = trySyscall): void {
  const arena = mapArena(65536);
  try {
    arena.bytes.set(struct("open_how", { flags: O_PATH | O_NOFOLLOW | O_CLOEXEC, resolve: RESOLVE }), HOW_AT);
    new Visit(arena, visit, caller).any(top, DT_UNKNOWN, 0);
  } finally {
    unmapArena(arena);
  }
}

class Visit {
  readonly #arena: Arena;
  readonly #visit: (fd: number) => number;
  readonly #call: Caller;

  constructor(arena: Arena, visit: (fd: number) => number, caller: Caller) {
    this.#arena = arena;
    this.#visit = visit;
    this.#call = caller;
  }

  any(fd: number, type: number, depth: number): void {
    if (type === DT_DIR || (type === DT_UNKNOWN && this.#isDirectory(fd))) this.#directory(fd, depth);
    else this.#check("visit a file", this.#visit(fd));
  }

  #directory(fd: number, depth: number): void {
    if (depth > DEPTH) throw systemError(`visit directories: more than ${DEPTH} below each other`, "openat2", 40);
    this.#check("visit a directory", this.#visit(fd));
    const opened = this.#check(
      "open a directory",
      this.#call("openat", fd, path("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0),
    );
    try {
      for (const { name, type } of this.#entries(opened)) this.#entry(opened, name, type, depth);
    } finally {
      this.#call("close", opened);
    }
  }

  #entry(above: number, name: Uint8Array, type: number, depth: number): void {
    const fd = this.#call("openat2", above, this.#placed(name), this.#arena.address + HOW_AT, 24);
    // somebody was quicker, or something else is mounted there
    if (fd === -ENOENT || fd === -EXDEV) return;
    this.#check("open a file", fd);
    try {
      this.any(fd, type, depth + 1);
    } finally {
      this.#call("close", fd);
    }
  }

  #isDirectory(fd: number): boolean {
    const opened = this.#call("openat", fd, path("."), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (opened >= 0) this.#call("close", opened);
    return opened >= 0;
  }

  #placed(name: Uint8Array): number {
    const { bytes } = this.#arena;
    const place = bytes.length - NAME_BYTES;
    bytes.set(name, place);
    return this.#arena.address + place;
  }

  /** All names of a directory, before anything is done with them. */
  #entries(fd: number): { name: Uint8Array; type: number }[] {
    const found: { name: Uint8Array; type: number }[] = [];
    const { address, bytes, view } = this.#arena;
    const size = bytes.length - ENTRIES_AT - NAME_BYTES;
    for (let length; (length = this.#call("getdents64", fd, address + ENTRIES_AT, size)) > 0;) {
      // { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[] }
      for (let at = ENTRIES_AT; at < ENTRIES_AT + length; at += view.getUint16(at + 16, true)) {
        const start = at + 19;
        const end = bytes.indexOf(0, start);
        if (bytes[start] === 46 && (end - start === 1 || (end - start === 2 && bytes[start + 1] === 46))) continue;
        found.push({ name: bytes.slice(start, end + 1), type: bytes[at + 18] as number });
      }
    }
    return found;
  }

  #check(action: string, result: number): number {
    if (result < 0 && result !== -ENOENT) throw systemError(action, "openat2", -result);
    return result;
  }
}

/** `int fchownat(int dirfd, "", uid_t uid, gid_t gid, AT_EMPTY_PATH)` of all that {@link visitTree} visits. @see chown(2) */
export function giveTree(top: number, uid: number, gid: number, caller: Caller = trySyscall): void {
  const AT_EMPTY_PATH = 0x1000;
  visitTree(top, (fd) => caller("fchownat", fd, path(""), uid, gid, AT_EMPTY_PATH), caller);
}

/** `int setxattr(const char *path, const char *name, const void *value, size_t size, 0)` of all of them. @see setxattr(2) */
export function setAttributeOfTree(top: number, name: string, value: string): void {
  const [NAME_AT, VALUE_AT] = [PATH_BYTES, PATH_BYTES + 512];
  visitTree(top, (fd) => {
    const { written } = encoder.encodeInto(`${value}\0`, scratch.bytes.subarray(VALUE_AT));
    encoder.encodeInto(`${name}\0`, scratch.bytes.subarray(NAME_AT, VALUE_AT));
    const [key, content] = [scratch.address + NAME_AT, scratch.address + VALUE_AT];
    return trySyscall("setxattr", path(`/proc/self/fd/${fd}`), key, content, written, 0);
  });
}
