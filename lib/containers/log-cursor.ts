/**
 * A place in a log, which goes on over its files: the oldest first, and those that are begun meanwhile.
 * @module
 */
import { mapArena, OpenFile, unmapArena, type Arena, type Directory } from "../../syscalls/index.ts";
import { LOG } from "./layout.ts";
import { walkRecords, type RecordVisitor } from "./log-format.ts";

const MEMORY_BYTES = 1 << 20;
/** How often files are looked for again, while they are renamed. */
const TURNS = 10;
const NAME = new RegExp(`^${LOG}(?:\\.(\\d{1,6}))?$`);

/** Tells of bytes of the log that cannot be understood. */
export type Damage = (bytes: number) => void;

export class LogCursor implements Disposable {
  readonly #directory: Directory;
  readonly #memory: Arena;
  readonly #damage: Damage;
  /** Those that are still to be read, the oldest first, all open. */
  #files: OpenFile[];
  #at = 0;
  /** Where it ends, although more may come. */
  #end: { file: OpenFile; at: number } | undefined;

  /** At the beginning of all that there is. */
  constructor(directory: Directory, damage: Damage = () => {}) {
    this.#directory = directory;
    this.#damage = damage;
    this.#files = openFiles(directory);
    this.#memory = mapArena(MEMORY_BYTES);
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.splice(0)) file[Symbol.dispose]();
    unmapArena(this.#memory);
  }

  /** The oldest first. */
  get files(): readonly OpenFile[] {
    return this.#files;
  }

  get memory(): Arena {
    return this.#memory;
  }

  /** From now on, it is there. @param index of a file */
  moveTo(index: number, at: number): void {
    for (const file of this.#files.splice(0, index)) file[Symbol.dispose]();
    this.#at = at;
  }

  /** Behind all that there is. */
  moveToEnd(): void {
    const last = this.#files.length - 1;
    if (last >= 0) this.moveTo(last, this.#files[last]?.sizeBytes ?? 0);
  }

  /** What comes later is not read. */
  stopHere(): void {
    const file = this.#files.at(-1);
    if (file) this.#end = { file, at: file.sizeBytes };
  }

  /**
   * Visits what comes next, up to a megabyte.
   * @returns false where there is nothing, for now
   */
  read(visitor: RecordVisitor): boolean {
    for (;;) {
      const [file] = this.#files;
      if (!file) {
        if (this.#end) return false;
        this.#files = openFiles(this.#directory);
        this.#at = 0;
        if (this.#files.length === 0) return false;
        continue;
      }
      if (this.#readOf(file, visitor)) return true;
      if (!this.#hasNewer(file)) return false;
      // what was written before the next one was begun
      if (this.#readOf(file, visitor)) return true;
      this.#files.shift()?.[Symbol.dispose]();
      this.#at = 0;
    }
  }

  #readOf(file: OpenFile, visitor: RecordVisitor): boolean {
    const end = this.#end?.file === file ? this.#end.at : Infinity;
    const wanted = Math.min(MEMORY_BYTES, end - this.#at);
    if (wanted <= 0) return false;
    const count = file.readAt(this.#at, this.#memory, 0, wanted);
    if (count === 0) return false;
    const { at, damaged } = walkRecords(this.#memory, 0, count, count < MEMORY_BYTES, visitor);
    if (damaged > 0) this.#damage(damaged);
    if (at === 0) return false;
    visitor.flush?.();
    this.#at += at;
    return true;
  }

  /** Behind the one that is read; files that were begun since then are opened. */
  #hasNewer(file: OpenFile): boolean {
    if (this.#files.length > 1) return true;
    if (this.#end || (this.#directory.status(LOG)?.identity ?? file.identity) === file.identity) return false;
    const found = openFiles(this.#directory);
    const own = found.findIndex(({ identity }) => identity === file.identity);
    for (const known of found.splice(0, own + 1)) known[Symbol.dispose]();
    this.#files.push(...found);
    return found.length > 0;
  }
}

/** All files of a log, the oldest first. Names only ever move to higher numbers, so none is missed from the newest on. */
function openFiles(directory: Directory): OpenFile[] {
  let found: OpenFile[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    const before = namesOf(directory);
    const seen = new Set<string>();
    for (const name of before) {
      const file = OpenFile.open(directory, name);
      if (!file) continue;
      if (seen.has(file.identity)) file[Symbol.dispose]();
      else found.unshift(file);
      seen.add(file.identity);
    }
    if (String(namesOf(directory)) === String(before) && found.at(-1)?.isCurrent() !== false) return found;
    if (turn < TURNS - 1) for (const file of found.splice(0)) file[Symbol.dispose]();
  }
  return found;
}

/** The newest first. */
function namesOf(directory: Directory): string[] {
  const numbers = directory.names().flatMap((name) => {
    const match = NAME.exec(name);
    return match ? [Number(match[1] ?? 0)] : [];
  });
  return numbers.toSorted((a, b) => a - b).map((number) => (number === 0 ? LOG : `${LOG}.${number}`));
}
