/** Two states of a directory in, the layer between them out. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { byPath, OPAQUE, split, WHITEOUT_PREFIX, type FileState } from "./state.ts";

export interface DiffOptions {
  /** One opaque whiteout for a directory that has lost all it had, where the specification prefers one for each. */
  opaque?: boolean;
}

const WHITEOUT: Omit<FileState, "name"> = {
  type: "file",
  linkName: "",
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  major: 0,
  minor: 0,
};

/**
 * The entries of a layer that makes `upper` of `lower`, each directory before what is in it, whiteouts before files.
 * @throws TsboxError `archive_refused` for a name that layers keep for whiteouts
 */
export function diffStates(lower: FileState[], upper: FileState[], { opaque = false }: DiffOptions = {}): FileState[] {
  const before = new Map(lower.map((file) => [file.name, file]));
  const after = new Map(upper.map((file) => [file.name, file]));
  const isDirectory = (files: Map<string, FileState>, path: string) =>
    path === "" || files.get(path)?.type === "directory";
  const changed = upper.filter((file) => {
    if (split(file.name)[1].startsWith(WHITEOUT_PREFIX))
      throw new TsboxError(`make a layer: "${file.name}" has a name that means a whiteout`, {
        code: "archive_refused",
      });
    const old = before.get(file.name);
    return !old || isChanged(old, file);
  });
  // what was in a directory that is gone, or is a file now, goes with it
  const gone = lower.filter(({ name }) => !after.has(name) && isDirectory(after, split(name)[0]));
  if (!opaque)
    return ordered(
      gone.map(({ name }) => whiteout(name)),
      changed,
    );
  const kept = new Set(lower.filter(({ name }) => after.has(name)).map(({ name }) => split(name)[0]));
  const names = gone.map(({ name }) => {
    const [parent] = split(name);
    return kept.has(parent) || parent === "" ? whiteout(name) : { ...WHITEOUT, name: `${parent}/${OPAQUE}` };
  });
  return ordered([...new Map(names.map((file) => [file.name, file])).values()], changed);
}

function whiteout(path: string): FileState {
  const [parent, name] = split(path);
  return { ...WHITEOUT, name: `${parent === "" ? "" : `${parent}/`}${WHITEOUT_PREFIX}${name}` };
}

const ordered = (whiteouts: FileState[], changed: FileState[]): FileState[] => [
  ...whiteouts.toSorted(byPath),
  ...changed.toSorted(byPath),
];

function isChanged(old: FileState, file: FileState): boolean {
  if (old.type !== file.type || old.mode !== file.mode || old.uid !== file.uid || old.gid !== file.gid) return true;
  if (old.linkName !== file.linkName || old.major !== file.major || old.minor !== file.minor) return true;
  if (!sameXattrs(old.xattrs, file.xattrs)) return true;
  if (file.type === "file" && old.size !== file.size) return true;
  if (old.digest !== undefined && file.digest !== undefined && old.digest !== file.digest) return true;
  return old.mtime.seconds !== file.mtime.seconds || old.mtime.nanoseconds !== file.mtime.nanoseconds;
}

function sameXattrs(old: FileState["xattrs"], now: FileState["xattrs"]): boolean {
  if ((old?.size ?? 0) !== (now?.size ?? 0)) return false;
  for (const [key, value] of now ?? []) {
    const other = old?.get(key);
    if (other?.length !== value.length || other.some((byte, at) => byte !== value[at])) return false;
  }
  return true;
}
