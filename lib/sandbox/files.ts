/**
 * `box.fs`: files of a running sandbox, read and written from inside of it. A path begins at its root, symlinks are
 * followed there, and what the sandbox's user may not do fails.
 * @module
 */
import { TsboxError, show } from "../../syscalls/index.ts";
import { unlessAborted } from "./abort.ts";
import { fileError, type Agent } from "./agent.ts";
import { checkChoice, checkKeys, checkPath, invalid } from "../options/index.ts";
import { entriesOf, openDirectory, removeDirectory, type DirectoryEntry } from "./directory.ts";
import { BoxFile, checkOptions, notAFile, type FileOptions, type WriteOptions } from "./file.ts";
import { callInParent, close, open, OPEN, splitPath, write, type Opened } from "./file-calls.ts";
import { chunksOf, streamOf, type FileContent } from "./file-content.ts";
import type { FileStat } from "./file-stat.ts";
import type { Size } from "./options.ts";
import { pack } from "./pack.ts";
import { parseSize } from "./parse.ts";
import { unpack, type Unpacked } from "./unpack.ts";

export interface MkdirOptions extends FileOptions {
  /** Makes missing directories on the way, and takes one that is there for made. */
  recursive?: boolean;
  /** Default 0o777, less the umask 0o022. */
  mode?: number;
}

export interface RmOptions extends FileOptions {
  /** Directories, with all that is in them. */
  recursive?: boolean;
  /** What is not there is no error. */
  force?: boolean;
}

export interface UntarOptions extends FileOptions {
  /** Default 100,000 entries, and 1 GiB of files. `Infinity` is no limit. */
  limits?: { entries?: number; bytes?: Size };
  /** Files belong to whom the archive says, and keep setuid and setgid bits; the sticky bit of a directory is kept anyway. */
  sameOwner?: boolean;
}

const [MAX_ENTRIES, MAX_BYTES] = [100_000, 2 ** 30];

const [EEXIST, EISDIR, ENOENT, EPERM] = [17, 21, 2, 1];

/**
 * Files of a running sandbox.
 *
 * @example
 * ```ts
 * await box.fs.write("/tmp/in/data.json", "[1, 2]");
 * console.log(await box.fs.file("/tmp/in/data.json").json()); // [ 1, 2 ]
 * console.log(await box.fs.readdir("/tmp/in")); // [ "data.json" ]
 * ```
 */
export class BoxFiles {
  readonly #agent: () => Agent;

  /** @internal @param agent one that has not ended */
  constructor(agent: () => Agent) {
    this.#agent = agent;
  }

  /** A file by its path, whether it is there or not; as `Bun.file`. */
  file(path: string): BoxFile {
    return new BoxFile(this, this.#agent, checkPath("path", path));
  }

  /**
   * Writes a file: what was in it is gone, and where this fails it may hold a part. @returns how many bytes
   * @throws TsboxError `file_not_found`, `file_refused`, `permission_denied`, `system`
   */
  async write(path: string, content: FileContent, options: WriteOptions = {}): Promise<number> {
    checkOptions(options, "mode", "createPath");
    checkPath("path", path);
    const mode = checkMode(options.mode, 0o666);
    const createPath = checkChoice<boolean>("createPath", options.createPath, true, false);
    const chunks = chunksOf(content, options.signal);
    const agent = this.#agent();
    using _ = agent.use();
    const { signal } = options;
    const file = await this.#openToWrite(agent, path, mode, createPath, signal);
    try {
      if (!file.stat.isFile()) throw notAFile("write", path, file.stat);
      const truncated = await agent.request({
        ops: [{ call: "ftruncate", args: [file.fd, 0], out: "truncated" }],
        signal,
      });
      if (truncated.failed) throw fileError("write", truncated.failed, path);
      let total = 0;
      for await (const chunk of chunks) {
        await write(agent, file.fd, chunk, path, signal);
        total += chunk.length;
      }
      return total;
    } finally {
      // a program that is open to be written cannot be executed (ETXTBSY)
      await unlessAborted(close(agent, file.fd), signal);
    }
  }

  async #openToWrite(
    agent: Agent,
    path: string,
    mode: number,
    createPath: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Opened> {
    try {
      return await open(agent, "write", path, OPEN.write, { mode, signal });
    } catch (error) {
      const parent = splitPath(path)?.parent;
      if (!createPath || parent === undefined || !(error instanceof TsboxError) || error.errno !== ENOENT) throw error;
      await this.mkdir(parent, { recursive: true, signal });
      return open(agent, "write", path, OPEN.write, { mode, signal });
    }
  }

  /** Names in a directory, in no particular order. @throws TsboxError */
  async readdir(path: string, options: FileOptions = {}): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of this.entries(path, options)) names.push(name);
    return names;
  }

  /** What is in a directory, as it is read: for those that may be large. @throws TsboxError */
  async *entries(path: string, options: FileOptions = {}): AsyncGenerator<DirectoryEntry, void> {
    checkOptions(options);
    checkPath("path", path);
    const agent = this.#agent();
    using _ = agent.use();
    const directory = await openDirectory(agent, "read", path, OPEN.directory, options);
    try {
      for await (const some of entriesOf(agent, directory, path, options.signal)) yield* some;
    } finally {
      agent.closeSoon(directory.fd);
    }
  }

  /** @throws TsboxError `file_not_found`, `permission_denied`, `system` where it is there */
  async mkdir(path: string, options: MkdirOptions = {}): Promise<void> {
    checkOptions(options, "recursive", "mode");
    const mode = checkMode(options.mode, 0o777);
    const recursive = checkChoice<boolean>("recursive", options.recursive, false, true);
    const parts = checkPath("path", path).split("/").filter(Boolean);
    const agent = this.#agent();
    using _ = agent.use();
    const paths = recursive ? parts.map((_part, index) => `/${parts.slice(0, index + 1).join("/")}`) : [path];
    for (const each of paths) {
      const split = splitPath(each);
      const errno = split
        ? -(await callInParent(agent, split, (from, name) => ({ call: "mkdirat", args: [from, name, mode] }), options))
        : EEXIST;
      if (errno <= 0 || (errno === EEXIST && recursive && (await this.#isDirectory(each, options.signal)))) continue;
      throw fileError("make the directory", { call: "mkdirat", errno }, each);
    }
  }

  async #isDirectory(path: string, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.stat(path, { signal })).isDirectory();
  }

  /** Removes a file or a symlink; with `recursive` a directory as well. @throws TsboxError */
  async rm(path: string, options: RmOptions = {}): Promise<void> {
    checkOptions(options, "recursive", "force");
    const recursive = checkChoice<boolean>("recursive", options.recursive, false, true);
    const force = checkChoice<boolean>("force", options.force, false, true);
    const split = splitPath(checkPath("path", path));
    if (!split) throw invalid(`remove "${path}": it is the root`);
    const agent = this.#agent();
    using _ = agent.use();
    const { signal } = options;
    const errno = -(await callInParent(
      agent,
      split,
      (directory, name) => ({ call: "unlinkat", args: [directory, name, 0] }),
      { signal },
    ));
    if (errno <= 0 || (errno === ENOENT && force)) return;
    if (!recursive || (errno !== EISDIR && errno !== EPERM))
      throw fileError("remove", { call: "unlinkat", errno }, path);
    const { fd } = await open(agent, "remove", split.parent, OPEN.look | OPEN.directory, { signal });
    try {
      await removeDirectory(agent, fd, new TextEncoder().encode(split.name), path, signal);
    } finally {
      agent.closeSoon(fd);
    }
  }

  /** What a path leads to. @throws TsboxError `file_not_found`, … */
  stat(path: string, options: FileOptions = {}): Promise<FileStat> {
    return this.#look(path, OPEN.look, options);
  }

  /** What a path names: a symlink is one. @throws TsboxError `file_not_found`, … */
  lstat(path: string, options: FileOptions = {}): Promise<FileStat> {
    return this.#look(path, OPEN.lookAtLink, options);
  }

  async #look(path: string, how: number, options: FileOptions): Promise<FileStat> {
    checkOptions(options);
    checkPath("path", path);
    const agent = this.#agent();
    using _ = agent.use();
    const { fd, stat } = await open(agent, "look at", path, how, options);
    agent.closeSoon(fd);
    return stat;
  }

  /**
   * What is below a directory as a tar archive, its names beginning there; or a file under its own name. Symlinks are
   * packed, not followed; what is mounted below, sockets, pipes and devices are left out.
   *
   * @example
   * ```ts
   * await box.$`mkdir /tmp/src; echo hello >/tmp/src/greeting`;
   * await box.fs.untar("/tmp/copy", box.fs.tar("/tmp/src"));
   * console.log((await box.fs.file("/tmp/copy/greeting").text()).trim()); // hello
   * ```
   */
  tar(path: string, options: FileOptions = {}): ReadableStream<Uint8Array> {
    checkOptions(options);
    checkPath("path", path);
    const files = this.#agent;
    return streamOf(
      (async function* () {
        yield* pack(files(), path, options.signal);
      })(),
    );
  }

  /**
   * Unpacks a tar archive into a directory, which is made where it is missing. Files belong to the sandbox's user, unless
   * `sameOwner`. Refused are names that are absolute or have `..` in them, links that lead out of the directory,
   * devices and pipes, and what exceeds the limits; what came before stays.
   * @throws TsboxError `archive_refused`, and as {@link BoxFiles.write}
   */
  async untar(path: string, archive: FileContent, options: UntarOptions = {}): Promise<Unpacked> {
    checkOptions(options, "limits", "sameOwner");
    checkKeys("limit", options.limits, ["bytes", "entries"]);
    checkPath("path", path);
    const { entries = MAX_ENTRIES, bytes = MAX_BYTES } = options.limits ?? {};
    if (!(Number.isInteger(entries) || entries === Infinity) || entries < 0)
      throw invalid(`use the limit of entries ${show(entries)}: not a whole number of 0 or more`);
    const limits = { entries, bytes: bytes === Infinity ? bytes : parseSize("use the limit of bytes", bytes) };
    const sameOwner = checkChoice<boolean>("sameOwner", options.sameOwner, false, true);
    const { signal } = options;
    const chunks = chunksOf(archive, signal);
    const agent = this.#agent();
    using _ = agent.use();
    await this.mkdir(path, { recursive: true, signal });
    return await unpack(agent, path, chunks, limits, { sameOwner, signal });
  }

  /** Whether a path leads to something. */
  async exists(path: string, options: FileOptions = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (error instanceof TsboxError && error.code === "file_not_found") return false;
      throw error;
    }
  }
}

function checkMode(mode: unknown, otherwise: number): number {
  if (mode === undefined) return otherwise;
  if (typeof mode !== "number" || !Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    throw invalid(`use the mode ${show(mode)}: not permission bits`, "0o644, say; at most 0o7777");
  return mode;
}
