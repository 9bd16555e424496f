/** Blobs and layers that come into the store for an image, and go again where nothing becomes of it. @module */
import type { Digest } from "../image/index.ts";
import type { Store } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";

export interface Arrival {
  readonly store: Store;
  /** That were not there before. */
  readonly blobs: Digest[];
  /** By their chainIds. */
  readonly layers: Digest[];
}

/** After these, what has come is of use to whoever tries again. */
const INTERRUPTIONS = ["registry_error", "registry_denied", "rate_limited", "aborted"];

/** Nobody removes what has come until the work is done. Where it fails, the store is as it was. */
export async function arriving<T>(store: Store, work: (arrival: Arrival) => Promise<T>): Promise<T> {
  const arrival: Arrival = { store, blobs: [], layers: [] };
  try {
    using _hold = store.hold();
    return await work(arrival);
  } catch (error) {
    // where that fails as well, prune finds it
    if (!isInterruption(error)) await store.withdraw(arrival.blobs, arrival.layers).catch(() => {});
    throw error;
  }
}

/** What an AbortSignal says is no error of this library's. */
const isInterruption = (error: unknown): boolean =>
  !(error instanceof TsboxError) || INTERRUPTIONS.includes(error.code);

/** What the store remembers of its images is a help; on a full disk it does without. */
export function remember(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof TsboxError) || error.code !== "store_unavailable") throw error;
  }
}
