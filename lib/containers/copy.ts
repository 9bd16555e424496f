/** Files into a container, and out of it. @module */
import type { Home } from "./home.ts";

export interface CopyInOptions {
  /** Owners are those of the archive; otherwise the container's root. */
  archive?: boolean;
}

export async function copyOut(
  _home: Home,
  _id: string,
  _path: string,
  _options: { followLink?: boolean },
): Promise<ReadableStream<Uint8Array>> {
  throw new Error("todo");
}

export async function copyIn(
  _home: Home,
  _id: string,
  _path: string,
  _archive: ReadableStream<Uint8Array>,
  _options: CopyInOptions,
): Promise<void> {
  throw new Error("todo");
}
