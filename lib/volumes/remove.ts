/** Removes volumes, with all that is in them. @module */
import { detachMount, Directory, removeTree, TsboxError } from "../../syscalls/index.ts";
import { imageIds } from "../launch/index.ts";
import { removeTreeAs } from "../layer/index.ts";
import { storing, type State } from "../state/index.ts";
import { isMounted } from "./driver.ts";
import { dataOf, placeOf, VOLUMES } from "./place.ts";
import { forgetSize } from "./quota.ts";
import type { VolumeRecord } from "./record.ts";
import { usedBytes } from "./usage.ts";
import type { PrunedVolumes, PruneVolumesOptions, Volumes } from "./volumes.ts";

/**
 * The row is marked first, and goes last: who finds a mark goes on.
 * @param but a container that is going itself
 * @returns whether there was one
 * @throws TsboxError `volume_in_use`
 */
export async function removeVolume(state: State, volumes: Volumes, name: string, but?: string): Promise<boolean> {
  const marked = state.withSpare(() =>
    state.transaction(() => {
      if (!state.volumes.get(name)) return undefined;
      const users = volumes.users(name).filter((id) => id !== but);
      if (users.length > 0)
        throw new TsboxError(`remove ${name}: volume is in use - [${users.join(", ")}]`, { code: "volume_in_use" });
      return state.volumes.update<VolumeRecord>(name, (row) => ({ ...row, removing: true }));
    }),
  );
  if (!marked) return false;
  forgetSize(state.root, marked);
  removeFiles(state.root, name);
  state.withSpare(() =>
    state.transaction(() => {
      if (state.volumes.remove(name))
        state.addEvent({
          time: Date.now(),
          type: "volume",
          action: "destroy",
          id: name,
          attributes: { driver: "local" },
        });
    }),
  );
  return true;
}

function removeFiles(root: string, name: string): void {
  const data = dataOf(root, name);
  if (isMounted(data)) {
    const result = detachMount(data);
    if (result < 0)
      throw new TsboxError(`remove ${name}: unmount "${data}": errno ${-result}`, {
        code: "volume_in_use",
        errno: -result,
      });
  }
  using parent = Directory.open(`${root}/${VOLUMES}`);
  if (!parent || !Directory.open(placeOf(root, name))) return;
  const ids = imageIds();
  storing(() => (ids ? removeTreeAs(ids, parent, name) : removeTree(parent, name)));
}

export async function pruneVolumes(
  state: State,
  volumes: Volumes,
  { all = false, filters = {} }: PruneVolumesOptions,
): Promise<PrunedVolumes> {
  const pruned: PrunedVolumes = { removed: [], freedBytes: 0 };
  await finishRemovals(state, volumes);
  for (const { name, anonymous } of volumes.list({ ...filters, dangling: ["true"] })) {
    if (!all && !anonymous) continue;
    const bytes = usedBytes(state.root, name);
    try {
      if (!(await removeVolume(state, volumes, name))) continue;
    } catch (error) {
      // somebody took it meanwhile
      if (error instanceof TsboxError && error.code === "volume_in_use") continue;
      throw error;
    }
    pruned.removed.push(name);
    pruned.freedBytes += bytes;
  }
  return pruned;
}

/**
 * What somebody had begun to remove, and was killed at; and directories that have no row, which those that are made have
 * before.
 */
async function finishRemovals(state: State, volumes: Volumes): Promise<void> {
  using parent = Directory.open(`${state.root}/${VOLUMES}`);
  for (const name of parent?.names() ?? []) if (!state.volumes.get(name)) removeFiles(state.root, name);
  for (const { name, removing } of state.volumes.list<VolumeRecord>())
    if (removing) await removeVolume(state, volumes, name);
}
