/** Containers whose root filesystem an image is, whether they run or not: it stays as long as they are there. @module */
import type { Digest } from "../image/index.ts";
import { State } from "../state/index.ts";
import { storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

const DATABASE = "state.db";
/** Somebody has begun to make or to remove them, or they have ended. */
const AT_REST = new Set<unknown>(["creating", "created", "exited", "removing", "dead"]);

export interface ContainerUse {
  /** Of the container. */
  id: string;
  /** As its record says it; it may have ended without anybody's having looked. */
  isRunning: boolean;
}

/** By the digests of manifests. */
export function containersByImage(root: StoreRoot): Map<Digest, ContainerUse[]> {
  const used = new Map<Digest, ContainerUse[]>();
  if (!storing(() => root.root.status(DATABASE))) return used;
  using state = new State(root.path);
  const statuses = new Map(state.containers.fields("status").map(({ id, value }) => [id, value]));
  for (const { id, value } of state.containers.fields("image.digest")) {
    const digest = value as Digest;
    used.set(digest, [...(used.get(digest) ?? []), { id, isRunning: !AT_REST.has(statuses.get(id)) }]);
  }
  return used;
}
