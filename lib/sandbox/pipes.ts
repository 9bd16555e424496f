/**
 * The ends of a process's stdin, stdout and stderr that stay with the owner.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { runtime, TsboxError, show } from "../../syscalls/index.ts";
import type { TerminalOptions } from "../terminal/index.ts";
import { invalid } from "../options/index.ts";
import type { Stdio } from "./launch.ts";
import { terminalOptions } from "./terminal.ts";
import type { SpawnOptions, Stdin } from "./options.ts";

/** Data that the owner writes for the process, rather than the caller. */
export type Content = string | Uint8Array | Blob | Response | ReadableStream<Uint8Array>;

export interface Pipes {
  /** What the process gets; close {@link theirs} once it has them. */
  stdio: Stdio;
  theirs: number[];
  stdin?: Input;
  stdout?: Output;
  stderr?: Output;
  /** Written to stdin while the process runs. */
  content?: Content;
  /** In the place of all three. */
  terminal?: TerminalOptions;
}

/** @throws TsboxError `invalid_option` */
export function checkStdio({ stdin, stdout, stderr }: SpawnOptions): void {
  if (stdin !== undefined && typeof stdin !== "string" && !isContent(stdin)) {
    const data = "data: a string, bytes, a Blob, a Response or a ReadableStream";
    throw invalid(`use stdin ${show(stdin)}: not understood`, `"ignore", "inherit", "pipe", or ${data}`);
  }
  checkUnread("use stdin", stdin);
  for (const [name, how] of Object.entries({ stdout, stderr })) {
    if (how !== undefined && how !== "pipe" && how !== "inherit" && how !== "ignore")
      throw invalid(`use ${name} ${show(how)}: not understood`, '"pipe", "inherit" or "ignore"');
  }
}

/** @throws TsboxError `invalid_option` where somebody else reads it, or has read it */
export function checkUnread(action: string, content: unknown): void {
  const stream = content instanceof Response ? content.body : content;
  if ((stream instanceof ReadableStream && stream.locked) || (content instanceof Response && content.bodyUsed))
    throw invalid(`${action}: the stream has been read, or is being read`, "each can be read once");
}

/** @throws TsboxError `invalid_option` */
export function openPipes(options: SpawnOptions): Pipes {
  checkStdio(options);
  const pipes: Pipes = { stdio: { stdin: -1, stdout: -1, stderr: -1 }, theirs: [] };
  const terminal = terminalOptions(options.terminal);
  if (terminal) return { ...pipes, terminal };
  try {
    openStdin(options.stdin ?? "ignore", pipes);
    pipes.stdout = openOutput("stdout", options.stdout ?? "pipe", pipes);
    pipes.stderr = openOutput("stderr", options.stderr ?? "pipe", pipes);
    return pipes;
  } catch (error) {
    closePipes(pipes);
    throw error;
  }
}

/** All that are still open, on both sides. */
export function closePipes(pipes: Pipes): void {
  for (const fd of pipes.theirs.splice(0)) sys.close(fd);
  void pipes.stdin?.end();
  pipes.stdout?.close();
  pipes.stderr?.close();
}

function openStdin(stdin: Stdin, pipes: Pipes): void {
  if (stdin === "ignore") return;
  if (stdin === "inherit") {
    sys.letReopen(0, "read");
    pipes.stdio.stdin = 0;
    return;
  }
  const [theirs, ours] = sys.stdioPipe();
  pipes.theirs.push(theirs);
  pipes.stdio.stdin = theirs;
  pipes.stdin = new Input(ours);
  if (stdin !== "pipe") pipes.content = stdin;
}

export const isContent = (value: unknown): value is Content =>
  value instanceof Uint8Array || value instanceof Blob || value instanceof Response || value instanceof ReadableStream;

function openOutput(name: "stdout" | "stderr", how: SpawnOptions["stdout"], pipes: Pipes): Output | undefined {
  if (how === "ignore") return undefined;
  if (how === "inherit") {
    const fd = name === "stdout" ? 1 : 2;
    sys.letReopen(fd, "write");
    pipes.stdio[name] = fd;
    return undefined;
  }
  const [ours, theirs] = sys.stdioPipe();
  pipes.theirs.push(theirs);
  pipes.stdio[name] = theirs;
  return new Output(ours);
}

/** Deno cannot ask for the errno of the thread that writes; of a pipe, there is no other. */
function throwBroken(cause: Error & { code?: string }): never {
  throw cause.code === undefined
    ? Object.assign(new Error("EPIPE: broken pipe, write", { cause }), { code: "EPIPE", errno: 32, syscall: "write" })
    : cause;
}

/** A process's stdin. Writing waits until the process has read, so that nothing piles up. */
export class Input {
  #fd: number;
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  #last: Promise<unknown> = Promise.resolve();
  /** @internal What is written to it, as long as it comes. */
  source: { cancel(): Promise<void> } | undefined;

  /** @internal */
  constructor(fd: number) {
    this.#fd = fd;
    this.#write = runtime.writer(fd);
  }

  /**
   * Resolves when the chunk is in the pipe, with its length.
   * @throws TsboxError `invalid_option`, or `sandbox_closed` where it has ended; an Error with the `code` `EPIPE` where
   * the process no longer reads
   */
  async write(chunk: sys.Chunk): Promise<number> {
    const bytes = sys.bytesOf(chunk);
    const written = this.#last.then(async () => {
      // Bun's sink accepts what it has not written; in parts, it never holds much
      for (let at = 0; at === 0 || at < bytes.length; at += PART_BYTES) {
        // the number may be another file's by now
        if (this.#fd < 0) throw new TsboxError("write to stdin: it is closed", { code: "sandbox_closed" });
        await this.#write(bytes.subarray(at, at + PART_BYTES)).catch(throwBroken);
      }
      return bytes.length;
    });
    this.#last = written.catch(() => {});
    return written;
  }

  /** After what was written before it: the process reads end of file. */
  end(): Promise<void> {
    return this.#last.then(() => this.close()) as Promise<void>;
  }

  /** @internal At once. */
  close(): void {
    void this.source?.cancel().catch(() => {});
    this.source = undefined;
    if (this.#fd >= 0) sys.close(this.#fd);
    this.#fd = -1;
  }
}

const PART_BYTES = 65536;

/** Writes content as fast as it is read; a process that stops reading ends it. */
export async function feed(input: Input, content: Content): Promise<void> {
  try {
    const body =
      content instanceof ReadableStream
        ? content
        : content instanceof Response
          ? content.body
          : new Response(content as string).body;
    // a file that is not there fails here
    const reader = body?.getReader();
    input.source = reader;
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read())
      await input.write(next.value);
  } catch {
    // it has stopped reading, or what the caller gave has failed: either way there is no more
  } finally {
    input.close();
  }
}

/** What a process writes, as it comes; or whole, as it is with `Bun.spawn`, in Deno as well. */
export interface OutputStream extends ReadableStream<Uint8Array> {
  text(): Promise<string>;
  json<T = unknown>(): Promise<T>;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
}

/** Streams of Deno have no such methods. */
function readWhole(stream: ReadableStream<Uint8Array>): OutputStream {
  if ("text" in stream) return stream as OutputStream;
  const whole = () => new Response(stream);
  return Object.assign(stream as OutputStream, {
    text: () => whole().text(),
    json: () => whole().json(),
    bytes: () => whole().bytes(),
  });
}

const readerOf = (fd: number) => runtime.readable(fd).getReader();

/** What a runtime's stream throws, also at once, as an error of ours. */
async function readWith<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const message = `read what the process writes: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new TsboxError(message, { code: "system", cause });
  }
}

const forgotten = new FinalizationRegistry((fd: number) => sys.close(fd));

/** A process's stdout or stderr; read once, either as a stream or to its end. */
export class Output {
  #fd: number;
  #stream: OutputStream | undefined;

  constructor(fd: number) {
    this.#fd = fd;
    // read or not, whoever forgets a process does not close its pipes
    forgotten.register(this, fd, this);
  }

  /** @param seen of each chunk; false ends the stream */
  stream(seen: (chunk: Uint8Array) => Uint8Array): OutputStream {
    if (this.#stream) return this.#stream;
    let source: ReturnType<typeof readerOf> | undefined;
    const stream = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          // closed before it was read: the number may be another file's by now
          if (!source && this.#fd < 0) return controller.close();
          const { done, value } = await readWith(() => (source ??= readerOf(this.#fd)).read());
          if (done) {
            this.close();
            controller.close();
          } else controller.enqueue(seen(value));
        },
        // also while a read waits
        cancel: async () => {
          await source?.cancel();
          this.close();
        },
      },
      { highWaterMark: 0 },
    );
    return (this.#stream = readWhole(stream));
  }

  /** Whether something waits to be read. */
  hasData(): boolean {
    return sys.bytesWaiting(this.#fd) > 0;
  }

  /**
   * @param over nobody is expected to write any more: what there is can be taken at once
   * @param until when it is true, that is all
   */
  async readToEnd(
    seen: (chunk: Uint8Array) => Uint8Array,
    over: boolean,
    until?: Promise<boolean>,
  ): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    const take = (chunk: Uint8Array) => {
      const part = seen(chunk);
      if (part.length > 0) chunks.push(part);
    };
    try {
      let chunk = over ? sys.readNow(this.#fd) : undefined;
      for (; chunk && chunk.length > 0; chunk = sys.readNow(this.#fd)) take(chunk);
      if (!chunk) {
        const reader = await readWith(async () => readerOf(this.#fd));
        void until?.then((isAll) => {
          if (isAll) void reader.cancel().catch(() => {});
        });
        const read = () => readWith(() => reader.read());
        for (let next = await read(); !next.done; next = await read()) take(next.value);
      }
    } finally {
      this.close();
    }
    return concatenate(chunks);
  }

  close(): void {
    forgotten.unregister(this);
    if (this.#fd >= 0) sys.close(this.#fd);
    this.#fd = -1;
  }
}

export function concatenate(chunks: Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0] as Uint8Array;
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
