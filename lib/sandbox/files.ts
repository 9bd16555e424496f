/**
 * `box.fs`: files of a running sandbox, read and written from inside of it. A path begins at its root, symlinks are
 * followed there, and what the sandbox's user may not do fails.
 * @module
 */
import { TsboxError } from "../../syscalls/index.ts";
import { unlessAborted } from "./abort.ts";
import { fileError, type Agent } from "./agent.ts";
import { checkChoice, checkKeys, checkPath, checkSignal, invalid, show } from "./check.ts";
import { entriesOf, removeDirectory, type DirectoryEntry } from "./directory.ts";
import type { Size } from "./options.ts";
import { pack } from "./pack.ts";
import { parseSize } from "./parse.ts";
import { unpack, type Unpacked } from "./unpack.ts";
import { callInParent, close, open, OPEN, read, splitPath, write, type Opened } from "./file-calls.ts";
import type { FileStat } from "./file-stat.ts";
import { concatenate, isContent, type Content } from "./pipes.ts";

export interface FileOptions {
  /** Gives up when it fires: the call rejects with its reason. */
  signal?: AbortSignal | undefined;
}

export interface WriteOptions extends FileOptions {
  /** Permissions of a file that is made; default 0o666, less the umask 0o022. */
  mode?: number;
  /** Makes missing directories on the way, as `Bun.write` does; default true. */
  createPath?: boolean;
}

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
  /** Files belong to whom the archive says, and keep setuid, setgid and sticky bits. */
  sameOwner?: boolean;
}

const [MAX_ENTRIES, MAX_BYTES] = [100_000, 2 ** 30];

/** What can be written to a file. */
export type FileContent = Content | ArrayBuffer | BoxFile;

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
      close(agent, file.fd);
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
    const { fd } = await open(agent, "read", path, OPEN.directory, options);
    try {
      for await (const some of entriesOf(agent, fd, path, options.signal)) yield* some;
    } finally {
      close(agent, fd);
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
      close(agent, fd);
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
    close(agent, fd);
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
    return await unpack(agent, path, toAsync(chunks), limits, { sameOwner, signal });
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

/** A file of a sandbox, in the shape of a `Bun.file`. */
export class BoxFile {
  /** Its path. */
  readonly name: string;
  readonly #files: BoxFiles;
  readonly #agent: () => Agent;

  /** @internal */
  constructor(files: BoxFiles, agent: () => Agent, path: string) {
    this.name = path;
    this.#files = files;
    this.#agent = agent;
  }

  /** It is opened when it is first read, and no more of it is read than is asked for. */
  stream(options: FileOptions = {}): ReadableStream<Uint8Array> {
    checkOptions(options);
    return streamOf(this.#chunks(options.signal));
  }

  async bytes(options: FileOptions = {}): Promise<Uint8Array> {
    checkOptions(options);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#chunks(options.signal)) chunks.push(chunk);
    return concatenate(chunks);
  }

  async text(options: FileOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.bytes(options));
  }

  /** @throws SyntaxError */
  async json<T = unknown>(options: FileOptions = {}): Promise<T> {
    return JSON.parse(await this.text(options)) as T;
  }

  async arrayBuffer(options: FileOptions = {}): Promise<ArrayBuffer> {
    return (await this.bytes(options)).slice().buffer;
  }

  exists(options: FileOptions = {}): Promise<boolean> {
    return this.#files.exists(this.name, options);
  }

  stat(options: FileOptions = {}): Promise<FileStat> {
    return this.#files.stat(this.name, options);
  }

  /** As {@link BoxFiles.write}. */
  write(content: FileContent, options: WriteOptions = {}): Promise<number> {
    return this.#files.write(this.name, content, options);
  }

  delete(options: FileOptions = {}): Promise<void> {
    return this.#files.rm(this.name, options);
  }

  async *#chunks(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
    const agent = this.#agent();
    using _ = agent.use();
    const { fd, stat } = await open(agent, "read", this.name, OPEN.read, { signal });
    try {
      if (!stat.isFile()) throw notAFile("read", this.name, stat);
      for (;;) {
        const bytes = await read(agent, "read", fd, this.name, signal);
        if (bytes.length === 0) return;
        yield bytes;
      }
    } finally {
      close(agent, fd);
    }
  }
}

/** What a stream has opened is closed, also where it is read in part and forgotten. */
const forgotten = new FinalizationRegistry((chunks: AsyncGenerator<Uint8Array, void>) => void chunks.return());

/** Nothing is done before it is read, and no more than is asked for. */
function streamOf(chunks: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: async () => void (await chunks.return()),
    },
    { highWaterMark: 0 },
  );
  forgotten.register(stream, chunks);
  return stream;
}

async function* toAsync(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
  yield* chunks;
}

const notAFile = (action: string, path: string, { type }: FileStat) =>
  new TsboxError(`${action} "${path}": it is a ${type}`, {
    code: "file_refused",
    path,
    hint: "only regular files are read and written: anything else could wait for ever",
  });

/** @throws TsboxError `invalid_option` */
function checkOptions(options: FileOptions, ...more: string[]): void {
  checkKeys("option", options, ["signal", ...more]);
  checkSignal(options.signal);
}

function checkMode(mode: unknown, otherwise: number): number {
  if (mode === undefined) return otherwise;
  if (typeof mode !== "number" || !Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    throw invalid(`use the mode ${show(mode)}: not permission bits`, "0o644, say; at most 0o7777");
  return mode;
}

/** Looked at before anything is made. @throws TsboxError `invalid_option` */
function chunksOf(
  content: FileContent,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  if (content instanceof Uint8Array) return [content];
  if (content instanceof ArrayBuffer) return [new Uint8Array(content)];
  if (content instanceof BoxFile) return streamChunks(content.stream(), signal);
  if (!isContent(content))
    throw invalid(
      `write ${show(content)}: not content`,
      "a string, bytes, a Blob, a Response, a ReadableStream, or a file of a sandbox",
    );
  const body = content instanceof ReadableStream ? content : content instanceof Blob ? content.stream() : content.body;
  return body ? streamChunks(body, signal) : [];
}

async function* streamChunks(stream: ReadableStream<Uint8Array>, signal: AbortSignal | undefined) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await unlessAborted(reader.read(), signal);
      if (done) return;
      if (!(value instanceof Uint8Array)) throw invalid(`write ${show(value)}: not bytes`, "a stream of Uint8Array");
      yield value;
    }
  } finally {
    // whoever does not read to the end does not read any more
    void reader.cancel().catch(() => {});
  }
}
