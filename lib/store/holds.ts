/**
 * What is in the store and is needed though no name leads to it yet: a pull has some of its blobs, and relies on others
 * that were there. Each store object writes down what it relies on, in a file that it has the lock of; whoever removes
 * something reads these files first. A file whose lock nobody has is left by a process that was killed.
 * @module
 */
import { OpenFile } from "../../syscalls/index.ts";
import { storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

const PREFIX = "hold-";
/** A hundred thousand digests. */
const LIMIT_BYTES = 8 * 2 ** 20;

export class Holds {
  readonly #root: StoreRoot;
  #file: OpenFile | undefined;
  #holders = 0;

  constructor(root: StoreRoot) {
    this.#root = root;
  }

  /** What is relied on from now on is held until this, and all others of the same object, are at an end. */
  open(): Disposable {
    this.#holders++;
    let isOpen = true;
    return {
      [Symbol.dispose]: () => {
        if (isOpen && --this.#holders === 0) this.#release();
        isOpen = false;
      },
    };
  }

  /** @param names digests of blobs, and keys of layers; whether they are there is to be asked afterwards */
  add(names: readonly string[]): void {
    storing(() =>
      this.#root.locked(() => {
        this.#file ??= this.#make();
        this.#file.write(new TextEncoder().encode(names.map((name) => `${name}\n`).join("")));
      }),
    );
  }

  #make(): OpenFile {
    const file = OpenFile.open(this.#root.ingest, `${PREFIX}${crypto.randomUUID()}`, { as: "new" }) as OpenFile;
    file.tryLock("exclusive");
    return file;
  }

  #release(): void {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    try {
      this.#root.ingest.remove(file.name);
    } finally {
      file.unlock();
      file[Symbol.dispose]();
    }
  }
}

/** All that is held, by anybody; files of those who were killed go. The caller has the store's lock. */
export function heldNames({ ingest }: StoreRoot): Set<string> {
  const held = new Set<string>();
  for (const name of storing(() => ingest.names())) {
    if (!name.startsWith(PREFIX)) continue;
    using file = storing(() => OpenFile.open(ingest, name));
    if (file?.tryLock("exclusive")) {
      ingest.remove(name);
      continue;
    }
    const text = new TextDecoder().decode(storing(() => ingest.read(name, LIMIT_BYTES)));
    for (const line of text.split("\n")) held.add(line);
  }
  return held;
}
