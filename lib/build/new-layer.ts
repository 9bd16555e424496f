/** A layer in the making: its files, and its archive, where these come in an order that allows it. @module */
import { SortedArchive, type Packed } from "../layer/index.ts";
import type { Ingest, Store } from "../store/index.ts";

export interface Archived {
  packed: Packed;
  ingest: Ingest;
}

export class NewLayer implements Disposable {
  /** The overlay's; who writes makes it. */
  readonly upper: string;
  readonly #store: Store;
  #ingest: Ingest | undefined;
  #archive: SortedArchive | undefined;

  /** @param directory an empty one, of the layer's own */
  constructor(store: Store, directory: string) {
    this.#store = store;
    this.upper = `${directory}/upper`;
  }

  /** For who writes all of it, file by file. */
  get archive(): SortedArchive {
    const ingest = (this.#ingest ??= this.#store.ingestUnknown());
    return (this.#archive ??= new SortedArchive((bytes) => ingest.write(bytes)));
  }

  /** Undefined: it has to be packed; also where nothing is in it. */
  archived(): Archived | undefined {
    const packed = this.#archive?.end();
    return packed && packed.entries > 0 && this.#ingest ? { packed, ingest: this.#ingest } : undefined;
  }

  [Symbol.dispose](): void {
    this.#ingest?.[Symbol.dispose]();
  }
}
