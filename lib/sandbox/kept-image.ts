/** Programs in memory that processes execute, each made once for many. @module */
import { close, runtime, sealedFile, type Descriptors } from "../../syscalls/index.ts";

/** Sealed, so that no sandbox can change what the next one runs. */
export class KeptImage {
  readonly #make: () => Uint8Array;
  readonly #name: string;
  readonly #mode: number;
  readonly #isKept: boolean;
  #content: Uint8Array | undefined;
  #fd = -1;

  /** @param isKept whether there is to be a next one */
  constructor(name: string, mode: number, make: () => Uint8Array, isKept = true) {
    this.#name = name;
    this.#mode = mode;
    this.#make = make;
    // a worker can end at any time, and nobody would close what it has kept
    this.#isKept = isKept && runtime.isMainThread;
  }

  /** @param opened what is closed when it has been used */
  descriptor(opened: Descriptors): number {
    if (this.#fd >= 0) return this.#fd;
    const fd = sealedFile(this.#name, (this.#content ??= this.#make()), this.#mode);
    if (!this.#isKept) return opened.add(fd);
    this.#content = undefined;
    return (this.#fd = fd);
  }

  /** Whoever has been started with it has a descriptor of their own. */
  close(): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}
