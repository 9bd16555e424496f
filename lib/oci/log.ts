/** What the engine tells while it works, in the two forms that engines read: logrus's. @module */
import { open, write } from "../../syscalls/index.ts";

export interface Logger {
  debug(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Of the file that it writes to. */
  readonly fd?: number;
}

export type LogFormat = "text" | "json";
type Level = "debug" | "warning" | "error";

const [O_WRONLY, O_CREAT, O_APPEND] = [1, 0o100, 0o2000];
const STDERR = 2;

export class Log implements Logger {
  readonly fd: number;
  readonly #format: LogFormat;
  readonly #debug: boolean;

  /** @param file absent: stderr @throws TsboxError where the file cannot be opened */
  constructor(file: string | undefined, format: LogFormat, debug: boolean) {
    this.fd = file === undefined ? STDERR : open(file, O_WRONLY | O_CREAT | O_APPEND, 0o644);
    this.#format = format;
    this.#debug = debug;
  }

  debug(message: string): void {
    if (this.#debug) this.#write("debug", message);
  }

  warn(message: string): void {
    this.#write("warning", message);
  }

  error(message: string): void {
    this.#write("error", message);
    // whoever typed the command has to see it as well
    if (this.fd !== STDERR) write(STDERR, new TextEncoder().encode(`${message}\n`));
  }

  #write(level: Level, message: string): void {
    const time = new Date().toISOString().replace(/\.\d+/, "");
    const line =
      this.#format === "json"
        ? JSON.stringify({ level, msg: message, time })
        : `time="${time}" level=${level} msg=${quoted(message)}`;
    // a reader that has gone is no reason to fail
    write(this.fd, new TextEncoder().encode(`${line}\n`));
  }
}

const quoted = (text: string): string => (/^[\w./@^+-]+$/.test(text) ? text : JSON.stringify(text));
