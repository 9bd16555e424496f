/**
 * Sandboxes of programs, as members of networks: each has a directory, which its program holds locked. The kernel drops
 * the lock of one that has died, however it died; then whoever comes next gives back what the sandbox had.
 *
 * ```
 * ROOT/boxes/ID/    locked (flock) as long as there is the sandbox; files that it has mounted
 * ```
 * @module
 */
import { Directory, removeTree } from "../../syscalls/index.ts";
import { storing, unavailable } from "../state/index.ts";

const PRIVATE = 0o700;
const ID_BYTES = 32;
/** Of taking a place. */
const TRIES = 100;

export interface HeldBox extends Disposable {
  /** 64 hexadecimal digits. */
  id: string;
  directory: Directory;
}

const placeOf = (root: string): string => `${root}/boxes`;

/** @throws TsboxError `store_unavailable` */
export function holdBox(root: string): HeldBox {
  for (let tries = 0; ; tries++) {
    const id = crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex();
    const directory = storing(() => {
      Directory.make(`${placeOf(root)}/${id}`, PRIVATE);
      return Directory.open(`${placeOf(root)}/${id}`);
    });
    // somebody may have taken it for one that was left
    if (directory?.tryLock() && directory.isCurrent())
      return {
        id,
        directory,
        [Symbol.dispose]() {
          removeBox(root, id);
          directory[Symbol.dispose]();
        },
      };
    directory?.[Symbol.dispose]();
    if (tries > TRIES) throw unavailable("make a place for the sandbox", "others take it away", root);
  }
}

/** Whether the program of a sandbox is there, and has not ended it. */
export function isHeld(root: string, id: string): boolean {
  using directory = Directory.open(`${placeOf(root)}/${id}`);
  return directory?.isLocked() ?? false;
}

/** What is left of sandboxes whose programs are gone. */
export function sweepBoxes(root: string): void {
  using above = Directory.open(placeOf(root));
  for (const id of above?.directories() ?? []) {
    using directory = above?.directory(id);
    if (above && directory?.tryLock()) removeTree(above, id);
  }
}

function removeBox(root: string, id: string): void {
  using above = Directory.open(placeOf(root));
  if (above) removeTree(above, id);
}
