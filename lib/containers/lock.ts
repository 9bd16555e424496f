/**
 * Who changes a container holds the lock of its directory, however long that takes. The kernel gives it back when a
 * process ends.
 * @module
 */
import { Directory, ERRNO, kindOfPath, OpenFile, show, TsboxError } from "../../syscalls/index.ts";
import { storing } from "../state/index.ts";
import type { Home } from "./home.ts";
import { LOCK } from "./layout.ts";
import { notFound } from "./names.ts";

/** So long one command waits for another. */
const LOCK_MS = 30_000;
const AGAIN_MS = 5;
const PRIVATE = 0o700;

/** Held by this program, also where several of its commands wait for each other. */
export interface Held extends Disposable {
  readonly id: string;
}

/**
 * Does what no other command may do to the container at the same time.
 * @throws TsboxError `container_not_found`; `container_state` where another command does not come to an end
 */
export async function locked<T>(home: Home, id: string, work: () => T | Promise<T>): Promise<T> {
  using _ = await lock(home, id);
  return await work();
}

/** @throws as {@link locked} */
export async function lock(home: Home, id: string): Promise<Held> {
  for (const end = performance.now() + LOCK_MS; ; await new Promise((again) => setTimeout(again, AGAIN_MS))) {
    const held = tryLock(home, id);
    if (held) return held;
    if (!home.state.containers.get(id)) throw notFound(id);
    // somebody has taken it away: what is left can be removed nevertheless
    if (kindOfPath(home.path(id)) === undefined) storing(() => Directory.make(home.path(id), PRIVATE));
    if (performance.now() > end) {
      throw new TsboxError(`lock the container ${show(id)}: another command has had it for ${LOCK_MS / 1000} s`, {
        code: "container_state",
        hint: "wait for that command, or end it",
      });
    }
  }
}

/** Undefined where somebody has it, or there is no such container. */
export function tryLock(home: Home, id: string): Held | undefined {
  using directory = home.directory(id);
  const file = directory && openLock(directory);
  if (!file) return undefined;
  // the directory may have been removed, and its lock with it, by whoever had it
  const isHeld = file.tryLock("exclusive") && file.isCurrent() && directory.isCurrent();
  const release = () => {
    file.unlock();
    file[Symbol.dispose]();
  };
  if (isHeld) return { id, [Symbol.dispose]: release };
  release();
  return undefined;
}

/** Undefined where the directory has been removed since it was opened: nothing can be made in it. */
function openLock(directory: Directory): OpenFile | undefined {
  try {
    return storing(() => OpenFile.open(directory, LOCK, { as: "maker" }));
  } catch (error) {
    if ((error as TsboxError).errno === ERRNO.ENOENT) return undefined;
    throw error;
  }
}
