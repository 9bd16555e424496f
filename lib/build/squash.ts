/** --squash: all that steps have made over the image that the build begins with, as one layer. @module */
import { keyOf } from "./key.ts";
import type { Making } from "./making.ts";
import { commitMerged, hold, lowersOf, type Snapshot } from "./snapshot.ts";

/** @param below how many of the layers are the base's */
export async function squash(making: Making, snapshot: Snapshot, below: number): Promise<Snapshot> {
  const { cache, epoch, signal } = making;
  const base = snapshot.slice(0, below);
  if (snapshot.length - below < 2) return snapshot;
  const key = keyOf({ squash: snapshot.map(({ chainId }) => chainId), below, epoch });
  const known = cache.find(key);
  if (known?.layer && hold(making, [...base, known.layer])) return [...base, known.layer];
  // an opaque layer hides those below it, and so has fewer of them
  const uppers = lowersOf(making, snapshot).slice(0, snapshot.length - below);
  const { layer, bytes } = await commitMerged(making, base, uppers, { signal, epoch });
  const created = epoch === undefined ? Date.now() : epoch * 1000;
  cache.put({ key, layer, bytes, text: "squash", created });
  return layer ? [...base, layer] : base;
}
