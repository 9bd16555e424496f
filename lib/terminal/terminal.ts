/**
 * The owner's end of a command's terminal, in the shape of a `Bun.Terminal`.
 * @module
 * @see pty(7)
 */
import * as sys from "../../syscalls/index.ts";
import { runtime, show, TsboxError } from "../../syscalls/index.ts";

export interface TerminalOptions {
  /** Columns; default 80. */
  cols?: number;
  /** Default 24. */
  rows?: number;
  /** `TERM` of the command, where its environment has none; default `"xterm-256color"`. */
  name?: string;
  /** Gets what the terminal shows; what follows waits for a promise that it returns. Without it, there is `readable`. */
  data?: (terminal: Terminal, data: Uint8Array) => void | Promise<void>;
  /** After the last of `data`. */
  exit?: (terminal: Terminal) => void;
}

const forgotten = new FinalizationRegistry((fd: number) => sys.close(fd));

/**
 * What a command shows on its terminal, and what is typed there. It is read as fast as it is asked for: a command that
 * nobody reads waits. Closing it, or forgetting it, is hanging up: the command gets a SIGHUP.
 *
 * @example
 * ```ts
 * const process = box.spawn(["sh"], { terminal: { cols: 100, rows: 30 } });
 * await process.terminal?.write("tty; stty size; exit\n");
 * await new Response(process.terminal?.readable).text();
 * ```
 */
export class Terminal implements AsyncDisposable {
  readonly #options: TerminalOptions;
  readonly #seen: (chunk: Uint8Array) => Uint8Array;
  #size: sys.TerminalSize;
  #fd = -1;
  #opened: Promise<void> = Promise.resolve();
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();
  #reader: { read(): Promise<{ value?: Uint8Array | undefined }>; cancel(): Promise<void> } | undefined;
  #stream: ReadableStream<Uint8Array> | undefined;

  /** @internal @param seen of each chunk: what of it is within the limit on output */
  constructor(options: TerminalOptions, size: sys.TerminalSize, seen: (chunk: Uint8Array) => Uint8Array) {
    this.#options = options;
    this.#size = size;
    this.#seen = seen;
  }

  /** @internal Gets the descriptor, which is taken over, once the command has its end. */
  attach(passed: Promise<number | undefined>): void {
    this.#opened = passed.then((fd) => this.#take(fd));
    if (this.#options.data) void this.#deliver(this.#options.data);
  }

  #take(fd: number | undefined): void {
    if (fd === undefined) this.#closed = true;
    else if (this.#closed) sys.close(fd);
    else {
      if (runtime.nonBlockingTerminals) sys.setNonBlocking(fd);
      this.#fd = fd;
      forgotten.register(this, fd, this);
      sys.setTerminalSize(fd, this.#size);
    }
  }

  /** What the terminal shows; read once. Nothing where there is a `data` callback. */
  get readable(): ReadableStream<Uint8Array> {
    this.#stream ??= new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const chunk = this.#options.data ? undefined : await this.#read();
          if (chunk) controller.enqueue(this.#seen(chunk));
          else controller.close();
        },
        cancel: () => this.close(),
      },
      { highWaterMark: 0 },
    );
    return this.#stream;
  }

  async #deliver(data: NonNullable<TerminalOptions["data"]>): Promise<void> {
    try {
      for (let chunk = await this.#read(); chunk; chunk = await this.#read()) {
        const part = this.#seen(chunk);
        if (part.length > 0) await data(this, part);
      }
    } finally {
      // where the callback has failed, nobody reads any more
      this.close();
    }
    this.#options.exit?.(this);
  }

  /** Undefined at the end: the command's side is closed (EIO), or this one. */
  async #read(): Promise<Uint8Array | undefined> {
    await this.#opened;
    if (this.#fd < 0) return undefined;
    this.#reader ??= runtime.readable(this.#fd).getReader();
    const next = await this.#reader.read().catch(() => undefined);
    if (next?.value) return next.value;
    this.close();
    return undefined;
  }

  /** As if it were typed. Resolves when the command can read it, with its length. @throws TsboxError `sandbox_closed`, `invalid_option` */
  async write(chunk: sys.Chunk): Promise<number> {
    const bytes = sys.bytesOf(chunk);
    const written = this.#last.then(async () => {
      await this.#opened;
      for (let done = 0; done < bytes.length;) {
        if (this.#fd < 0) throw new TsboxError("write to the terminal: it is closed", { code: "sandbox_closed" });
        done += await this.#writePart(bytes.subarray(done, done + PART_BYTES));
      }
      return bytes.length;
    });
    this.#last = written.catch(() => {});
    return written;
  }

  async #writePart(part: Uint8Array): Promise<number> {
    if (!runtime.nonBlockingTerminals) {
      await runtime.writer(this.#fd)(part);
      return part.length;
    }
    const written = sys.writeNow(this.#fd, part);
    if (written > 0) return written;
    if (written !== -EAGAIN) throw sys.systemError("write to the terminal", "write", -written);
    // the command does not read. A person never types that much, so looking again does
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return 0;
  }

  /** The command is told by a SIGWINCH. @throws TsboxError `invalid_option` */
  resize(cols: number, rows: number): void {
    this.#size = sizeOf({ cols, rows });
    if (this.#fd >= 0) sys.setTerminalSize(this.#fd, this.#size);
  }

  /** @internal -1 where it is not open. */
  get descriptor(): number {
    return this.#fd;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Hangs up: the command gets a SIGHUP, and what it has not read or written is lost. */
  close(): void {
    this.#closed = true;
    if (this.#fd < 0) return;
    forgotten.unregister(this);
    void this.#reader?.cancel().catch(() => {});
    if (this.#reader && !runtime.nonBlockingTerminals) sys.wakeTerminalReader(this.#fd);
    sys.close(this.#fd);
    this.#fd = -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

const PART_BYTES = 4096;
const EAGAIN = 11;
const AGAIN_MS = 5;
const MAX_SIZE = 65535;

/** @throws TsboxError `invalid_option` */
export function sizeOf({ cols = 80, rows = 24 }: Pick<TerminalOptions, "cols" | "rows">): sys.TerminalSize {
  for (const [name, value] of Object.entries({ cols, rows })) {
    if (!Number.isInteger(value) || value < 1 || value > MAX_SIZE) {
      throw new TsboxError(`use a terminal with ${name} ${show(value)}: 1 to ${MAX_SIZE}`, {
        code: "invalid_option",
      });
    }
  }
  return { cols, rows };
}
