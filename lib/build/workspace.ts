/**
 * Places of a build that are gone when it is over: `build/work-ID/` of the store, whose lock it has. Those of builds that
 * were killed go with the next one, or with the cache (`prune.ts`).
 * @module
 */
import { Directory, ERRNO, removeTree, TsboxError } from "../../syscalls/index.ts";
import { removeTreeAs, type IdMaps } from "../layer/index.ts";

/** In the store, and how names there begin. */
export const [WORKSPACES, WORKSPACE] = ["build", "work-"];
const PRIVATE = 0o700;

export class Workspace implements Disposable {
  readonly #root: string;
  readonly #ids: IdMaps | undefined;
  #build: Directory | undefined;
  #directory: Directory | undefined;
  #count = 0;
  readonly #held: Disposable[] = [];

  /** Nothing is made before it is needed. @param root of the store */
  constructor(root: string, ids: IdMaps | undefined) {
    this.#root = root;
    this.#ids = ids;
  }

  /** A new directory, on the file system of the layers. */
  make(name: string): string {
    const place = (this.#directory ??= this.#open());
    const unique = `${this.#count++}-${name}`;
    place.makeDirectory(unique, PRIVATE);
    return `${place.path}/${unique}`;
  }

  /** Before the build is over. */
  remove(path: string): void {
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (this.#directory) this.#removeTree(this.#directory, name);
  }

  /** Is disposed of when the build is over. */
  hold(place: Disposable): void {
    this.#held.push(place);
  }

  [Symbol.dispose](): void {
    for (const place of this.#held.splice(0)) place[Symbol.dispose]();
    const [build, directory] = [this.#build, this.#directory];
    [this.#build, this.#directory] = [undefined, undefined];
    if (!build || !directory) return;
    try {
      this.#removeTree(build, directory.path.slice(build.path.length + 1));
    } finally {
      directory.unlock();
      directory[Symbol.dispose]();
      build[Symbol.dispose]();
    }
  }

  #open(): Directory {
    Directory.make(`${this.#root}/${WORKSPACES}`, PRIVATE);
    const build = (this.#build = Directory.open(`${this.#root}/${WORKSPACES}`) as Directory);
    this.#sweep(build);
    for (;;) {
      const name = `${WORKSPACE}${crypto.randomUUID()}`;
      build.makeDirectory(name, PRIVATE);
      const directory = build.directory(name);
      // another build may have taken it for one that was left
      if (directory?.tryLock() && directory.isCurrent()) return directory;
      directory?.[Symbol.dispose]();
    }
  }

  #sweep(build: Directory): void {
    for (const name of build.names()) {
      if (!name.startsWith(WORKSPACE)) continue;
      using old = build.directory(name);
      if (!old?.tryLock()) continue;
      this.#removeTree(build, name);
      old.unlock();
    }
  }

  /** Files of other ids, of builds by an ordinary user, are those of its root. */
  #removeTree(parent: Directory, name: string): void {
    try {
      removeTree(parent, name);
    } catch (error) {
      const isForbidden = error instanceof TsboxError && (error.errno === ERRNO.EACCES || error.errno === ERRNO.EPERM);
      if (!isForbidden || !this.#ids) throw error;
      removeTreeAs(this.#ids, parent, name);
    }
  }
}
