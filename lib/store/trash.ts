/**
 * What goes is renamed first, which is quick and whole; then it is removed, in its time. What a process that was killed
 * at that left, the next prune finds.
 * @module
 */
import { DEEP, ERRNO, removal, removeTree, TsboxError, turns, type Directory } from "../../syscalls/index.ts";
import { asUnavailable, storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

const PREFIX = "trash-";
/** In `ingest/`. */
const isTrash = (name: string): boolean => name.startsWith(PREFIX) || name.startsWith(DEEP);

export class Trash {
  readonly #root: StoreRoot;
  readonly #names: string[] = [];

  constructor(root: StoreRoot) {
    this.#root = root;
  }

  /** Takes something out of the store. */
  take(from: Directory, name: string): void {
    const newName = `${PREFIX}${crypto.randomUUID()}`;
    try {
      from.move(name, this.#root.ingest, newName);
      this.#names.push(newName);
    } catch (error) {
      // a full disk may not have room for another name; a file can go without
      const isFull = error instanceof TsboxError && error.errno === ERRNO.ENOSPC;
      if (!isFull || from.status(name)?.kind !== "file") throw asUnavailable(error);
      storing(() => from.remove(name));
    }
  }

  /** Removes all that it took, at once; what belongs to other ids is left for the next prune. */
  empty(): void {
    for (const name of this.#names.splice(0)) {
      try {
        removeEntry(this.#root.ingest, name, (parent) => removeTree(parent, name));
      } catch (error) {
        if (!isForbidden(error)) throw asUnavailable(error);
      }
    }
  }

  /** Removes all that it took, in turns with others. */
  async emptySlowly(): Promise<void> {
    for (const name of this.#names.splice(0)) await removeSlowly(this.#root.ingest, name);
  }
}

/** What is no directory goes at once. */
function removeEntry<T>(parent: Directory, name: string, tree: (parent: Directory) => T): T | undefined {
  if (parent.status(name)?.kind === "directory") return tree(parent);
  parent.remove(name);
  return undefined;
}

async function removeSlowly(ingest: Directory, name: string): Promise<void> {
  const turn = turns();
  try {
    for (const _ of removeEntry(ingest, name, (parent) => removal(parent, name)) ?? []) await turn();
  } catch (error) {
    if (!isForbidden(error)) throw asUnavailable(error);
    const { imageIds } = await import("../launch/index.ts");
    const ids = imageIds();
    if (!ids) throw asUnavailable(error);
    // files of layers that were unpacked with subordinate ids
    const { removeTreeAs } = await import("../layer/index.ts");
    storing(() => removeTreeAs(ids, ingest, name));
  }
}

const isForbidden = (error: unknown): boolean =>
  error instanceof TsboxError && (error.errno === ERRNO.EACCES || error.errno === ERRNO.EPERM);

/** Trash of those who were killed; of those who are still at it, too, which hurts neither. */
export async function removeOldTrash({ ingest }: StoreRoot): Promise<void> {
  for (const name of storing(() => ingest.names()).filter(isTrash)) await removeSlowly(ingest, name);
}

/** Throws away what lies in `ingest/` under a name. */
export function discard(root: StoreRoot, name: string): void {
  const trash = new Trash(root);
  trash.take(root.ingest, name);
  trash.empty();
}
