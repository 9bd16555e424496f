/** The streams of a container that runs, joined by any number of programs. @module */
import type { Home } from "./home.ts";

export interface AttachOptions {
  /** From the beginning of this run, rather than from now on. */
  logs?: boolean;
  signal?: AbortSignal;
}

export interface Attachment {
  terminal: boolean;
  /** Ends with the container. */
  output: ReadableStream<{ stream: "stdout" | "stderr"; bytes: Uint8Array }>;
  /** Undefined where its stdin is not open. */
  write?(bytes: Uint8Array): Promise<void>;
  resize(size: { columns: number; rows: number }): void;
  /** Stops listening; its stdin ends, where it is only for who wrote first. */
  close(): void;
}

export async function attach(_home: Home, _id: string, _options: AttachOptions): Promise<Attachment> {
  throw new Error("todo");
}
