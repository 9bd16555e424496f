/** A file of a running sandbox. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { NOT_A_FILE, type Agent } from "./agent.ts";
import { checkKeys, checkSignal } from "../options/index.ts";
import { open, OPEN, read } from "./file-calls.ts";
import { streamOf, type FileContent } from "./file-content.ts";
import type { FileStat } from "./file-stat.ts";
import type { BoxFiles } from "./files.ts";
import type { Size } from "./options.ts";
import { parseSize } from "./parse.ts";
import { concatenate } from "./pipes.ts";

export interface FileOptions {
  /** Gives up when it fires: the call rejects with its reason. */
  signal?: AbortSignal | undefined;
}

export interface ReadOptions extends FileOptions {
  /** A file that is longer is refused: default 1 GiB. `Infinity` is no limit. */
  limit?: Size;
}

export interface WriteOptions extends FileOptions {
  /** Permissions of a file that is made; default 0o666, less the umask 0o022. */
  mode?: number;
  /** Makes missing directories on the way, as `Bun.write` does; default true. */
  createPath?: boolean;
}

const MAX_BYTES = 2 ** 30;

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

  /** @throws TsboxError `file_refused` where it is longer than the limit: how long a file is, whoever made it chose */
  async bytes(options: ReadOptions = {}): Promise<Uint8Array> {
    checkOptions(options, "limit");
    const { limit: wanted = MAX_BYTES, signal } = options;
    const limit = wanted === Infinity ? wanted : parseSize("use the limit of bytes", wanted);
    const chunks: Uint8Array[] = [];
    let total = 0;
    for await (const chunk of this.#chunks(signal, limit)) {
      total += chunk.length;
      if (total > limit) throw tooLong(this.name, limit);
      chunks.push(chunk);
    }
    return concatenate(chunks);
  }

  async text(options: ReadOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.bytes(options));
  }

  /** @throws SyntaxError */
  async json<T = unknown>(options: ReadOptions = {}): Promise<T> {
    return JSON.parse(await this.text(options)) as T;
  }

  async arrayBuffer(options: ReadOptions = {}): Promise<ArrayBuffer> {
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

  async *#chunks(signal: AbortSignal | undefined, limit = Infinity): AsyncGenerator<Uint8Array, void> {
    const agent = this.#agent();
    using _ = agent.use();
    const { fd, stat } = await open(agent, "read", this.name, OPEN.read, { signal });
    try {
      if (!stat.isFile()) throw notAFile("read", this.name, stat);
      if (stat.size > limit) throw tooLong(this.name, limit);
      for (;;) {
        const bytes = await read(agent, fd, this.name, signal);
        if (bytes.length === 0) return;
        yield bytes;
      }
    } finally {
      agent.closeSoon(fd);
    }
  }
}

export const notAFile = (action: string, path: string, { type }: FileStat) =>
  new TsboxError(`${action} "${path}": it is a ${type}`, { ...NOT_A_FILE, path });

const tooLong = (path: string, limit: number) =>
  new TsboxError(`read "${path}": more than ${limit} bytes`, {
    code: "file_refused",
    hint: "options: { limit }; or stream(), of which no more is read than is asked for",
    path,
  });

/** @throws TsboxError `invalid_option` */
export function checkOptions(options: FileOptions, ...more: string[]): void {
  checkKeys("option", options, ["signal", ...more]);
  checkSignal(options.signal);
}
