/**
 * Files of a tree that somebody else filled, and may be changing: looked at by descriptors, a batch of them at once.
 * Nothing is reached by more than one name below an open directory, no symlink is followed, and what a descriptor says
 * counts, not what a name said before. Names are strings of bytes, a character each.
 * @module
 */
import { mapArena, runProgram, unmapArena, type Arena } from "../../syscalls/index.ts";
import { Batch, type Walk } from "./batch.ts";
import {
  DT,
  failed,
  textOf,
  type FileKind,
  type Looked,
  type Name,
  type Stated,
  type StatedGroup,
  type Wanted,
} from "./looked.ts";
import { stampAt, stampOfAll, STATX_BYTES, statedAt, type StatxMemory } from "./statx.ts";
import { isKeptXattr } from "./xattrs.ts";

const TYPES: Record<FileKind, number> = {
  file: DT.file,
  directory: DT.directory,
  symlink: DT.symlink,
  "character device": DT.character,
  "block device": DT.block,
  fifo: DT.fifo,
  socket: DT.socket,
};
const [O_DIRECTORY, O_NOFOLLOW] = process.arch === "arm64" ? [0o40000, 0o100000] : [0o200000, 0o400000];
const [O_NOCTTY, O_NONBLOCK, O_CLOEXEC, O_PATH] = [0o400, 0o4000, 0o2000000, 0o10000000];
const O_FILE = O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
const O_LOOK = O_NOFOLLOW | O_CLOEXEC | O_PATH;
const RESOLVE_NO_XDEV = 0x01;
/** RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH */
const RESOLVE = 0x02 | 0x04 | 0x08;
const [AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH] = [0x100, 0x1000];
const STATX_BASIC_STATS = 0x7ff;
const [ENOENT, ENXIO, EXDEV, ENOTDIR, EINVAL, ERANGE, ELOOP, ENODATA] = [2, 6, 18, 20, 22, 34, 40, 61];
/** What happens where somebody removes or replaces a file between two looks at it. */
const GONE = [ENOENT, ENXIO, EXDEV, ENOTDIR, ELOOP];
/** The same, of what was a symlink when it was looked at. */
const REPLACED = [...GONE, EINVAL];

/** Files that are looked at together: each has three results. */
export const GROUP = 80;
const [LIST_BYTES, PATH_BYTES, DENTS_BYTES, VALUE_BYTES] = [512, 4096, 65536, 65536];
const NONE = new Uint8Array();
const AT = {
  how: 0,
  empty: 32,
  path: 64,
  dents: PATH_BYTES + 4096,
  names: PATH_BYTES + 4096 + 2 * DENTS_BYTES,
  stats: PATH_BYTES + 4096 + 2 * DENTS_BYTES + GROUP * 256,
  lists: PATH_BYTES + 4096 + 2 * DENTS_BYTES + GROUP * 2 * 256,
  value: PATH_BYTES + 4096 + 2 * DENTS_BYTES + GROUP * (2 * 256 + LIST_BYTES),
};
const ARENA_BYTES = AT.value + 2 * VALUE_BYTES + 256;

export class Looker implements Disposable {
  readonly batch: Batch;
  readonly #memory: Arena = mapArena(ARENA_BYTES);
  readonly #bytes: Buffer;
  readonly #stats: StatxMemory;

  /**
   * @param walk where the calls are made: in this thread, or by a process with other rights
   * @param crosses what is mounted in it is entered
   */
  constructor(walk: Walk = runProgram, crosses = false) {
    this.batch = new Batch(walk);
    const { view } = this.#memory;
    this.#bytes = Buffer.from(this.#memory.bytes.buffer);
    this.#stats = { bytes: this.#bytes, view };
    view.setBigUint64(AT.how, BigInt(O_DIRECTORY | O_CLOEXEC | O_NONBLOCK), true);
    view.setBigUint64(AT.how + 16, BigInt(crosses ? RESOLVE : RESOLVE | RESOLVE_NO_XDEV), true);
  }

  [Symbol.dispose](): void {
    this.batch[Symbol.dispose]();
    unmapArena(this.#memory);
  }

  /**
   * A directory, and the names in it, in the order of their bytes; undefined where it is gone, or is none any more.
   * @param path below the descriptor; at most 4095 bytes, empty for what it is itself
   */
  enter(top: number, path: string, where: string): { directory: Looked; names: Name[] } | undefined {
    const { batch } = this;
    const { address } = this.#memory;
    this.#putString(AT.path, path === "" ? "." : path);
    batch.add("openat2", 1, 0, top, address + AT.path, address + AT.how, 24);
    this.#addLook(0, 1, DT.directory);
    batch.add("getdents64", 4, 1, 1, address + AT.dents, DENTS_BYTES);
    batch.add("getdents64", 5, 1, 1, address + AT.dents + DENTS_BYTES, DENTS_BYTES);
    batch.run();
    const fd = batch.result(1);
    if (fd < 0) {
      if (GONE.includes(-fd)) return undefined;
      throw failed("open the directory", "openat2", -fd, where);
    }
    try {
      const directory = this.#looked(0, 1, path, DT.directory, where);
      const names = this.#names(fd, where);
      this.#findTypes(fd, names, where);
      this.#complete(directory, where);
      return { directory, names };
    } catch (error) {
      this.close([fd]);
      throw error;
    }
  }

  /** What the calls of slots 4 and 5 found, and all behind it. */
  #names(fd: number, where: string): Name[] {
    const names: Name[] = [];
    let [first, second] = [this.batch.result(4), this.batch.result(5)];
    for (;;) {
      for (const [at, length] of [
        [AT.dents, first],
        [AT.dents + DENTS_BYTES, second],
      ] as const) {
        if (length < 0 && length !== -ENOENT) throw failed("read the directory", "getdents64", -length, where);
        this.#take(at, length, names);
      }
      if (first <= 0 || second <= 0) break;
      for (const half of [0, 1])
        this.batch.add(
          "getdents64",
          4 + half,
          0,
          fd,
          this.#memory.address + AT.dents + half * DENTS_BYTES,
          DENTS_BYTES,
        );
      this.batch.run();
      [first, second] = [this.batch.result(4), this.batch.result(5)];
    }
    return names.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Of names that the file system tells no type of. */
  #findTypes(from: number, names: Name[], where: string): void {
    const unknown = names.filter(({ type }) => type === DT.unknown);
    for (let at = 0; at < unknown.length; at += GROUP) {
      const part = unknown.slice(at, at + GROUP);
      const all = this.look(
        part.map((each) => ({ ...each, from })),
        (name) => `${where}/${name}`,
      );
      all.forEach((looked, index) => {
        if (looked) (part[index] as Name).type = TYPES[looked.kind];
      });
      this.close(all.flatMap((looked) => (looked ? [looked.fd] : [])));
    }
  }

  /** `{ u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[] }` */
  #take(from: number, length: number, names: Name[]): void {
    const bytes = this.#bytes;
    for (let at = from; at < from + length; at += bytes.readUInt16LE(at + 16)) {
      const start = at + 19;
      const name = bytes.toString("latin1", start, bytes.indexOf(0, start));
      if (name !== "." && name !== "..") names.push({ name, type: bytes[at + 18] as number });
    }
  }

  /** At most {@link GROUP} names of open directories, open; undefined for those that are gone. */
  look(wanted: Wanted[], where: (name: string) => string, isStamped = false): (Looked | undefined)[] {
    const { batch } = this;
    const { address } = this.#memory;
    wanted.forEach(({ from, name, type }, index) => {
      const at = AT.names + index * 256;
      this.#putString(at, name);
      batch.add("openat", 1 + index * 3, 0, from, address + at, type === DT.file ? O_FILE : O_LOOK);
      this.#addLook(index, 1 + index * 3, type);
    });
    batch.run();
    const fds = wanted.map((_, index) => batch.result(1 + index * 3));
    try {
      const all = wanted.map(({ name, type }, index) => {
        const fd = fds[index] as number;
        if (fd >= 0) return this.#looked(index, 1 + index * 3, name, type, where(name), isStamped);
        if (GONE.includes(-fd)) return undefined;
        throw failed("open", "openat", -fd, where(name));
      });
      for (const each of all) if (each) this.#complete(each, where(each.name));
      return all;
    } catch (error) {
      this.close(fds.filter((fd) => fd >= 0));
      throw error;
    }
  }

  /** The same without opening anything, as a group; what it tells is good until something else is asked. */
  stat(wanted: Wanted[], where: (name: string) => string): StatedGroup {
    const { batch } = this;
    const { address } = this.#memory;
    wanted.forEach(({ from, name, type }, index) => {
      const [at, slot] = [address + AT.names + index * 256, 1 + index * 3];
      this.#putString(AT.names + index * 256, name);
      this.#addStat(index, slot, from, at);
      if (type === DT.symlink)
        batch.add("readlinkat", slot + 2, 0, from, at, address + AT.lists + index * LIST_BYTES, LIST_BYTES);
    });
    batch.run();
    const results = wanted.map((_, index) => batch.result(2 + index * 3));
    return { ...stampOfAll(this.#stats, AT.stats, wanted, results), all: () => this.#statedGroup(wanted, where) };
  }

  #statedGroup(wanted: Wanted[], where: (name: string) => string): (Stated | undefined)[] {
    const { address } = this.#memory;
    const all = wanted.map(({ name, type }, index) => this.#stated(index, 1 + index * 3, name, type, where(name)));
    for (const [index, each] of all.entries()) {
      if (each?.kind !== "symlink" || (each.linkName?.length ?? LIST_BYTES) < LIST_BYTES) continue;
      const at = address + AT.names + index * 256;
      const { from } = wanted[index] as Wanted;
      const length = this.#one("readlinkat", from, at, address + AT.value, PATH_BYTES);
      if (REPLACED.includes(-length)) all[index] = undefined;
      else each.linkName = this.#link(length, where(each.name));
    }
    return all;
  }

  /** The stamp of a group that is open, as {@link stat} would tell it now. @param opened by {@link look}, of those names */
  stampOf(wanted: Wanted[], opened: (Looked | undefined)[]): string {
    const { address } = this.#memory;
    opened.forEach((file, index) => {
      const stat = address + AT.stats + index * STATX_BYTES;
      if (file)
        this.batch.add("statx", index + 1, 0, file.fd, address + AT.empty, AT_EMPTY_PATH, STATX_BASIC_STATS, stat);
    });
    this.batch.run();
    const results = opened.map((file, index) => (file ? this.batch.result(index + 1) : -ENOENT));
    return stampOfAll(this.#stats, AT.stats, wanted, results).stamp;
  }

  /** Of files that are open. */
  stampsOf(fds: number[], where: (index: number) => string): string[] {
    const { address } = this.#memory;
    fds.forEach((fd, index) => {
      const stat = address + AT.stats + index * STATX_BYTES;
      this.batch.add("statx", index + 1, 0, fd, address + AT.empty, AT_EMPTY_PATH, STATX_BASIC_STATS, stat);
    });
    this.batch.run();
    return fds.map((_, index) => {
      const result = this.batch.result(index + 1);
      if (result < 0) throw failed("look at", "statx", -result, where(index));
      return stampAt(this.#stats, AT.stats + index * STATX_BYTES);
    });
  }

  /** A name in a directory, which is below the descriptor; and whether that is opaque. Undefined where there is no such directory. */
  find(top: number, path: string, name: string, where: string): { stated?: Stated; isOpaque: boolean } | undefined {
    const { batch } = this;
    const { address } = this.#memory;
    this.#putString(AT.path, path === "" ? "." : path);
    this.#putString(AT.names, name);
    const [at, opaque] = [address + AT.names, OPAQUE_KEYS.map((_, index) => AT.names + 256 * (index + 1))];
    OPAQUE_KEYS.forEach((key, index) => this.#putString(opaque[index] as number, key));
    batch.add("openat2", 1, 0, top, address + AT.path, address + AT.how, 24);
    batch.add("statx", 2, 1, 1, at, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, address + AT.stats);
    batch.add("readlinkat", 3, 1, 1, at, address + AT.value, PATH_BYTES);
    opaque.forEach((key, index) => {
      batch.add("fgetxattr", 4 + index, 1, 1, address + key, address + AT.lists + index, 1);
    });
    batch.add("close", 0, 1, 1);
    batch.run();
    const fd = batch.result(1);
    if (GONE.includes(-fd)) return undefined;
    if (fd < 0) throw failed("open the directory", "openat2", -fd, where);
    const isOpaque = opaque.some((_, index) => batch.result(4 + index) === 1 && this.#bytes[AT.lists + index] === 0x79);
    const length = batch.result(3);
    const stated = this.#stated(0, 1, name, DT.unknown, where);
    if (stated?.kind === "symlink") {
      if (REPLACED.includes(-length)) return { isOpaque };
      stated.linkName = this.#link(length, where);
    }
    return { isOpaque, ...(stated ? { stated } : {}) };
  }

  close(fds: number[]): void {
    for (const fd of fds) {
      if (this.batch.isFull) this.batch.run();
      this.batch.add("close", 0, 0, fd);
    }
    this.batch.run();
  }

  #addLook(index: number, slot: number, type: number): void {
    const { address } = this.#memory;
    const [stat, list] = [address + AT.stats + index * STATX_BYTES, address + AT.lists + index * LIST_BYTES];
    this.batch.add("statx", slot + 1, 1, slot, address + AT.empty, AT_EMPTY_PATH, STATX_BASIC_STATS, stat);
    if (hasXattrs(type)) this.batch.add("flistxattr", slot + 2, 1, slot, list, LIST_BYTES);
    else if (type === DT.symlink) this.batch.add("readlinkat", slot + 2, 1, slot, address + AT.empty, list, LIST_BYTES);
  }

  #addStat(index: number, slot: number, from: number, name: number): void {
    const stat = this.#memory.address + AT.stats + index * STATX_BYTES;
    this.batch.add("statx", slot + 1, 0, from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, stat);
  }

  /** @param type that it is thought to be: of a symlink, its target has been asked for */
  #stated(index: number, slot: number, name: string, type: number, where: string): Stated | undefined {
    const result = this.batch.result(slot + 1);
    if (GONE.includes(-result)) return undefined;
    const stated = this.#statOf(index, result, name, where, true);
    const length = this.batch.result(slot + 2);
    if (type === DT.symlink && length >= 0) stated.linkName = this.#linkAt(index, length);
    return stated;
  }

  #linkAt(index: number, length: number): string {
    const list = AT.lists + index * LIST_BYTES;
    return this.#bytes.toString("latin1", list, list + length);
  }

  #link(length: number, where: string): string {
    if (length < 0) throw failed("read the symlink", "readlinkat", -length, where);
    return this.#bytes.toString("latin1", AT.value, AT.value + length);
  }

  #statOf(index: number, result: number, name: string, where: string, isStamped = false): Stated {
    if (result < 0) throw failed("look at", "statx", -result, where);
    return statedAt(this.#stats, AT.stats + index * STATX_BYTES, name, isStamped);
  }

  /** @param type that it was opened as */
  #looked(index: number, slot: number, name: string, type: number, where: string, isStamped = false): Looked {
    const [fd, stated, length] = [this.batch.result(slot), this.batch.result(slot + 1), this.batch.result(slot + 2)];
    const looked = Object.assign(this.#statOf(index, stated, name, where, isStamped), {
      fd,
      isReadable: hasXattrs(type),
    }) as Looked;
    // each is completed by calls of its own, if there is anything to say
    if (type === DT.symlink && length >= 0) looked.linkName = this.#linkAt(index, length);
    if (hasXattrs(type) && length !== 0) looked.xattrs = this.#keys(AT.lists + index * LIST_BYTES, length);
    return looked;
  }

  /** Keys without values; an empty key where they have to be listed again. */
  #keys(at: number, length: number): Map<string, Uint8Array> | undefined {
    if (length === -ERANGE) return new Map([["", NONE]]);
    // the file system has none
    if (length < 0) return undefined;
    const keys = this.#bytes
      .toString("latin1", at, at + length)
      .split("\0")
      .slice(0, -1);
    return new Map(keys.toSorted().map((key) => [key, NONE]));
  }

  #complete(looked: Looked, where: string): void {
    const { address } = this.#memory;
    if (looked.kind === "symlink" && (looked.linkName?.length ?? LIST_BYTES) === LIST_BYTES) {
      const length = this.#one("readlinkat", looked.fd, address + AT.empty, address + AT.value, PATH_BYTES);
      looked.linkName = this.#link(length, where);
    }
    if (looked.xattrs) looked.xattrs = this.#values(looked.fd, looked.xattrs, where);
  }

  #values(fd: number, keys: Map<string, Uint8Array>, where: string): Map<string, Uint8Array> {
    const { address } = this.#memory;
    let names = keys;
    if (names.has("")) {
      const length = this.#one("flistxattr", fd, address + AT.value, VALUE_BYTES);
      if (length < 0) throw failed("list the attributes of", "flistxattr", -length, where);
      names = this.#keys(AT.value, length) ?? new Map();
    }
    const values = new Map<string, Uint8Array>();
    for (const key of names.keys()) {
      // each copied file has one that says of what it is a copy
      if (!hasValue(key)) {
        values.set(key, NONE);
        continue;
      }
      this.#putString(AT.path, key);
      const length = this.#one("fgetxattr", fd, address + AT.path, address + AT.value, VALUE_BYTES);
      // removed by now
      if (length === -ENODATA) continue;
      if (length < 0) throw failed(`read the attribute ${JSON.stringify(textOf(key))} of`, "fgetxattr", -length, where);
      values.set(key, Uint8Array.from(this.#bytes.subarray(AT.value, AT.value + length)));
    }
    return values;
  }

  #one(call: "readlinkat" | "flistxattr" | "fgetxattr", ...args: number[]): number {
    const [a, b, c, d] = args;
    this.batch.add(call, 1, 0, a, b, c, d);
    this.batch.run();
    return this.batch.result(1);
  }

  #putString(at: number, text: string): void {
    this.#bytes.write(text, at, "latin1");
    this.#bytes[at + text.length] = 0;
  }
}

const OPAQUE_KEYS = ["user.overlay.opaque", "trusted.overlay.opaque"];

/** Of others only the key counts, if that. */
const hasValue = (key: string): boolean => isKeptXattr(key) || key.endsWith(".overlay.opaque");

/** Of a file that is open to be read; attributes of others are nobody's but the host's. */
const hasXattrs = (type: number): boolean => type === DT.file || type === DT.directory;
