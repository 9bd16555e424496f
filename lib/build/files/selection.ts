/** What the sources of a COPY came to, and what that is called: its digest. @module */
import { TsboxError, turns } from "../../../syscalls/index.ts";
import { excluding, type Ignore } from "../../dockerfile/index.ts";
import type { FileTree, Selection, SelectOptions } from "./face.ts";
import { Hashes } from "./hashes.ts";
import { Hashing } from "./hashing.ts";
import { split, textOf } from "./names.ts";
import { OpenTree } from "./open-tree.ts";
import type { Recorded } from "./recorded.ts";
import { matchesOf, type Match } from "./sources.ts";
import { walk, type Filter, type Part } from "./walk.ts";

export class SelectedFiles implements Selection {
  readonly tree: FileTree;
  readonly matches: readonly Match[];
  readonly #exclude: Ignore | undefined;
  readonly #hashes: string | undefined;
  /** What all of it was when it was hashed. */
  #stamps: ReadonlyMap<string, string> | undefined;
  #recorded: Recorded[][] | undefined;
  #digest: Promise<string> | undefined;

  /**
   * @param hashes where it is kept what files were
   * @throws TsboxError `file_not_found`, `file_refused`, `invalid_option`
   */
  constructor(files: FileTree, options: SelectOptions, hashes?: string) {
    this.tree = files;
    this.#hashes = hashes;
    const { exclude = [] } = options;
    this.#exclude = exclude.length > 0 ? excluding(exclude) : undefined;
    using open = new OpenTree(files);
    this.matches = matchesOf(open.tree, files, options).filter((match) => match.pending || !this.#excludes(match));
  }

  get isEmpty(): boolean {
    return this.matches.length === 0;
  }

  /** One that was named itself, by that name or the whole path. */
  #excludes({ path, name }: Match): boolean {
    const exclude = this.#exclude;
    return exclude !== undefined && [name, path].some((each) => exclude.isIgnored(textOf(each)));
  }

  /** What directories and groups of files were, by their paths; undefined where nobody has asked for its digest. */
  get stamps(): ReadonlyMap<string, string> | undefined {
    return this.#stamps;
  }

  /** What has been read for the digest, of each source; once. */
  takeRecorded(): Recorded[][] | undefined {
    const recorded = this.#recorded;
    this.#recorded = undefined;
    return recorded;
  }

  /** A directory's parts; those of a file are of the directory that it is in. */
  *parts(open: OpenTree, match: Match): Generator<Part, void> {
    const { ignore } = this.tree;
    const { pending, others } = match;
    const excluded = [this.#exclude, others].filter((each) => each !== undefined);
    const filter: Filter = { ...(ignore ? { ignore } : {}), excluded };
    if (pending) return yield* walk(open.tree, pending, filter);
    const [above, name] = split(match.path);
    const layer = match.found.layers[0] as number;
    const level = open.tree.enter({ path: above, layers: [layer] });
    if (!level) return;
    try {
      const names = level.names.filter((each) => each.name === name);
      yield { kind: "files", path: "", level, names };
    } finally {
      open.tree.leave(level);
    }
  }

  digest(): Promise<string> {
    return (this.#digest ??= explained(this.tree, () => this.#computed()));
  }

  async #computed(): Promise<string> {
    using open = new OpenTree(this.tree);
    const files = new Hashes(this.#hashes, this.tree, "files");
    const groups = new Hashes(this.#hashes, this.tree, "groups");
    const hashing = new Hashing(open, { files, groups });
    const turn = turns();
    for (const match of this.matches) {
      hashing.begin(match);
      for (const part of this.parts(open, match)) {
        for (const _ of hashing.take(part)) await turn();
        await turn();
      }
    }
    this.#stamps = hashing.stamps;
    this.#recorded = hashing.recorded;
    return hashing.end();
  }
}

const EACCES = 13;

/** What may not be read, and what can be done about that. */
export async function explained<T>({ isContext }: FileTree, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isContext || !(error instanceof TsboxError) || error.errno !== EACCES) throw error;
    const { message, errno } = error;
    throw new TsboxError(message, {
      code: "permission_denied",
      errno,
      hint: "whoever builds has to be able to read it; .dockerignore leaves it out",
      cause: error,
    });
  }
}
