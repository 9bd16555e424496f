/**
 * Directories, open to be looked at: by this thread, or, for an ordinary user with ids of others, by a process in a user
 * namespace of those, whose root may read what they keep to themselves.
 * @module
 */
import { cloneTree, close, O_DIRECTORY, O_PATH, open, runProgram, trySyscall, Walker } from "../../syscalls/index.ts";
import { imageIds, ownImageIds, type IdMaps, type ImageIds } from "./attributes.ts";
import { Looker } from "./look.ts";
import type { Top } from "./merged.ts";
import { rightsFor } from "./rights.ts";

export class Reading implements Disposable {
  readonly tops: Top[] = [];
  readonly looker: Looker;
  /** The process in the namespace sees them as they are in the image already. */
  readonly ids: ImageIds;
  readonly #walker: Walker<never> | undefined;

  /**
   * @param crosses what is mounted in the directories is a part of them
   * @throws TsboxError where a directory is missing, or the ids are not the caller's to map
   */
  constructor(directories: readonly string[], ids: IdMaps | undefined, crosses = false) {
    const uid = trySyscall("geteuid");
    try {
      const openAny = crosses ? openAsItIs : openTop;
      for (const path of directories) this.tops.push({ path, fd: openAny(path) });
      if (ids && uid !== 0) this.#walker = walkerOf(ids, this.tops);
    } catch (error) {
      this.#close();
      throw error;
    }
    const walker = this.#walker;
    this.looker = new Looker(walker ? (address, first) => walker.run(address, first) : runProgram, crosses);
    this.ids = ids || uid === 0 ? imageIds(walker ? undefined : ids) : ownImageIds(uid, trySyscall("getegid"));
  }

  #close(): void {
    for (const { fd } of this.tops.splice(0)) close(fd);
  }

  [Symbol.dispose](): void {
    this.looker[Symbol.dispose]();
    this.#walker?.[Symbol.dispose]();
    this.#close();
  }
}

const openAsItIs = (directory: string): number => open(directory, O_PATH | O_DIRECTORY);

/** Where it may be: with nothing mounted in it, and without devices that could be opened. */
function openTop(directory: string): number {
  const fd = cloneTree(directory);
  return fd >= 0 ? fd : openAsItIs(directory);
}

function walkerOf(ids: IdMaps, tops: Top[]): Walker<never> {
  const rights = rightsFor(ids);
  const ignored = { failed: () => 0, reached: () => {} };
  const walker = new Walker<never>(
    tops.map(({ fd }) => fd),
    ignored,
    rights.namespaces,
  );
  try {
    rights.assume(walker);
    return walker;
  } catch (error) {
    walker[Symbol.dispose]();
    throw error;
  }
}
