/**
 * What goes is renamed first, which is quick and whole, into a directory that nobody looks into; then it is removed, in
 * its time. What a process that was killed at that left there, the next prune finds.
 * @module
 */
import { DEEP, ERRNO, removal, removeTree, TsboxError, type Directory } from "../../syscalls/index.ts";
import { asUnavailable, storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

const PREFIX = "trash-";
const PRIVATE = 0o700;
/** So long nobody else has a turn. */
const TURN_MS = 8;

export const isTrash = (name: string): boolean => name.startsWith(PREFIX) || name.startsWith(DEEP);

export class Trash implements Disposable {
  readonly #root: StoreRoot;
  #directory: Directory | undefined;
  #name = "";

  constructor(root: StoreRoot) {
    this.#root = root;
  }

  /** Takes something out of the store. */
  take(from: Directory, name: string): void {
    storing(() => from.move(name, (this.#directory ??= this.#make()), crypto.randomUUID()));
  }

  #make(): Directory {
    for (;;) {
      this.#name = `${PREFIX}${crypto.randomUUID()}`;
      this.#root.ingest.makeDirectory(this.#name, PRIVATE);
      const directory = this.#root.ingest.directory(this.#name);
      // a prune that comes upon it first takes it for one that was left
      if (directory?.tryLock()) return directory;
      directory?.[Symbol.dispose]();
    }
  }

  /** Removes all that it took, at once; what belongs to other ids is left for the next prune. */
  empty(): void {
    if (!this.#directory) return;
    try {
      removeTree(this.#root.ingest, this.#name);
    } catch (error) {
      if (!isForbidden(error)) throw asUnavailable(error);
    }
  }

  /** Removes all that it took, in turns with others. */
  async emptySlowly(): Promise<void> {
    if (this.#directory) await removeSlowly(this.#root.ingest, this.#name);
  }

  [Symbol.dispose](): void {
    this.#directory?.unlock();
    this.#directory?.[Symbol.dispose]();
    this.#directory = undefined;
  }
}

async function removeSlowly(parent: Directory, name: string): Promise<void> {
  let since = performance.now();
  try {
    for (const _ of removal(parent, name)) {
      if (performance.now() - since < TURN_MS) continue;
      await new Promise((resolve) => setTimeout(resolve));
      since = performance.now();
    }
  } catch (error) {
    if (!isForbidden(error)) throw asUnavailable(error);
    const { imageIds } = await import("../launch/index.ts");
    const ids = imageIds();
    if (!ids) throw asUnavailable(error);
    // files of layers that were unpacked with subordinate ids
    const { removeTreeAs } = await import("../layer/index.ts");
    storing(() => removeTreeAs(ids, parent, name));
  }
}

const isForbidden = (error: unknown): boolean =>
  error instanceof TsboxError && (error.errno === ERRNO.EACCES || error.errno === ERRNO.EPERM);

/** Trash of those who were killed. */
export async function removeOldTrash(root: StoreRoot): Promise<void> {
  for (const name of storing(() => root.ingest.names()).filter(isTrash)) {
    using directory = storing(() => root.ingest.directory(name));
    if (!directory) {
      root.ingest.remove(name);
      continue;
    }
    if (!directory.tryLock()) continue;
    await removeSlowly(root.ingest, name);
    directory.unlock();
  }
}

/** Throws away what lies in `ingest/` under a name. */
export function discard(root: StoreRoot, name: string): void {
  using trash = new Trash(root);
  trash.take(root.ingest, name);
  trash.empty();
}
