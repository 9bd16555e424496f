/** A tree of files that is open to be read, as the image has them. @module */
import { Reading, Tree, type ImageIds, type Looked } from "../../layer/index.ts";
import { keptAttributes } from "./attributes.ts";
import { Content } from "./content.ts";
import type { FileTree } from "./face.ts";
import { split } from "./names.ts";

/** A tree that is open to be read. */
export class OpenTree implements Disposable {
  readonly files: FileTree;
  readonly tree: Tree;
  readonly ids: ImageIds;
  readonly content: Content;
  readonly #reading: Reading;

  constructor(files: FileTree) {
    this.files = files;
    const { layers, ids, isContext } = files;
    // what is mounted in a user's directory is a part of it; in the store nothing is
    this.#reading = new Reading(layers, ids, isContext);
    this.tree = new Tree(this.#reading.looker, this.#reading.tops);
    this.ids = this.#reading.ids;
    this.content = new Content(this.#reading.looker);
  }

  [Symbol.dispose](): void {
    this.content[Symbol.dispose]();
    this.#reading[Symbol.dispose]();
  }

  /** A plain file, open; undefined where it is none any more. */
  use<T>(path: string, layer: number, use: (file: Looked) => T): T | undefined {
    const [above, name] = split(path);
    const { looker } = this.tree;
    const level = this.tree.enter({ path: above, layers: [layer] });
    if (!level) return undefined;
    try {
      const opened = looker.look(
        level.names.filter((each) => each.name === name),
        () => path,
      );
      try {
        const [file] = opened;
        return file?.kind === "file" && file.isReadable ? use(file) : undefined;
      } finally {
        looker.close(opened.flatMap((file) => (file ? [file.fd] : [])));
      }
    } finally {
      this.tree.leave(level);
    }
  }

  /** Of a file or a directory, as the image has them. */
  attributes(xattrs: Map<string, Uint8Array> | undefined, where: string): Map<string, Uint8Array> | undefined {
    return keptAttributes(xattrs, where, this.ids, this.files.isContext);
  }
}
