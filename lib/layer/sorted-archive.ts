/**
 * The archive of a layer, made while its files are written: what comes in the order of {@link packLayer} need not be
 * read again for it. It is the same to the byte, or none: who writes in another order, or what only the file system can
 * tell (holes, attributes, several names), has to be packed afterwards.
 * @module
 */
import { Digester } from "../image/index.ts";
import { tarEnd, tarHeader, type TarHeader } from "../tar/index.ts";
import { bytesOfName } from "./names.ts";
import type { Packed } from "./pack.ts";

const BUFFER_BYTES = 1024 * 1024;
const BLOCK_BYTES = 512;
/** Of what every file system keeps. */
const MAX_SECONDS = 2 ** 31;
const KINDS = new Set<TarHeader["type"]>(["file", "directory", "symlink"]);

export type WrittenHeader = Omit<TarHeader, "name" | "linkName"> & { linkName: string };

export class SortedArchive {
  readonly #sink: (bytes: Uint8Array) => void;
  readonly #digester = new Digester();
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #filled = 0;
  #bytes = 0;
  #entries = 0;
  #isWhole = true;
  /** The directory of the last entry, and its name in it; a directory's own name is "". */
  #last = { above: [] as string[], text: "", name: "" };
  /** A directory of which more may be said, as long as nothing follows. */
  #directory: TarHeader | undefined;
  /** Bytes that the last file is to have still, and those behind them. */
  #left = 0;
  #offset = 0;
  #padding = 0;

  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** It will be none. */
  giveUp(): void {
    this.#isWhole = false;
  }

  /** @param path without a slash at its end, names as {@link bytesOfName} understands them */
  begin(path: string, header: WrittenHeader): void {
    if (!this.#isWhole) return;
    this.#endFile();
    const { type, mode, uid, gid, mtime, linkName, xattrs } = header;
    const isPlain = KINDS.has(type) && !xattrs && mtime.seconds >= 0 && mtime.seconds < MAX_SECONDS;
    const isDirectory = type === "directory";
    const isAgain = isDirectory && this.#directory !== undefined && path === this.#last.text;
    if (!isPlain || !(isAgain || this.#follows(path, isDirectory))) return this.giveUp();
    if (!isAgain) this.#endDirectory();
    const size = type === "file" ? header.size : 0;
    const name = bytesOfName(isDirectory ? `${path}/` : path);
    const told = { name, type, mode, uid, gid, size, mtime, linkName: bytesOfName(linkName) };
    if (isDirectory) {
      this.#directory = told;
      return;
    }
    this.#put(told);
    this.#left = size;
    this.#offset = 0;
    this.#padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
  }

  /** Of the file that was begun last. */
  data(bytes: Uint8Array, offset: number): void {
    if (!this.#isWhole) return;
    // holes are for who knows how long they may be
    if (offset !== this.#offset) return this.giveUp();
    this.#write(bytes);
    this.#offset += bytes.length;
    this.#left -= bytes.length;
  }

  /** What it is, and all of it is written; undefined where it is none. */
  end(): Packed | undefined {
    this.#endFile();
    this.#endDirectory();
    if (!this.#isWhole) return undefined;
    this.#write(tarEnd());
    this.#flush();
    return { diffId: this.#digester.digest(), bytes: this.#bytes, entries: this.#entries };
  }

  #endFile(): void {
    if (this.#left !== 0) this.giveUp();
    else this.#zeros(this.#padding);
    this.#padding = 0;
  }

  #endDirectory(): void {
    const directory = this.#directory;
    this.#directory = undefined;
    if (directory) this.#put(directory);
  }

  /** Files of a directory come before the directories in it; both by their names. */
  #follows(path: string, isDirectory: boolean): boolean {
    const { above, text, name } = this.#last;
    const slash = path.lastIndexOf("/");
    const isBeside = !isDirectory && path.startsWith(text) && slash === (text === "" ? -1 : text.length);
    if (isBeside) {
      const own = ordered(path.slice(slash + 1));
      this.#last.name = own;
      return own > name;
    }
    const parts = path.split("/");
    const file = isDirectory ? "" : ordered(parts.pop() as string);
    const ways = parts.map(ordered);
    this.#last = { above: ways, text: parts.join("/"), name: file };
    const at = ways.findIndex((part, index) => part !== above[index]);
    // a directory on the way to what was last has had all its files
    if (at < 0) return false;
    // and all above the first other one are known
    if (at !== ways.length - 1 || !isDirectory) return false;
    const before = above[at];
    return before === undefined || (ways[at] as string) > before;
  }

  #put(header: TarHeader): void {
    this.#entries++;
    this.#write(tarHeader(header));
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#filled === BUFFER_BYTES) this.#flush();
      const part =
        at === 0 && bytes.length <= BUFFER_BYTES - this.#filled
          ? bytes
          : bytes.subarray(at, at + BUFFER_BYTES - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
    }
  }

  #zeros(count: number): void {
    if (count > BUFFER_BYTES - this.#filled) this.#flush();
    this.#buffer.fill(0, this.#filled, this.#filled + count);
    this.#filled += count;
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#filled);
    this.#digester.update(bytes);
    this.#sink(bytes);
    this.#bytes += bytes.length;
    this.#filled = 0;
  }
}

const ASCII = /^[\x00-\x7f]*$/;

/** Compares as the bytes do. */
const ordered = (name: string): string => (ASCII.test(name) ? name : Buffer.from(bytesOfName(name)).toString("latin1"));
