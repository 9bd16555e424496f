/**
 * The host's side of `cp`: files of the host as a tar archive, and an archive as files. What comes out of a container is
 * hostile: nothing that it names is reached through a symlink that it has brought along.
 * @module
 */
import { Directory, effectiveUid, OpenFile, systemError, TsboxError } from "../../syscalls/index.ts";
import { readTar, tarEnd, tarHeader, tarPadding, type TarEntry, type TarHeader } from "../tar/index.ts";

const encoder = new TextEncoder();
const EPERM = 1;
/** What is read at a time. */
const PIECE_BYTES = 256 * 1024;

/**
 * A path under a name, with all that is below it. Sockets are left out.
 * @param followLink a symlink is what it leads to
 * @throws what node:fs throws, such as `ENOENT`
 */
export async function* packHost(path: string, name: string, followLink: boolean): AsyncGenerator<Uint8Array, void> {
  const { lstatSync, statSync } = process.getBuiltinModule("node:fs");
  const stat = followLink ? statSync(path, { bigint: true }) : lstatSync(path, { bigint: true });
  yield* packEntry(path, name, stat, new Map());
  yield tarEnd();
}

type Stat = import("node:fs").BigIntStats;

function* packEntry(path: string, name: string, stat: Stat, seen: Map<string, string>): Generator<Uint8Array, void> {
  const { lstatSync, readdirSync, readlinkSync } = process.getBuiltinModule("node:fs");
  const { isUtf8 } = process.getBuiltinModule("node:buffer");
  const header = headerOf(name, stat);
  if (stat.isDirectory()) {
    yield tarHeader({ ...header, type: "directory", name: encoder.encode(`${name}/`) });
    for (const bytes of readdirSync(path, { encoding: "buffer" }).toSorted(Buffer.compare)) {
      const each = bytes.toString();
      // as text it is another name, of nothing or of another file
      if (!isUtf8(bytes))
        throw new TsboxError(`copy "${path}/${each}": a name that is not UTF-8`, { code: "file_refused", path });
      const below = `${path}/${each}`;
      const found = lstatSync(below, { bigint: true, throwIfNoEntry: false });
      if (found) yield* packEntry(below, `${name}/${each}`, found, seen);
    }
  } else if (stat.isSymbolicLink()) {
    yield tarHeader({ ...header, type: "symlink", linkName: readlinkSync(path, { encoding: "buffer" }) });
  } else if (stat.isFile()) {
    const identity = `${stat.dev}:${stat.ino}`;
    const first = stat.nlink > 1n ? seen.get(identity) : undefined;
    if (first !== undefined) return yield tarHeader({ ...header, type: "hard link", linkName: encoder.encode(first) });
    seen.set(identity, name);
    yield* packFile(path, header);
  } else if (stat.isFIFO()) yield tarHeader({ ...header, type: "fifo" });
  else if (!stat.isSocket()) {
    throw new TsboxError(`copy "${path}": devices are not copied`, { code: "file_refused", path });
  }
}

function headerOf(name: string, stat: Stat): Omit<TarHeader, "type"> {
  const [SECOND_NS, PERMISSIONS] = [1_000_000_000n, 0o7777n];
  const seconds = stat.mtimeNs / SECOND_NS;
  return {
    name: encoder.encode(name),
    mode: Number(stat.mode & PERMISSIONS),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: 0,
    mtime: { seconds: Number(seconds), nanoseconds: Number(stat.mtimeNs - seconds * SECOND_NS) },
  };
}

/** As many bytes as the header says, whoever shortens or lengthens the file meanwhile. */
function* packFile(path: string, header: Omit<TarHeader, "type">): Generator<Uint8Array, void> {
  const { closeSync, fstatSync, openSync, readSync } = process.getBuiltinModule("node:fs");
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    yield tarHeader({ ...header, type: "file", size });
    for (let left = size; left > 0;) {
      const piece = new Uint8Array(Math.min(left, PIECE_BYTES));
      const length = readSync(fd, piece);
      // what was cut off meanwhile is zeros
      const part = length > 0 ? piece.subarray(0, length) : piece;
      left -= part.length;
      yield part;
    }
    yield tarPadding(size);
  } finally {
    closeSync(fd);
  }
}

/**
 * The same archive with its first names replaced.
 * @param name of the first part of each; `"."`: all begins below it
 */
export async function* renamed(archive: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array, void> {
  const rename = (path: string) => joined(name, rest(path));
  for await (const entry of readTar(archive)) {
    const isDirectory = entry.type === "directory";
    const isLink = entry.type === "hard link";
    const linkName = isLink ? rename(entry.linkName) : entry.linkName;
    yield tarHeader({
      ...entry,
      name: encoder.encode(`${rename(entry.name)}${isDirectory ? "/" : ""}`),
      linkName: encoder.encode(linkName),
      size: entry.type === "file" ? entry.size : 0,
    });
    if (entry.type !== "file") continue;
    for await (const piece of entry.body) yield piece.slice();
    yield tarPadding(entry.size);
  }
  yield tarEnd();
}

const partsOf = (path: string) => path.split("/").filter((part) => part !== "" && part !== ".");

/** Without the first part; of `./x` there is none. */
function rest(path: string): string {
  const parts = partsOf(path);
  return (/^\.(?:\/|$)/.test(path) ? parts : parts.slice(1)).join("/");
}

const joined = (name: string, below: string) => (below === "" ? name : `${name}/${below}`);

export interface UnpackHostOptions {
  /** Files belong to whom the archive says, where the caller may do that, and keep setuid bits. */
  sameOwner?: boolean;
}

/**
 * Into a directory that is there.
 * @throws TsboxError `archive_refused` for names that lead out of it, and for devices; `system`
 */
export async function unpackHost(
  path: string,
  archive: AsyncIterable<Uint8Array>,
  { sameOwner = false }: UnpackHostOptions = {},
): Promise<void> {
  const { realpathSync } = process.getBuiltinModule("node:fs");
  using top = Directory.open(realpathSync(path));
  if (!top) throw new TsboxError(`copy to "${path}": not a directory`, { code: "file_refused", path });
  const unpacking = new HostUnpacking(top, sameOwner);
  for await (const entry of readTar(archive)) await unpacking.take(entry);
  unpacking.finish();
}

const refused = (name: string, why: string) =>
  new TsboxError(`copy "${name}": ${why}`, { code: "archive_refused", path: name });

class HostUnpacking {
  readonly #top: Directory;
  readonly #sameOwner: boolean;
  /** Of those that were made: later entries change their times. */
  readonly #made: [parts: string[], entry: TarEntry][] = [];

  constructor(top: Directory, sameOwner: boolean) {
    this.#top = top;
    this.#sameOwner = sameOwner;
  }

  async take(entry: TarEntry): Promise<void> {
    const parts = safeParts(entry.name);
    const name = parts.at(-1);
    if (name === undefined) {
      if (entry.type === "directory") return;
      throw refused(entry.name, "an empty name");
    }
    using parent = this.#parent(parts.slice(0, -1), entry.name);
    switch (entry.type) {
      case "directory":
        return this.#directory(parent, name, parts, entry);
      case "file":
        return await this.#file(parent, name, entry);
      case "symlink":
        this.#clear(parent, name, entry);
        check(parent.makeSymlink(name, entry.linkName), "symlinkat", entry.name);
        return this.#attributes(parent, name, entry);
      case "fifo":
        this.#clear(parent, name, entry);
        parent.makeFifo(name, entry.mode & 0o777);
        return this.#attributes(parent, name, entry);
      case "hard link":
        return this.#hardLink(parent, name, entry);
      default:
        throw refused(entry.name, `a ${entry.type}`);
    }
  }

  finish(): void {
    for (const [parts, entry] of this.#made.toReversed()) {
      using parent = this.#parent(parts.slice(0, -1), entry.name);
      const name = parts.at(-1) as string;
      using directory = parent.directory(name);
      if (!directory) continue;
      if (this.#sameOwner) this.#own(parent, name, entry);
      // sticky, as /tmp is
      directory.changeMode(entry.mode & (this.#sameOwner ? 0o7777 : 0o1777));
      parent.setTime(name, entry.mtime.seconds, entry.mtime.nanoseconds);
    }
  }

  /** One step after the other, no symlink among them. Those that no entry was for are made. */
  #parent(parts: readonly string[], name: string): Directory {
    let at = this.#top.directory(".") as Directory;
    for (const part of parts) {
      let below = at.directory(part);
      if (!below && !at.status(part)) {
        at.makeDirectory(part, 0o755);
        below = at.directory(part);
      }
      at[Symbol.dispose]();
      if (!below) throw refused(name, `"${part}" is not a directory`);
      at = below;
    }
    return at;
  }

  #directory(parent: Directory, name: string, parts: string[], entry: TarEntry): void {
    const status = parent.status(name);
    if (status?.kind === "directory") return;
    if (status) throw refused(entry.name, `cannot overwrite non-directory "${name}" with directory "${entry.name}"`);
    parent.makeDirectory(name, 0o700);
    this.#made.push([parts, entry]);
  }

  /** Whatever has the name goes first, so that nothing is written through it. */
  #clear(parent: Directory, name: string, entry: TarEntry): void {
    const kind = parent.status(name)?.kind;
    if (kind === "directory")
      throw refused(entry.name, `cannot overwrite directory "${name}" with non-directory "${entry.name}"`);
    if (kind === "device") throw refused(entry.name, `cannot overwrite device "${name}"`);
    parent.remove(name);
  }

  async #file(parent: Directory, name: string, entry: TarEntry): Promise<void> {
    this.#clear(parent, name, entry);
    using file = OpenFile.open(parent, name, { as: "new", mode: 0o600 });
    if (!file) throw refused(entry.name, "it cannot be made");
    for await (const part of entry.body) file.write(part);
    if (this.#sameOwner) this.#own(parent, name, entry);
    file.changeMode(entry.mode & (this.#sameOwner ? 0o7777 : 0o777));
    parent.setTime(name, entry.mtime.seconds, entry.mtime.nanoseconds);
  }

  #hardLink(parent: Directory, name: string, entry: TarEntry): void {
    const parts = safeParts(entry.linkName);
    const target = parts.at(-1);
    if (target === undefined) throw refused(entry.name, `a hard link to "${entry.linkName}"`);
    if (parts.join("/") === safeParts(entry.name).join("/")) return;
    using from = this.#parent(parts.slice(0, -1), entry.name);
    // of a symlink, it would be one more name of that
    if (from.status(target)?.kind !== "file")
      throw refused(entry.name, `a hard link to "${entry.linkName}", which is no file`);
    this.#clear(parent, name, entry);
    check(from.makeHardLink(target, parent, name), "linkat", entry.name);
  }

  #attributes(parent: Directory, name: string, entry: TarEntry): void {
    if (this.#sameOwner) this.#own(parent, name, entry);
    parent.setTime(name, entry.mtime.seconds, entry.mtime.nanoseconds);
  }

  /** Only root may give files away. */
  #own(parent: Directory, name: string, entry: TarEntry): void {
    const result = parent.changeOwner(name, entry.uid, entry.gid);
    if (result === -EPERM && effectiveUid() !== 0) return;
    check(result, "fchownat", entry.name);
  }
}

function check(result: number, call: string, name: string): void {
  if (result < 0) throw systemError(`copy "${name}"`, call, -result);
}

/** @throws TsboxError `archive_refused` */
function safeParts(path: string): string[] {
  if (path.startsWith("/")) throw refused(path, "an absolute name");
  const parts = partsOf(path);
  if (parts.includes("..")) throw refused(path, '".." in its name');
  return parts;
}
