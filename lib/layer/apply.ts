/** A layer, applied to a state of a directory. @module */
import { byPath, OPAQUE, plainPath, split, WHITEOUT_PREFIX, type FileState } from "./state.ts";

/**
 * The state that a layer's entries make of `lower`, each directory before what is in it. Whiteouts hide what is below,
 * never what the same layer has, in whichever order it comes; of two entries with one name the last counts.
 */
export function applyLayer(lower: FileState[], layer: FileState[]): FileState[] {
  const own = new Map<string, FileState>();
  const [hidden, opaque] = [new Set<string>(), new Set<string>()];
  for (const entry of layer) {
    const path = plainPath(entry.name);
    const [parent, name] = split(path);
    if (name === OPAQUE) opaque.add(parent);
    else if (name.startsWith(WHITEOUT_PREFIX))
      hidden.add(`${parent === "" ? "" : `${parent}/`}${name.slice(WHITEOUT_PREFIX.length)}`);
    else if (path !== "") {
      own.delete(path);
      own.set(path, { ...entry, name: path });
    }
  }
  const isCovered = (path: string): boolean => {
    if (hidden.has(path)) return true;
    for (let [parent] = split(path); ; [parent] = split(parent)) {
      if (opaque.has(parent) || hidden.has(parent)) return true;
      if (parent === "") return false;
      const above = own.get(parent);
      if (above && above.type !== "directory") return true;
    }
  };
  const kept = lower.filter(({ name }) => !own.has(name) && !isCovered(name));
  return [...kept, ...own.values()].toSorted(byPath);
}
