/**
 * Fills a new volume with what an image has where it is mounted: owners, modes, attributes and hard links as they are
 * there. Nothing of the image is mounted, and no symlink of it leads out of it: its layers are packed from that directory
 * on, and unpacked beside the volume's own, whose place that takes once it is whole.
 * @module
 */
import { Directory, ERRNO, removeTree, TsboxError } from "../../syscalls/index.ts";
import { imageIds } from "../launch/index.ts";
import { packTree, removeTreeAs, TreeUnpacking } from "../layer/index.ts";
import { storing } from "../state/index.ts";
import { DATA, FILLING } from "./place.ts";

export interface Filling {
  /** Absolute, top first. */
  layers: readonly string[];
  /** A directory in them. */
  path: string;
  signal?: AbortSignal;
}

/** The caller has the volume's lock. @returns whether there was something to fill it with, and it was empty */
export async function fillVolume(place: Directory, { layers, path, signal }: Filling): Promise<boolean> {
  removeFilling(place);
  if (!isEmptyIn(place) || layers.length === 0) return false;
  const ids = imageIds();
  storing(() => place.makeDirectory(FILLING, 0o700));
  try {
    {
      using unpacking = new TreeUnpacking(`${place.path}/${FILLING}`, { ids });
      const options = { from: path, root: true, ...(ids ? { ids } : {}), ...(signal ? { signal } : {}) };
      const packed = await packTree([...layers], undefined, (bytes) => unpacking.take(bytes), options);
      if (packed.entries === 0) return false;
      unpacking.end();
    }
    // what has been written is on the disk before its name is
    place.syncFileSystem();
    return replaceEmpty(place);
  } finally {
    removeFilling(place);
  }
}

/** It takes the place of an empty directory only. */
function replaceEmpty(place: Directory): boolean {
  try {
    place.move(FILLING, place, DATA);
    place.sync();
    return true;
  } catch (error) {
    // somebody has written there meanwhile
    if (error instanceof TsboxError && error.errno === ERRNO.ENOTEMPTY) return false;
    throw error;
  }
}

function isEmptyIn(place: Directory): boolean {
  using data = place.directory(DATA);
  if (!data) throw new TsboxError(`open "${place.path}/${DATA}": there is none`, { code: "system" });
  return data.names().length === 0;
}

function removeFilling(place: Directory): void {
  if (!place.status(FILLING)) return;
  const ids = imageIds();
  storing(() => (ids ? removeTreeAs(ids, place, FILLING) : removeTree(place, FILLING)));
}
