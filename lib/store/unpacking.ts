/** Layers that are being unpacked: in `ingest/`, by one process at a time, and renamed when they are whole. @module */
import { Directory, OpenFile, TsboxError } from "../../syscalls/index.ts";
import type { Digest } from "../image/index.ts";
import { storing } from "./failure.ts";
import {
  bootMark,
  FILES,
  findLayer,
  INFO,
  layerKey,
  LOCK,
  OPAQUE_MARK,
  plainMaps,
  storedLayer,
  VERSION,
  type IdMaps,
  type LayerInfo,
  type StoredLayer,
  type WrittenLayer,
} from "./layers.ts";
import { isLeased } from "./leases.ts";
import type { StoreRoot } from "./root.ts";
import { discard, Trash } from "./trash.ts";

const LOOK_AGAIN_MS = 10;
const PRIVATE = 0o700;

/** A layer that is being unpacked, by nobody else. */
export class PendingLayer implements Disposable {
  readonly isPending = true;
  readonly chainId: Digest;
  readonly ids: IdMaps | undefined;
  /** An empty directory: an absolute path. */
  readonly fs: string;
  readonly #root: StoreRoot;
  readonly #directory: Directory;
  readonly #name: string;
  readonly #ended: () => void;
  #isOpen = true;

  constructor(
    root: StoreRoot,
    name: string,
    directory: Directory,
    layer: { chainId: Digest; ids: IdMaps | undefined },
    ended: () => void,
  ) {
    this.#root = root;
    this.#name = name;
    this.#directory = directory;
    this.chainId = layer.chainId;
    this.ids = layer.ids;
    this.fs = `${directory.path}/${FILES}`;
    this.#ended = ended;
  }

  /**
   * Makes it a layer of the store.
   * @param isOpaque nothing of the layers below is seen
   */
  commit(info: LayerInfo, { isOpaque = false }: { isOpaque?: boolean } = {}): StoredLayer {
    if (!this.#isOpen) throw new TsboxError("commit a layer: it is not unpacked any more", { code: "invalid_option" });
    const { chainId, ids } = this;
    const key = layerKey(chainId, ids);
    const written: WrittenLayer = { version: VERSION, chainId, ...info, ...(ids ? { ids: plainMaps(ids) } : {}) };
    storing(() => {
      const marks = [LOCK, bootMark(), ...(isOpaque ? [OPAQUE_MARK] : [])];
      for (const mark of marks) OpenFile.open(this.#directory, mark, { as: "maker" })?.[Symbol.dispose]();
      this.#directory.replace(INFO, new TextEncoder().encode(JSON.stringify(written)));
      this.#root.locked(() => this.#root.ingest.move(this.#name, this.#root.layers, key));
    });
    this.#close();
    return storedLayer(this.#root, chainId, key);
  }

  /** Removes what has been unpacked of it. */
  abort(): void {
    if (!this.#isOpen) return;
    this.#close(() => discard(this.#root, this.#name));
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  #close(last?: () => void): void {
    this.#isOpen = false;
    try {
      last?.();
    } finally {
      this.#directory.unlock();
      this.#directory[Symbol.dispose]();
      this.#ended();
    }
  }
}

/** In `ingest/`. */
const PREFIX = "layer-";
export const isPendingLayer = (name: string): boolean => name.startsWith(PREFIX);

interface PrepareOptions {
  ids: IdMaps | undefined;
  signal: AbortSignal | undefined;
  /** It is whole, or not unpacked any more. */
  ended: () => void;
}

/** Waits for another process that unpacks the same. @throws TsboxError `image_in_use` where one that is damaged is in use */
export async function prepareLayer(
  root: StoreRoot,
  chainId: Digest,
  { ids, signal, ended }: PrepareOptions,
): Promise<PendingLayer | StoredLayer> {
  const name = `${PREFIX}${layerKey(chainId, ids)}`;
  for (;;) {
    signal?.throwIfAborted();
    const there = findLayer(root, chainId, ids);
    if (there) return there;
    const directory = lockedDirectory(root, name);
    if (!directory) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      continue;
    }
    using undo = new DisposableStack();
    undo.defer(() => (directory.unlock(), directory[Symbol.dispose]()));
    if (findLayer(root, chainId, ids)) {
      // whoever had it before has come to its end in between
      discard(root, name);
      continue;
    }
    removeUnusable(root, layerKey(chainId, ids));
    if (directory.names().length > 0) {
      // left by a process that was killed at it
      discard(root, name);
      continue;
    }
    storing(() => directory.makeDirectory(FILES, 0o755));
    undo.move();
    return new PendingLayer(root, name, directory, { chainId, ids }, ended);
  }
}

function lockedDirectory({ ingest }: StoreRoot, name: string): Directory | undefined {
  return storing(() => {
    Directory.make(`${ingest.path}/${name}`, PRIVATE);
    const directory = ingest.directory(name);
    if (directory?.tryLock() && directory.isCurrent()) return directory;
    directory?.[Symbol.dispose]();
    return undefined;
  });
}

/** A layer that {@link findLayer} does not find, and that has the name nevertheless. */
function removeUnusable(root: StoreRoot, key: string): void {
  if (storing(() => root.layers.status(key)) === undefined) return;
  const trash = new Trash(root);
  root.locked(() => {
    if (isLeased(root, key)) {
      throw new TsboxError(`unpack the layer ${key}: what is there of it is damaged, and in use`, {
        code: "image_in_use",
        hint: "end the sandboxes that are made of it",
      });
    }
    trash.take(root.layers, key);
  });
  trash.empty();
}
