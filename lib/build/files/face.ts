/** Files for COPY and ADD: where they come from, which ones, and where they go. @module */
import type { Ignore } from "../../dockerfile/index.ts";
import type { IdMaps, SortedArchive } from "../../layer/index.ts";

/** Directories that lie over each other, the topmost first: one for a build context, several for a stage or an image. */
export interface FileTree {
  /** Absolute paths. */
  layers: readonly string[];
  /** Which ids on the disk are which ones of the image; undefined: the same. */
  ids?: IdMaps;
  /** What `.dockerignore` leaves out, by paths from the root: never looked at. */
  ignore?: Pick<Ignore, "isIgnored" | "isIgnoredWhole">;
  /** Of a build context: owners do not count, all is root's. */
  isContext: boolean;
}

export interface SelectOptions {
  /** As written, variables expanded: globs, relative to the tree's root. */
  sources: readonly string[];
  exclude?: readonly string[];
  parents?: boolean;
}

/** What the sources came to. */
export interface Selection {
  tree: FileTree;
  /** Hex sha256 over names, types, modes, contents (and owners, where they count); not times. */
  digest(): Promise<string>;
  isEmpty: boolean;
}

export interface CopyOptions {
  /** Absolute, or relative to `workingDirectory`; a trailing slash counts. */
  destination: string;
  workingDirectory: string;
  /** `"user:group"`, by name looked up in the target, or numbers. */
  chown?: string;
  chmod?: string;
  /** Local archives are unpacked there. */
  unpack?: boolean;
  /** COPY --link: nothing of the target counts, its symlinks neither. */
  link?: boolean;
  /** Seconds: no file is newer (SOURCE_DATE_EPOCH). */
  latest?: number;
  signal?: AbortSignal;
}

export interface Copied {
  /** False: something was changed between {@link Selection.digest} and now, and what was copied is not what that says. */
  isSame: boolean;
}

/** Where files go: an overlay's upper directory, over the layers below it. */
export interface CopyTarget {
  /** The topmost layer first; without the upper directory. None is fine. */
  lower: FileTree;
  /** Empty, or with what was written before. */
  upper: string;
  /** Takes all that is written, unless something else has been written there before. */
  archive?: SortedArchive;
}

/** What is made by `lib/build/files/index.ts`. */
export interface Files {
  /** @throws TsboxError naming a source that is not there, or leads out */
  select(tree: FileTree, options: SelectOptions): Promise<Selection>;
  /** What a path leads to, by symlinks in the tree. */
  kindIn(tree: FileTree, path: string): Promise<"file" | "directory" | undefined>;
  copy(selection: Selection, target: CopyTarget, options: CopyOptions): Promise<Copied>;
  /** Here-documents; without any, the directory is made where there is none. */
  write(
    files: readonly { name: string; content: Uint8Array }[],
    target: CopyTarget,
    options: CopyOptions,
  ): Promise<void>;
}
