/** What the cache of builds takes, and its removal. @module */
import { checkOptions } from "../options/index.ts";
import { absolute, Directory, kindOfPath, OpenFile, removeTree } from "../../syscalls/index.ts";
import { chainIds, type Digest } from "../image/index.ts";
import { parseAge, parseSize, type Duration, type Size } from "../sandbox/index.ts";
import { imageIds } from "../launch/index.ts";
import { removeTreeAs } from "../layer/index.ts";
import { defaultRoot, BUILD_CACHE, Store } from "../store/index.ts";
import { BuildCache, type CachedStep } from "./cache.ts";
import { MOUNTS } from "./cache-mounts.ts";
import { DOWNLOADS, HASHES } from "./files/index.ts";
import { LOCKS } from "./locks.ts";
import { WORKSPACE, WORKSPACES } from "./workspace.ts";

export interface CacheUsage {
  key: string;
  /** The instruction. */
  text: string;
  /** Of its layer, as it is stored and unpacked. */
  bytes: number;
  /** Milliseconds since 1970. */
  created: number;
  used: number;
  uses: number;
  /** An image has it: nothing is freed with it. */
  isInUse: boolean;
}

export interface PruneOptions {
  /** Also what images have, the directories of `RUN --mount=type=cache`, and what ADD has downloaded. */
  all?: boolean;
  /** Only what was not used for so long: `"24h"`, or milliseconds. */
  olderThan?: Duration;
  /** What was used last stays, up to so much: `"10gb"`, or bytes. */
  keep?: Size;
}

export interface PrunedCache {
  removed: { key: string; text: string; bytes: number }[];
  freedBytes: number;
}

/** Those that were used last come first. */
export async function buildCacheUsage(root?: string): Promise<CacheUsage[]> {
  const path = rootOf(root);
  if (kindOfPath(`${path}/${BUILD_CACHE}`) === undefined) return [];
  using store = Store.open({ root: path });
  using cache = new BuildCache(path);
  const needed = layersOf(store);
  return stepsOf(cache).map((step) => usageOf(step, needed));
}

const usageOf = ({ key, text, bytes, created, used, uses, layer }: CachedStep, needed: Set<Digest>): CacheUsage => ({
  key,
  text,
  bytes,
  created,
  used,
  uses,
  isInUse: layer !== undefined && needed.has(layer.chainId),
});

/**
 * Layers that images have stay there; what builds that run at the moment use stays as well. What builds that were killed
 * have left goes, whatever the options say.
 */
export async function pruneBuildCache(root: string | undefined, options: PruneOptions = {}): Promise<PrunedCache> {
  checkOptions("pruneBuildCache", options, { all: "flag", olderThan: "duration", keep: "any" });
  const { all = false, olderThan = 0, keep } = options;
  const bounds = {
    all,
    olderThanMs: olderThan === 0 ? 0 : parseAge("prune what is older than", olderThan),
    keepBytes: keep === undefined ? undefined : parseSize("keep", keep),
  };
  const path = rootOf(root);
  if (kindOfPath(`${path}/${BUILD_CACHE}`) === undefined) return { removed: [], freedBytes: 0 };
  using store = Store.open({ root: path });
  using cache = new BuildCache(path);
  const needed = layersOf(store);
  const going = chosen(stepsOf(cache), needed, bounds);
  cache.remove(going.map(({ key }) => key));
  cache.removeImages((image) => !store.hasBlob(image));
  const layers = going.flatMap(({ layer }) => layer ?? []);
  await store.withdraw(
    layers.map(({ descriptor }) => descriptor.digest),
    layers.map(({ chainId }) => chainId),
  );
  const removed = going.map(({ key, text, bytes }) => ({ key, text, bytes }));
  const freed = going.filter(({ layer }) => layer && !needed.has(layer.chainId));
  const places = all ? [MOUNTS, DOWNLOADS] : [];
  const left = prunePlaces(`${path}/${WORKSPACES}`, 0, WORKSPACE);
  const mounts = places.reduce((sum, name) => sum + prunePlaces(`${path}/${name}`, bounds.olderThanMs), left);
  if (all) for (const name of [HASHES, LOCKS]) clear(`${path}/${name}`);
  return { removed, freedBytes: freed.reduce((sum, { bytes }) => sum + bytes, mounts) };
}

/** With all that their layers take. */
const stepsOf = (cache: BuildCache): CachedStep[] =>
  cache.steps().map((step) => ({ ...step, bytes: step.bytes + (step.layer?.descriptor.size ?? 0) }));

const rootOf = (root: string | undefined): string => (root === undefined ? defaultRoot() : absolute(root));

function layersOf(store: Store): Set<Digest> {
  return new Set(store.images().flatMap(({ config }) => chainIds(config.rootfs.diff_ids)));
}

/** @param steps those that were used last first */
function chosen(
  steps: readonly CachedStep[],
  needed: Set<Digest>,
  { all, olderThanMs, keepBytes }: { all: boolean; olderThanMs: number; keepBytes: number | undefined },
): CachedStep[] {
  const before = Date.now() - olderThanMs;
  let kept = 0;
  return steps.filter(({ layer, bytes, used }) => {
    if (!all && layer && needed.has(layer.chainId)) return false;
    if (used > before) return false;
    // a step that wrote nothing goes as well, where nothing is to be kept
    if (keepBytes === undefined || kept + bytes > keepBytes) return true;
    kept += bytes;
    return false;
  });
}

/** Directories that builds have locks of. @returns how many bytes are free now */
function prunePlaces(path: string, olderThanMs: number, prefix = ""): number {
  using mounts = Directory.open(path);
  if (!mounts) return 0;
  const ids = imageIds();
  let freed = 0;
  for (const name of mounts.names()) {
    if (!name.startsWith(prefix)) continue;
    using directory = mounts.directory(name);
    if (!directory || (directory.status()?.modifiedMs ?? 0) > Date.now() - olderThanMs || !directory.tryLock())
      continue;
    freed += sizeOf(directory);
    if (ids) removeTreeAs(ids, mounts, name);
    else removeTree(mounts, name);
    directory.unlock();
  }
  return freed;
}

/** What is known of files is found out again; locks that nobody has are left by builds that were killed. */
function clear(path: string): void {
  using directory = Directory.open(path);
  for (const name of directory?.names() ?? []) {
    using file = directory && OpenFile.open(directory, name);
    if (file?.tryLock("exclusive")) directory?.remove(name);
    file?.unlock();
  }
}

/** What can be seen of it: directories of other ids are not entered. */
function sizeOf(directory: Directory): number {
  const { lstatSync, readdirSync } = process.getBuiltinModule("node:fs");
  try {
    return readdirSync(directory.path, { recursive: true, encoding: "utf8" }).reduce(
      (sum, name) => sum + lstatSync(`${directory.path}/${name}`).blocks * 512,
      0,
    );
  } catch {
    return 0;
  }
}
