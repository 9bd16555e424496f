/**
 * The streams of a container, joined by any number of programs: what it writes comes from its log, so that nobody who
 * is slow holds it up.
 * @module
 */
import { checkOptions } from "../options/index.ts";
import * as sys from "../../syscalls/index.ts";
import { OpenFile, TsboxError } from "../../syscalls/index.ts";
import { Input } from "../sandbox/index.ts";
import { recordOf } from "./find.ts";
import { Following } from "./follow.ts";
import type { Home } from "./home.ts";
import { LOG } from "./layout.ts";
import { LogCursor } from "./log-cursor.ts";
import { STDERR, STDOUT } from "./log-format.ts";
import { Pieces } from "./log-lines.ts";
import { notFound } from "./names.ts";
import { isUp } from "./reconcile.ts";
import { connectStdin } from "./supervisor.ts";

export interface AttachOptions {
  /** What it wrote before as well, rather than from now on. */
  logs?: boolean;
  signal?: AbortSignal;
}

export interface Attachment {
  terminal: boolean;
  /** Ends with the run of the container: with the next, where it does not run. */
  output: ReadableStream<{ stream: "stdout" | "stderr"; bytes: Uint8Array }>;
  /** Undefined where its stdin is not open. Resolves when it is on its way. @throws TsboxError `sandbox_closed` */
  write?(bytes: Uint8Array): Promise<void>;
  /** Nothing more is written: it reads end of file, where its stdin is only for who wrote first. */
  end?(): Promise<void>;
  resize(size: { columns: number; rows: number }): void;
  /** Stops listening, and writing. */
  close(): void;
}

export async function attach(home: Home, id: string, options: AttachOptions): Promise<Attachment> {
  checkOptions("attach", options, { logs: "flag", signal: "signal" });
  const { logs, signal } = options;
  signal?.throwIfAborted();
  const record = recordOf(home, id);
  const { terminal: asked, openStdin = false } = record.options;
  const terminal = asked !== undefined && asked !== false;
  const stdin = terminal || openStdin !== false ? new Typing(home, id, terminal) : undefined;
  const directory = home.directory(id);
  if (!directory) throw notFound(id);
  // what is removed when it has ended can still be read by who has it open
  OpenFile.open(directory, LOG, { as: "maker" })?.[Symbol.dispose]();
  const cursor = new LogCursor(directory);
  if (!logs) cursor.moveToEnd();
  const following = new Following(home, id, directory, {
    once: true,
    log: record.options.log,
    ...(isUp(record) ? {} : { ahead: record }),
  });
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    signal?.removeEventListener("abort", close);
    stdin?.close();
    for (const each of [following, cursor, directory]) each[Symbol.dispose]();
  };
  signal?.addEventListener("abort", close, { once: true });
  const output = new ReadableStream<{ stream: "stdout" | "stderr"; bytes: Uint8Array }>(
    {
      async pull(controller) {
        let found = false;
        const pieces = new Pieces({ streams: [STDOUT, STDERR], leftOut: {} }, (stream, memory, start, end) => {
          found = true;
          controller.enqueue({ stream: stream === STDERR ? "stderr" : "stdout", bytes: memory.slice(start, end) });
        });
        while (open && !found) {
          while (!found && cursor.read(pieces));
          if (!found && !(await following.next())) close();
        }
        if (!open) controller.close();
      },
      cancel: close,
    },
    { highWaterMark: 0 },
  );
  return {
    terminal,
    output,
    ...(stdin && { write: (bytes: Uint8Array) => stdin.write(bytes), end: () => stdin.end(openStdin === "once") }),
    resize: (size) => stdin?.resize(size),
    close() {
      close();
      following.wake();
    },
  };
}

/** So much is written to a terminal at a time, after it was asked whether it takes more. */
const PART_BYTES = 256;
const AGAIN_MS = 5;

/** What goes to a container's stdin, once it runs. */
class Typing {
  readonly #home: Home;
  readonly #id: string;
  readonly #terminal: boolean;
  #fd: number | undefined;
  #pipe: Input | undefined;
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(home: Home, id: string, terminal: boolean) {
    this.#home = home;
    this.#id = id;
    this.#terminal = terminal;
  }

  #connect(): number {
    if (this.#closed || this.#fd === -1) throw closed();
    if (this.#fd !== undefined) return this.#fd;
    const fd = connectStdin(this.#home, this.#id);
    if (fd === undefined) throw closed();
    this.#fd = fd;
    if (!this.#terminal) this.#pipe = new Input(fd);
    return fd;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const written = this.#last.then(async () => {
      const fd = this.#connect();
      if (this.#pipe) return void (await this.#pipe.write(bytes));
      for (let at = 0; at < bytes.length;) {
        if (this.#closed) throw closed();
        const written = sys.takesMore(fd) ? sys.writeNow(fd, bytes.subarray(at, at + PART_BYTES)) : -EAGAIN;
        if (written === -EAGAIN) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        else at += checked(written);
      }
    });
    this.#last = written.catch(() => {});
    await written;
  }

  /** @param mine who connects has it, and nobody else */
  async end(mine: boolean): Promise<void> {
    await this.#last;
    if (mine && !this.#closed && this.#fd === undefined) this.#connect();
    this.close();
  }

  resize({ columns, rows }: { columns: number; rows: number }): void {
    if (!this.#terminal || this.#closed) return;
    try {
      sys.setTerminalSize(this.#connect(), { cols: columns, rows });
    } catch (error) {
      // it has ended, or does not run yet
      if ((error as { code?: string }).code !== "sandbox_closed") throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pipe) this.#pipe.close();
    else if (this.#fd !== undefined) sys.close(this.#fd);
    this.#fd = -1;
  }
}

const EAGAIN = 11;

const closed = () => new TsboxError("write to stdin: it is closed", { code: "sandbox_closed" });

function checked(written: number): number {
  if (written >= 0) return written;
  throw sys.systemError("write to the terminal", "write", -written);
}
