/**
 * Directories of `RUN --mount=type=cache`: they are kept in `build/mounts/` of the store from one build to the next, and
 * are in no layer.
 * @module
 */
import { changeOwner, Directory, TsboxError } from "../../syscalls/index.ts";
import { digestOf, hexOf } from "../image/index.ts";
import { changeOwners } from "../layer/index.ts";
import { copied, type Prepared, type SelectedMount } from "./mount-files.ts";
import type { Found, Making } from "./making.ts";
import type { StepMount } from "./step.ts";

export const MOUNTS = "build/mounts";
/** In each: the files, and when they were last used. */
const FILES = "files";
const PRIVATE = 0o700;
const AGAIN_MS = 50;
/** That private ones may be in use at a time. */
const MAX_PRIVATE = 1000;

export async function cacheMount(
  making: Making,
  found: Found,
  mount: SelectedMount,
  target: string,
): Promise<Prepared> {
  const { id = target, sharing = "shared", readOnly = false } = mount;
  const name = hexOf(digestOf(id));
  Directory.make(`${making.store.path}/${MOUNTS}`, PRIVATE);
  using mounts = Directory.open(`${making.store.path}/${MOUNTS}`) as Directory;
  const place = await take(mounts, name, sharing, making.signal);
  try {
    const source = `${place.path}/${FILES}`;
    const isSame = place.status(FILES) !== undefined || (await fill(making, found, mount, place));
    return {
      isSame,
      mount: { type: "bind", source, target, readOnly },
      release() {
        const now = new Date();
        process.getBuiltinModule("node:fs").utimesSync(place.path, now, now);
        place.unlock();
        place[Symbol.dispose]();
      },
    };
  } catch (error) {
    place.unlock();
    place[Symbol.dispose]();
    throw error;
  }
}

/** It is not pruned as long as somebody has its lock. */
async function take(
  mounts: Directory,
  name: string,
  sharing: NonNullable<StepMount["sharing"]>,
  signal: AbortSignal,
): Promise<Directory> {
  for (let number = 0; number < MAX_PRIVATE;) {
    signal.throwIfAborted();
    const own = number === 0 ? name : `${name}-${number}`;
    Directory.make(`${mounts.path}/${own}`, PRIVATE);
    const directory = mounts.directory(own);
    const isMine = sharing === "shared" ? directory?.tryShare() : directory?.tryLock();
    if (directory && isMine && directory.isCurrent()) return directory;
    directory?.[Symbol.dispose]();
    if (sharing === "private") number++;
    else await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  throw new TsboxError(`use a cache of a RUN: ${MAX_PRIVATE} of it are in use`, { code: "limit_unavailable" });
}

/** Two that share it may come at once: the first counts. */
async function fill(making: Making, found: Found, mount: SelectedMount, place: Directory): Promise<boolean> {
  const { mode = 0o755, uid = 0, gid = 0, files } = mount;
  const { path, isSame } = files
    ? await copied(making, found, mount)
    : { path: making.workspace.make("cache"), isSame: true };
  const { chmodSync, renameSync } = process.getBuiltinModule("node:fs");
  chmodSync(path, mode);
  if (uid !== 0 || gid !== 0) {
    if (making.ids) changeOwners(path, uid, gid, making.ids);
    else changeOwner(path, uid, gid);
  }
  try {
    renameSync(path, `${place.path}/${FILES}`);
  } catch (error) {
    if (!["EEXIST", "ENOTEMPTY"].includes((error as { code?: string }).code ?? "")) throw error;
  }
  return isSame;
}
