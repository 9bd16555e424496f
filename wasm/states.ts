/**
 * States of a directory: what is different between two of them, as a layer, and what a layer makes of one. The module
 * compares them; here they are laid out in its memory.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
import { FREE_OFFSET, growTo, instantiate } from "./module.ts";
import type { TarRecord, TarType } from "./tar-entry.ts";

/** A file by its path in the directory: no slash at its ends, no `.` or `..` in it. */
export interface FileState extends Omit<TarRecord, "nameBytes" | "linkNameBytes" | "segments"> {
  /** Of the content, where it is known on both sides; otherwise size and mtime tell a change, as in Docker. */
  digest?: string;
}

/** In the order of their paths. */
export interface StateChanges {
  /** Of the upper state. */
  added: FileState[];
  changed: FileState[];
  /** Of the lower one: what is gone, but for what went with its directory. */
  removed: FileState[];
  /** Directories that have lost all they had; their files are not among `removed`. */
  emptied: string[];
}

export interface DiffOptions {
  /** Tells of directories that have lost all they had as such, instead of each file that they lost. */
  opaque?: boolean;
}

/** `.wh.NAME`: NAME of the layers below is gone. */
export const WHITEOUT_PREFIX = ".wh.";
/** In a directory: all that the layers below have in it is gone. */
export const OPAQUE = ".wh..wh..opq";

const [RECORD_BYTES, FRAME_BYTES] = [32, 24];
/** Numbers of a file, before its texts. */
const NUMBER_BYTES = 64;
/** Loads may run over by so much. */
const SPARE_BYTES = 64;
const FLAG = 0x80000000;
const TYPES: TarType[] = ["file", "directory", "symlink", "hard link", "character device", "block device", "fifo"];
const encoder = new TextEncoder();

/** States side by side in the module's memory: records, with as much room for them to be sorted, then texts. */
class Table {
  readonly wasm = instantiate(FREE_OFFSET);
  #bytes = new Uint8Array();
  #words = new Uint32Array();
  #doubles = new Float64Array();
  #end = FREE_OFFSET;

  /** Forgets all states. */
  reset(): this {
    this.#end = FREE_OFFSET;
    return this;
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  #grow(bytes: number): void {
    if (this.#end + bytes + SPARE_BYTES <= this.#bytes.length) return;
    growTo(this.wasm.memory, Math.max(this.#end + bytes + SPARE_BYTES, this.#bytes.length * 2));
    const buffer = this.wasm.memory.buffer as ArrayBuffer;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#doubles = new Float64Array(buffer);
  }

  /** Room for numbers. */
  take(bytes: number): number {
    this.#end = (this.#end + 7) & ~7;
    const at = this.#end;
    this.#grow(bytes);
    this.#end += bytes;
    return at;
  }

  /**
   * @param arePaths nothing but the paths is asked for
   * @returns where the state is, sorted, and of how many files, as the last of those with one path counts
   */
  put(files: FileState[], arePaths = false): { at: number; count: number } {
    const at = this.take(files.length * RECORD_BYTES * 2);
    for (let index = 0; index < files.length; index++) {
      const file = files[index] as FileState;
      const path = this.#end;
      this.#text(file.name);
      const pathEnd = this.#end;
      const attributes = arePaths ? pathEnd : this.#attributes(file);
      const digest = this.#end;
      if (!arePaths && file.digest !== undefined) this.#text(file.digest);
      const record = (at + index * RECORD_BYTES) / 4;
      const words = this.#words;
      words[record] = path;
      words[record + 1] = pathEnd - path;
      words[record + 2] = attributes;
      words[record + 3] = digest - attributes;
      words[record + 4] = digest;
      words[record + 5] = this.#end - digest;
      words[record + 6] = file.type === "directory" ? 1 : 0;
      words[record + 7] = index;
    }
    return { at, count: this.wasm.sortRecords(at, files.length, false) };
  }

  /** All that makes a file another one but for its content. */
  #attributes({ type, mode, uid, gid, size, mtime, major, minor, linkName, xattrs }: FileState): number {
    const at = this.take(NUMBER_BYTES);
    const [doubles, double] = [this.#doubles, at / 8];
    doubles[double] = uid;
    doubles[double + 1] = gid;
    doubles[double + 2] = type === "file" ? size : 0;
    doubles[double + 3] = mtime.seconds;
    doubles[double + 4] = major;
    doubles[double + 5] = minor;
    doubles[double + 6] = mode;
    const [words, word] = [this.#words, at / 4 + 14];
    words[word] = mtime.nanoseconds;
    words[word + 1] = TYPES.indexOf(type);
    if (linkName !== "") this.#measured(() => void this.#text(linkName));
    if (!xattrs || xattrs.size === 0) return at;
    for (const [key, value] of [...xattrs].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      this.#measured(() => void this.#text(key));
      this.#measured(() => {
        this.#grow(value.length);
        this.#bytes.set(value, this.#end);
        this.#end += value.length;
      });
    }
    return at;
  }

  /** Its length before it, so that no two lists of texts are the same bytes. */
  #measured(put: () => void): void {
    this.#grow(4);
    const at = this.#end;
    this.#end += 4;
    put();
    for (let index = 0; index < 4; index++) this.#bytes[at + index] = (this.#end - at - 4) >>> (index * 8);
  }

  #text(text: string): void {
    this.#grow(text.length * 3);
    const bytes = this.#bytes;
    let end = this.#end;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code >= 0x80) {
        if (!text.isWellFormed()) throw new TypeError(`read a state: ${JSON.stringify(text)} is not well-formed`);
        end = this.#end + encoder.encodeInto(text, bytes.subarray(this.#end)).written;
        break;
      }
      bytes[end++] = code;
    }
    this.#end = end;
  }

  /** A list of numbers that a call has made. */
  numbers(at: number, count: WebAssembly.Global): Uint32Array {
    return new Uint32Array(this.wasm.memory.buffer, at, count.value as number);
  }
}

/** The last one is used again, unless it had to be large: fresh memory takes longer than what is done with it. */
let kept: Table | undefined;
const MOST_KEPT_BYTES = 16 * 1024 * 1024;

function withTable<Result>(use: (table: Table) => Result): Result {
  const table = kept?.reset() ?? new Table();
  kept = undefined;
  const result = use(table);
  if (table.sizeBytes <= MOST_KEPT_BYTES) kept = table;
  return result;
}

/** Two states in, what is different out. @throws TypeError for texts that are not well-formed */
export function compareStates(lower: FileState[], upper: FileState[], options: DiffOptions = {}): StateChanges {
  const { now, ...gone } = compared(lower, upper, options);
  const of = (isChanged: boolean) => now.filter((each) => each.isChanged === isChanged).map(({ file }) => file);
  return { added: of(false), changed: of(true), ...gone };
}

interface Compared extends Omit<StateChanges, "added" | "changed"> {
  now: { file: FileState; isChanged: boolean }[];
}

const compared = (lower: FileState[], upper: FileState[], options: DiffOptions): Compared =>
  withTable((table) => comparedIn(table, lower, upper, options));

function comparedIn(table: Table, lower: FileState[], upper: FileState[], { opaque = false }: DiffOptions): Compared {
  const [before, after] = [table.put(lower), table.put(upper)];
  const out = table.take((lower.length + upper.length) * 4);
  const stack = table.take(depthOf(lower) * FRAME_BYTES);
  table.wasm.compareStates(before.at, before.count, after.at, after.count, out, stack, opaque);
  const changes: Compared = { now: [], removed: [], emptied: [] };
  for (const number of table.numbers(out, table.wasm.firstCount))
    changes.now.push({ file: upper[number & ~FLAG] as FileState, isChanged: (number & FLAG) !== 0 });
  for (const number of table.numbers(out + after.count * 4, table.wasm.secondCount)) {
    const file = lower[number & ~FLAG] as FileState;
    if (number & FLAG) changes.emptied.push(split(file.name)[0]);
    else changes.removed.push(file);
  }
  return changes;
}

/** Directories of the longest path, and the top. */
const depthOf = (files: FileState[]): number =>
  files.reduce((most, { name }) => Math.max(most, name.split("/").length), 0) + 1;

/**
 * The entries of a layer that makes `upper` of `lower`: whiteouts, then files, each directory before what is in it.
 * @throws TypeError for a name that layers keep for whiteouts, and texts that are not well-formed
 *
 * @example
 * ```ts
 * const [before, after] = [await statesOfTar([oldTar]), await statesOfTar([newTar])];
 * for (const { name, type } of diffStates(before, after)) console.log(name, type);
 * ```
 */
export function diffStates(lower: FileState[], upper: FileState[], options: DiffOptions = {}): FileState[] {
  const wrong = upper.find(({ name }) => split(name)[1].startsWith(WHITEOUT_PREFIX));
  if (wrong) throw new TypeError(`make a layer: "${wrong.name}" has a name that means a whiteout`);
  const { now, removed, emptied } = compared(lower, upper, options);
  const whiteouts = [
    ...removed.map(({ name }) => whiteout(split(name)[0], WHITEOUT_PREFIX + split(name)[1])),
    ...emptied.map((path) => whiteout(path, OPAQUE)),
  ];
  return [...whiteouts, ...now.map(({ file }) => file)];
}

const whiteout = (parent: string, name: string): FileState => ({
  name: parent === "" ? name : `${parent}/${name}`,
  type: "file",
  linkName: "",
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  major: 0,
  minor: 0,
});

/**
 * The state that a layer's entries make of `lower`, each directory before what is in it. Whiteouts hide what is below,
 * never what the same layer has, in whichever order it comes; of two entries with one name the last counts.
 * @throws TypeError for texts that are not well-formed
 */
export const applyLayer = (lower: FileState[], layer: FileState[]): FileState[] =>
  withTable((table) => appliedIn(table, lower, layer));

function appliedIn(table: Table, lower: FileState[], layer: FileState[]): FileState[] {
  const own = layer.map((entry) => ({ ...entry, name: plainPath(entry.name) }));
  const [before, all] = [table.put(lower, true), table.put(own, true)];
  const [entries, marks] = [table.take(all.count * RECORD_BYTES), table.take(all.count * RECORD_BYTES * 2)];
  const out = table.take((lower.length + layer.length) * 4);
  const { wasm } = table;
  wasm.splitWhiteouts(all.at, all.count, entries, marks);
  const [entryCount, markCount] = [wasm.firstCount.value as number, wasm.secondCount.value as number];
  wasm.sortRecords(marks, markCount, true);
  wasm.applyStates(before.at, before.count, entries, entryCount, marks, markCount, out);
  return Array.from(table.numbers(out, wasm.firstCount), (number) =>
    number & FLAG ? (own[number & ~FLAG] as FileState) : (lower[number] as FileState),
  );
}

/** The directory's path, empty at the top, and the name in it. */
function split(path: string): [parent: string, name: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
}

/** Without the `./` and the slashes that archives have at the ends. */
export function plainPath(name: string): string {
  let [start, end] = [0, name.length];
  while (name[start] === "/" || (name[start] === "." && (name[start + 1] ?? "/") === "/")) start++;
  while (end > start && (name[end - 1] === "/" || (name[end - 1] === "." && name[end - 2] === "/"))) end--;
  return name.slice(start, end);
}
