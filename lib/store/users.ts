/** Containers whose root filesystem an image is, or that have it mounted, whether they run or not: it stays as long as they are there. @module */
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
  const add = (digest: Digest, id: string) => {
    const users = used.get(digest) ?? [];
    if (users.at(-1)?.id === id) return;
    used.set(digest, [...users, { id, isRunning: isHeldOpen(`${root.path}/containers/${id}/alive`) }]);
  };
  for (const { id, value } of state.containers.fields("image.digest")) add(value as Digest, id);
  for (const { id, value } of state.containers.fields("mountedImages"))
    for (const digest of Object.values(JSON.parse(String(value)) as Record<string, Digest>)) add(digest, id);
  return used;
}
