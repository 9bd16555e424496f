/** Containers whose root filesystem an image is, whether they run or not: it stays as long as they are there. @module */
import type { Digest } from "../image/index.ts";
import { isHeldOpen, State } from "../state/index.ts";
import { storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

const DATABASE = "state.db";

export interface ContainerUse {
  /** Of the container. */
  id: string;
  /** It has a supervisor. */
  isRunning: boolean;
}

/** By the digests of manifests. */
export function containersByImage(root: StoreRoot): Map<Digest, ContainerUse[]> {
  const used = new Map<Digest, ContainerUse[]>();
  if (!storing(() => root.root.status(DATABASE))) return used;
  using state = new State(root.path);
  for (const { id, value } of state.containers.fields("image.digest")) {
    const digest = value as Digest;
    used.set(digest, [
      ...(used.get(digest) ?? []),
      { id, isRunning: isHeldOpen(`${root.path}/containers/${id}/alive`) },
    ]);
  }
  return used;
}
