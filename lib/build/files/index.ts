/** Files for COPY and ADD. @module */
import { copyFiles } from "./copy.ts";
import type { Copied, CopyOptions, CopyTarget, Files, FileTree, Selection, SelectOptions } from "./face.ts";
import { SelectedFiles } from "./selection.ts";
import { writeFiles } from "./write.ts";

export type * from "./face.ts";

export interface BuildFilesOptions {
  /** A directory, made when it is needed, where it is kept what files were; without, all are read each time. */
  hashes?: string;
}

export class BuildFiles implements Files {
  readonly #options: BuildFilesOptions;

  constructor(options: BuildFilesOptions = {}) {
    this.#options = options;
  }

  async select(tree: FileTree, options: SelectOptions): Promise<Selection> {
    return new SelectedFiles(tree, options, this.#options.hashes);
  }

  async copy(selection: Selection, target: CopyTarget, options: CopyOptions): Promise<Copied> {
    if (!(selection instanceof SelectedFiles)) throw new TypeError("a selection of others");
    return await copyFiles(selection, target, options);
  }

  async write(
    files: readonly { name: string; content: Uint8Array }[],
    target: CopyTarget,
    options: CopyOptions,
  ): Promise<void> {
    return await writeFiles(files, target, options);
  }
}
