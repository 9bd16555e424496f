/**
 * What files, and groups of them, were found to be, by what the kernel says of them: device, inode, size, time of change.
 * Nothing that is the same by that is read again. Kept in the store, a file for each tree; whoever writes last has it,
 * and what is lost is only read once more.
 * @module
 */
import { Directory, TsboxError } from "../../../syscalls/index.ts";
import { digestOf, hexOf } from "../../image/index.ts";
import type { FileTree } from "./face.ts";

/** A change within so long after another may have the same time: of files that are as young nothing is kept. */
const YOUNG_MS = 2000;
const LIMIT_BYTES = 512 * 2 ** 20;
const HEADER = "tsbox hashes 2";
const HEX = /^[0-9a-f]{64}$/;

export class Hashes {
  readonly #directory: string | undefined;
  readonly #name: string;
  #known: Map<string, string> | undefined;
  readonly #used = new Map<string, string>();
  #isChanged = false;
  /** Before anything was looked at. */
  readonly #beganMs = Date.now();

  /**
   * @param directory made when it is needed; undefined: nothing is kept
   * @param of what it is that has the stamps
   */
  constructor(directory: string | undefined, { layers, ids, isContext }: FileTree, of: "files" | "groups") {
    this.#directory = directory;
    const tree = [isContext ? "context" : "layers", JSON.stringify(ids ?? null), ...layers].join("\0");
    this.#name = `${hexOf(digestOf(tree)).slice(0, 32)}-${of}`;
  }

  find(stamp: string): string | undefined {
    this.#known ??= this.#read();
    const hash = this.#known.get(stamp);
    if (hash !== undefined) this.#used.set(stamp, hash);
    return hash;
  }

  /** @param changed when it was, in seconds since 1970 */
  add(stamp: string, hash: string, changed: number): void {
    if (this.#directory === undefined || changed * 1000 > this.#beganMs - YOUNG_MS) return;
    this.#used.set(stamp, hash);
    this.#isChanged = true;
  }

  #read(): Map<string, string> {
    const known = new Map<string, string>();
    using directory = this.#directory === undefined ? undefined : Directory.open(this.#directory);
    let bytes: Uint8Array | undefined;
    try {
      bytes = directory?.read(this.#name, LIMIT_BYTES);
    } catch (error) {
      if (!(error instanceof TsboxError)) throw error;
    }
    const lines = new TextDecoder().decode(bytes).split("\n");
    if (lines[0] !== HEADER) return known;
    for (const line of lines) {
      const space = line.indexOf(" ");
      const hash = line.slice(0, space);
      if (HEX.test(hash)) known.set(line.slice(space + 1), hash);
    }
    return known;
  }

  /**
   * Of all that was asked for; what was not is forgotten where there is much of it.
   * @param others that would have been asked for
   */
  keep(others = 0): void {
    if (!this.#isChanged || this.#directory === undefined) return;
    const known = this.#known ?? new Map<string, string>();
    const kept = known.size > 4 * (this.#used.size + others) + 10_000 ? this.#used : new Map([...known, ...this.#used]);
    const lines = [HEADER];
    for (const [stamp, hash] of kept) lines.push(`${hash} ${stamp}`);
    try {
      Directory.make(this.#directory, 0o700);
      using directory = Directory.open(this.#directory);
      directory?.replace(this.#name, new TextEncoder().encode(`${lines.join("\n")}\n`));
      this.#isChanged = false;
    } catch (error) {
      // a full disk, a store that is only read: it will be read again
      if (!(error instanceof TsboxError)) throw error;
    }
  }
}
