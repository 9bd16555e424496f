/** What a container has written: told, made an image, or an archive with all that is below it. @module */
import type { Change } from "../layer/index.ts";
import type { BoxCommitOptions, CommittedImage } from "../sandbox/index.ts";
import type { Home } from "./home.ts";

export type ContainerCommitOptions = BoxCommitOptions;

export async function diff(_home: Home, _id: string): Promise<Change[]> {
  throw new Error("todo");
}

export async function commit(
  _home: Home,
  _id: string,
  _reference: string | undefined,
  _options: ContainerCommitOptions,
): Promise<CommittedImage> {
  throw new Error("todo");
}

export async function exportFiles(_home: Home, _id: string): Promise<ReadableStream<Uint8Array>> {
  throw new Error("todo");
}
