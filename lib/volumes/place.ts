/**
 * The directory of a volume.
 *
 * ```
 * ROOT/volumes/NAME/  0700
 *   record.json   a copy of its row, for when the database is lost
 *   lock          held (flock) while it is filled, mounted or removed
 *   _data/        what it holds
 *   _filling/     what an image has there, until it is whole
 * ```
 * @module
 */
import { Directory, OpenFile, show, TsboxError, trySyscall } from "../../syscalls/index.ts";
import type { VolumeRecord } from "./record.ts";

export const VOLUMES = "volumes";
export const DATA = "_data";
export const FILLING = "_filling";
const [RECORD, LOCK] = ["record.json", "lock"];
const PRIVATE = 0o700;
/** So long one command waits for another. */
const LOCK_MS = 30_000;
const AGAIN_MS = 5;

export const placeOf = (root: string, name: string): string => `${root}/${VOLUMES}/${name}`;
export const dataOf = (root: string, name: string): string => `${placeOf(root, name)}/${DATA}`;

/** Makes what is not there yet: whoever was at it before may have been killed. */
export function makePlace(root: string, record: VolumeRecord): Directory {
  const path = placeOf(root, record.name);
  Directory.make(path, PRIVATE);
  const place = Directory.open(path);
  if (!place)
    throw new TsboxError(`open the volume ${show(record.name)}: it is no directory`, { code: "system", path });
  try {
    const copy = new TextEncoder().encode(JSON.stringify(record));
    makeOnce(place, RECORD, () => place.replace(RECORD, copy, 0o600, true));
    makeOnce(place, DATA, () => {
      place.makeDirectory(DATA, 0o755);
      using data = place.directory(DATA) as Directory;
      // whatever the caller's umask
      trySyscall("fchmod", data.fd, 0o755);
    });
    return place;
  } catch (error) {
    place[Symbol.dispose]();
    throw error;
  }
}
/** Several commands may be at it, and all make the same. */
function makeOnce(place: Directory, name: string, make: () => void): void {
  for (let attempt = 1; !place.status(name); attempt++) {
    try {
      return make();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
  }
}
const ATTEMPTS = 20;

/**
 * Does what no other command may do to the volume at the same time.
 * @throws TsboxError `volume_in_use` where another command does not come to an end
 */
export async function lockedPlace<T>(place: Directory, name: string, work: () => T | Promise<T>): Promise<T> {
  using file = OpenFile.open(place, LOCK, { as: "maker" }) as OpenFile;
  for (const end = performance.now() + LOCK_MS; !file.tryLock("exclusive");) {
    if (performance.now() > end)
      throw new TsboxError(`lock the volume ${show(name)}: another command has had it for ${LOCK_MS / 1000} s`, {
        code: "volume_in_use",
      });
    await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
  try {
    return await work();
  } finally {
    file.unlock();
  }
}
