/** Images that go: by a name, by an id, or because nobody needs them. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { formatReference, hexOf, type Digest, type Reference } from "../image/index.ts";
import { findNamed, hasPrefix, isIdPrefix, tryLoad, type StoredImage } from "./images.ts";
import {
  readIndexFile,
  removeHalfWritten,
  withoutName,
  writeIndexFile,
  WrittenIndex,
  type WrittenEntry,
} from "./index-file.ts";
import { hexOfKey, isLayerKey, syncLayers } from "./layers.ts";
import { isLeased } from "./leases.ts";
import { neededBy } from "./marking.ts";
import type { StoreRoot } from "./root.ts";
import { sweep, sweepIngest, type Swept } from "./sweep.ts";
import { removeOldTrash, Trash } from "./trash.ts";
import { containersByImage } from "./users.ts";
import { storing } from "./failure.ts";

export interface Removed extends Swept {
  /** Names that are gone. */
  names: string[];
  /** Digests that `index.json` had and has no more: of manifests, or of image indexes. */
  images: Digest[];
}

export interface RemoveOptions {
  /** By an id: also where it has several names. */
  force?: boolean;
}

/**
 * Takes a name away, or, by an id, all that an image has. With the last name the image goes, and what only it needs.
 * @throws TsboxError `image_not_found`; `image_in_use` where a sandbox is made of it, or, by an id, it has several names
 */
export async function removeImage(
  root: StoreRoot,
  wanted: Reference | string,
  { force = false }: RemoveOptions = {},
): Promise<Removed> {
  root.checkWritable("remove an image");
  const trash = new Trash(root);
  const removed = root.locked(() => {
    const index = readIndexFile(root);
    const written = WrittenIndex.of(index);
    const named = findNamed(index, wanted);
    const rest = named && named.names.length > 1 ? withoutName(written, named.names[0] as string) : undefined;
    if (named && rest) {
      writeIndexFile(root, rest);
      return { names: named.names.slice(0, 1), images: [], blobs: [], layers: [], bytes: 0 };
    }
    const going = named
      ? written.entries.filter(({ descriptor }) => descriptor?.digest === named.descriptor.digest)
      : entriesById(root, written, wanted);
    const names = going.flatMap(({ name }) => name ?? []);
    if (!named && names.length > 1 && !force) {
      throw new TsboxError(`remove the image ${showName(wanted)}: it has ${names.length} names`, {
        code: "image_in_use",
        hint: `remove ${names.join(", ")}, or all of them with --force`,
      });
    }
    return takeAway(root, trash, written, going);
  });
  await trash.emptySlowly();
  await removeOldTrash(root);
  return removed;
}

const showName = (name: Reference | string): string => show(typeof name === "string" ? name : formatReference(name));

function takeAway(root: StoreRoot, trash: Trash, index: WrittenIndex, going: readonly WrittenEntry[]): Removed {
  const names = going.flatMap(({ name }) => name ?? []);
  const kept = index.entries.filter((entry) => !going.includes(entry));
  const user = userOf(root, going, kept);
  if (user !== undefined) {
    throw new TsboxError(
      `remove the image ${show(names[0] ?? going[0]?.descriptor?.digest)}: a ${user} is made of it`,
      {
        code: "image_in_use",
        hint: user === "sandbox" ? "end the sandbox first" : "remove the container first",
      },
    );
  }
  if (going.length === 0) return { names, images: [], blobs: [], layers: [], bytes: 0 };
  const among = neededBy(root, going);
  writeIndexFile(root, index.with(kept));
  const images = [...new Set(going.flatMap(({ descriptor }) => descriptor?.digest ?? []))];
  return { names, images, ...sweep(root, trash, among) };
}

/** Whether something is made of what is going, and would not find its layers any more. */
function userOf(
  root: StoreRoot,
  going: readonly WrittenEntry[],
  kept: readonly WrittenEntry[],
): "sandbox" | "container" | undefined {
  const needed = neededBy(root, going);
  const still = neededBy(root, kept);
  const keys = storing(() => root.layers.names()).filter(isLayerKey);
  const isTop = (hex: string) => needed.tops.has(hex) && !still.layers.has(hex);
  if (keys.some((key) => isTop(hexOfKey(key)) && isLeased(root, key))) return "sandbox";
  // afterwards: who makes a container has a lease until it is written down
  const lost = [...containersByImage(root).keys()].some(
    (digest) => needed.blobs.has(digest) && !still.blobs.has(digest),
  );
  return lost ? "container" : undefined;
}

/** @throws TsboxError `image_not_found`; `id_ambiguous` */
function entriesById(root: StoreRoot, { entries }: WrittenIndex, wanted: Reference | string): WrittenEntry[] {
  const prefix = typeof wanted === "string" && isIdPrefix(wanted) ? wanted : undefined;
  const ids = new Set<Digest>();
  const found = entries.filter(({ descriptor }) => {
    if (!descriptor || prefix === undefined) return false;
    const image = tryLoad(root, descriptor);
    const isIt = [descriptor.digest, image?.manifestDigest, image?.id].some((each) => each && hasPrefix(each, prefix));
    if (isIt) ids.add(image?.id ?? descriptor.digest);
    return isIt;
  });
  if (ids.size > 1)
    throw new TsboxError(`remove the image ${showName(wanted)}: the ids of several begin so`, { code: "id_ambiguous" });
  if (found.length > 0) return found;
  throw new TsboxError(`remove the image ${showName(wanted)}: there is none`, { code: "image_not_found" });
}

/** Blobs and layers that came in for nothing go, unless somebody needs them by now. */
export async function withdraw(root: StoreRoot, blobs: readonly Digest[], layers: readonly Digest[]): Promise<void> {
  const trash = new Trash(root);
  const among = { blobs: new Set(blobs), layers: new Set(layers.map(hexOf)) };
  root.locked(() => sweep(root, trash, among));
  await trash.emptySlowly();
}

export interface PruneOptions {
  /** Which images go, of those that are not used; absent: those without a name. */
  images?: (image: StoredImage) => boolean;
}

/** Removes images that nobody needs, and all that is left of downloads and removals that did not come to their end. */
export async function prune(
  root: StoreRoot,
  { images = ({ names }) => names.length === 0 }: PruneOptions = {},
): Promise<Removed> {
  root.checkWritable("prune the store");
  const trash = new Trash(root);
  const removed = root.locked(() => {
    const written = WrittenIndex.of(readIndexFile(root));
    checkReadable(root, written);
    // on a full disk this makes room for what comes after it
    removeHalfWritten(root);
    const left = sweepIngest(root, trash);
    const rest = sweep(root, trash);
    const taken = takeUnused(root, trash, written, images);
    return {
      ...taken,
      blobs: [...rest.blobs, ...taken.blobs],
      layers: [...rest.layers, ...taken.layers],
      bytes: left + rest.bytes + taken.bytes,
    };
  });
  await trash.emptySlowly();
  await removeOldTrash(root);
  syncLayers(root);
  root.makeSpare();
  return removed;
}

/** Leases are taken without the store's lock: what is used by the time that it goes stays, and the others go. */
const TRIES = 10;

function takeUnused(
  root: StoreRoot,
  trash: Trash,
  written: WrittenIndex,
  images: (image: StoredImage) => boolean,
): Removed {
  for (let tries = 1; ; tries++) {
    try {
      return takeAway(root, trash, written, goingOf(root, written, images));
    } catch (error) {
      if (!(error instanceof TsboxError) || error.code !== "image_in_use" || tries === TRIES) throw error;
    }
  }
}

/** @throws TsboxError `digest_mismatch`: what is needed is not known where a manifest or a config cannot be read */
function checkReadable(root: StoreRoot, { entries }: WrittenIndex): void {
  for (const { name, descriptor } of entries) {
    if (!descriptor) continue;
    const [damaged] = neededBy(root, [{ descriptor }]).damaged;
    if (damaged === undefined) continue;
    throw new TsboxError(`prune the store: ${damaged} of the image ${show(name ?? descriptor.digest)} is damaged`, {
      code: "digest_mismatch",
      hint: "remove that image, or pull it again",
    });
  }
}

/** An image with several names goes with all of them, or not at all. */
function goingOf(root: StoreRoot, { entries }: WrittenIndex, isGoing: (image: StoredImage) => boolean): WrittenEntry[] {
  const groups = [...Map.groupBy(entries, ({ descriptor }) => descriptor?.digest).values()];
  const chosen = groups.filter(([first, ...others]) => {
    const image = first?.descriptor && tryLoad(root, first.descriptor);
    if (!image) return false;
    return isGoing({ ...image, names: [first, ...others].flatMap(({ name }) => name ?? []) });
  });
  const kept = groups.filter((group) => !chosen.includes(group)).flat();
  return chosen.filter((group) => userOf(root, group, kept) === undefined).flat();
}
