/**
 * What an overlay's upper directory changes of the layers below it: `docker diff`.
 * @module
 */
import { imageIds, type ImageIds } from "./attributes.ts";
import { GROUP, type Looker } from "./look.ts";
import { DT, isWhiteout, textOf, type Looked } from "./looked.ts";
import { joinPath, Tree, type Level, type Merged, type Pending } from "./merged.ts";
import type { PackOptions } from "./pack.ts";
import { Reading } from "./reading.ts";

export interface Change {
  /** Added, changed, or deleted. */
  kind: "A" | "C" | "D";
  /** Absolute, as it is seen in the overlay. */
  path: string;
}

interface Pair {
  upper: Pending;
  /** Undefined where the layers below have no such directory. */
  lower: Pending | undefined;
  /** What the layers below have in it does not show through. */
  isOpaque: boolean;
}

/**
 * In the order of their paths. A directory is changed where its mode, owner or time is, or something in it.
 * @param lowers top first
 * @throws TsboxError `archive_refused` as {@link packLayer}
 */
export function changesOf(
  upper: string,
  lowers: string[],
  { ids, upperIds }: Pick<PackOptions, "ids" | "upperIds"> = {},
): Change[] {
  using reading = new Reading([upper, ...lowers], ids);
  const { looker, tops } = reading;
  const above = new Tree(looker, tops.slice(0, 1));
  const below = new Tree(looker, tops.slice(1));
  const changes = new Changes();
  const seen = upperIds && imageIds(upperIds);
  const stack: Pair[] = [{ upper: above.root, lower: lowers.length > 0 ? below.root : undefined, isOpaque: false }];
  for (let pair; (pair = stack.pop());) {
    const level = above.enter(pair.upper);
    if (!level) continue;
    if (seen) level.directory = withIds(level.directory, seen);
    const lower = pair.lower && below.enter(pair.lower);
    try {
      stack.push(...compare(looker, changes, level, lower, pair.isOpaque || level.attributes.isOpaque));
    } finally {
      above.leave(level);
      if (lower) below.leave(lower);
    }
  }
  return changes.sorted();
}

const withIds = (looked: Looked, { toUid, toGid }: ImageIds): Looked => ({
  ...looked,
  uid: toUid(looked.uid),
  gid: toGid(looked.gid),
});

/** @returns the directories in it */
function compare(looker: Looker, changes: Changes, upper: Level, lower: Level | undefined, isOpaque: boolean): Pair[] {
  const { path } = upper;
  const shown = new Map(lower ? shownOf(looker, lower).map((each) => [each.name, each]) : []);
  if (lower && path !== "" && isChanged(lower.directory, upper.directory)) changes.add("C", path);
  const own = new Set(shownOf(looker, upper).map(({ name }) => name));
  const named = new Set(upper.names.map(({ name }) => name));
  const pairs: Pair[] = [];
  for (const { name, type, layers } of upper.names) {
    const old = shown.get(name);
    const whole = joinPath(path, name);
    if (!own.has(name)) {
      if (old) changes.add("D", whole);
      continue;
    }
    const isBoth = type === DT.directory && old?.type === DT.directory;
    if (!isBoth) changes.add(old ? "C" : "A", whole);
    if (type === DT.directory)
      pairs.push({
        upper: { path: whole, layers },
        lower: isBoth ? { path: whole, layers: old.layers } : undefined,
        isOpaque,
      });
  }
  if (isOpaque) for (const name of shown.keys()) if (!named.has(name)) changes.add("D", joinPath(path, name));
  return pairs;
}

/** Names but those of whiteouts. */
function shownOf(looker: Looker, { path, names }: Level): Merged[] {
  const devices = names.filter(({ type }) => type === DT.character);
  const hidden = new Set<string>();
  for (let at = 0; at < devices.length; at += GROUP) {
    const all = looker.look(devices.slice(at, at + GROUP), (name) => joinPath(path, name));
    for (const each of all) if (each && isWhiteout(each)) hidden.add(each.name);
    looker.close(all.flatMap((each) => (each ? [each.fd] : [])));
  }
  return hidden.size === 0 ? names : names.filter(({ name }) => !hidden.has(name));
}

const isChanged = (old: Looked, now: Looked): boolean =>
  old.mode !== now.mode ||
  old.uid !== now.uid ||
  old.gid !== now.gid ||
  old.mtime.seconds !== now.mtime.seconds ||
  old.mtime.nanoseconds !== now.mtime.nanoseconds;

class Changes {
  readonly #kinds = new Map<string, Change["kind"]>();

  /** What it is in is changed as well. */
  add(kind: Change["kind"], path: string): void {
    this.#kinds.set(path, kind);
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const above = path.slice(0, end);
      if (this.#kinds.has(above)) return;
      this.#kinds.set(above, "C");
    }
  }

  sorted(): Change[] {
    const paths = [...this.#kinds].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return paths.map(([path, kind]) => ({ kind, path: `/${textOf(path)}` }));
  }
}
