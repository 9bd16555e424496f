/** A step that several builds need is done by one of them: the others wait, and find it in the cache. @module */
import { Directory, OpenFile } from "../../syscalls/index.ts";
import { hexOf, type Digest } from "../image/index.ts";

/** In the store. */
export const LOCKS = "build/locks";
const PRIVATE = 0o700;
const AGAIN_MS = 20;

export class StepLocks {
  readonly #path: string;
  readonly #signal: AbortSignal;

  /** @param root of the store */
  constructor(root: string, signal: AbortSignal) {
    this.#path = `${root}/${LOCKS}`;
    this.#signal = signal;
  }

  async take(key: string): Promise<Disposable> {
    Directory.make(this.#path, PRIVATE);
    const directory = Directory.open(this.#path) as Directory;
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        const file = OpenFile.open(directory, hexOf(key as Digest), { as: "maker" }) as OpenFile;
        if (file.tryLock("exclusive") && file.isCurrent()) return lockOf(directory, file);
        file[Symbol.dispose]();
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }
}

function lockOf(directory: Directory, file: OpenFile): Disposable {
  return {
    [Symbol.dispose]() {
      directory.remove(file.name);
      file.unlock();
      file[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}
