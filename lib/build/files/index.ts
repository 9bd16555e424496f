/** Files for COPY and ADD. @module */
import { copyFiles } from "./copy.ts";
import type { Copied, CopyOptions, CopyTarget, Files, FileTree, Selection, SelectOptions } from "./face.ts";
import { bytesOf } from "./names.ts";
import { lookIn, resolve } from "./place.ts";
import { OpenTree } from "./open-tree.ts";
import { explained, SelectedFiles } from "./selection.ts";
import { writeFiles } from "./write.ts";

export {
  fetchSource,
  openContext,
  readInTree,
  type Context,
  type ContextOptions,
  type FetchOptions,
} from "./context.ts";
export { DOWNLOADS } from "./kept-downloads.ts";
export type { Progress } from "./download.ts";
export type { Reaches } from "./reach.ts";
export type * from "./face.ts";
export { remoteOf, withoutCredentials, type RemoteFile, type Repository } from "./remote.ts";

export interface BuildFilesOptions {
  /** Of the store, which keeps what files were; without, all are read each time. */
  root?: string;
}

/** In the store: what files of contexts were. */
export const HASHES = "build/hashes";

export class BuildFiles implements Files {
  readonly #hashes: string | undefined;

  constructor({ root }: BuildFilesOptions = {}) {
    this.#hashes = root === undefined ? undefined : `${root}/${HASHES}`;
  }

  async select(tree: FileTree, options: SelectOptions): Promise<Selection> {
    return new SelectedFiles(tree, options, this.#hashes);
  }

  async kindIn(files: FileTree, path: string): Promise<"file" | "directory" | undefined> {
    using open = new OpenTree(files);
    const { found, pending } = resolve(open.tree, bytesOf(path), lookIn(open.tree, files.ignore));
    if (pending) return "directory";
    return found?.stated.kind === "file" ? "file" : undefined;
  }

  async copy(selection: Selection, target: CopyTarget, options: CopyOptions): Promise<Copied> {
    if (!(selection instanceof SelectedFiles)) throw new TypeError("a selection of others");
    return await explained(selection.tree, () => copyFiles(selection, target, options));
  }

  async write(
    files: readonly { name: string; content: Uint8Array }[],
    target: CopyTarget,
    options: CopyOptions,
  ): Promise<void> {
    return await writeFiles(files, target, options);
  }
}

export const createFiles = (options: BuildFilesOptions): BuildFiles => new BuildFiles(options);
