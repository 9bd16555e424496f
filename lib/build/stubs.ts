/**
 * What was only made for something to be mounted on: it is no part of what a command has written. What a command has
 * made may be hostile, so no symlink is followed.
 * @module
 */
import { close, Directory, type EntryStatus } from "../../syscalls/index.ts";

/** @param lowers top first @param targets absolute paths that something was mounted on */
export function removeStubs(upper: string, lowers: readonly string[], targets: readonly string[]): void {
  // the deepest first
  for (const target of targets.toSorted((a, b) => b.length - a.length)) removeStub(upper, lowers, partsOf(target));
}

const partsOf = (path: string): string[] => path.split("/").filter((part) => part !== "");

/** From the target up, as long as there is nothing in what is left. */
function removeStub(upper: string, lowers: readonly string[], path: string[]): void {
  for (let length = path.length; length > 0; length--) {
    const parts = path.slice(0, length);
    const name = parts.pop() as string;
    using parent = directoryAt(upper, parts);
    const status = parent?.status(name);
    if (!parent || !status || !isEmpty(parent, name, status, length === path.length)) return;
    const below = lowers.map((lower) => statusIn(lower, parts, name)).find((found) => found !== undefined);
    if (below && !isSame(parent, name, status, below)) return;
    const result = status.kind === "directory" ? parent.removeDirectory(name) : remove(parent, name);
    if (result < 0) return;
  }
}

function remove(parent: Directory, name: string): number {
  parent.remove(name);
  return 0;
}

function isEmpty(parent: Directory, name: string, { kind, sizeBytes }: EntryStatus, isTarget: boolean): boolean {
  if (kind === "file") return isTarget && sizeBytes === 0;
  if (kind !== "directory") return false;
  using directory = tried(() => parent.directory(name));
  return directory !== undefined && directory.names().length === 0;
}

/** It is what is below, copied up because something was made in it. */
function isSame(parent: Directory, name: string, now: EntryStatus, before: EntryStatus): boolean {
  if (now.kind !== "directory" || before.kind !== "directory") return false;
  using directory = parent.directory(name);
  const isOpaque = directory?.attribute("user.overlay.opaque") === "y";
  return !isOpaque && now.mode === before.mode && now.uid === before.uid;
}

function statusIn(root: string, parts: readonly string[], name: string): EntryStatus | undefined {
  using parent = directoryAt(root, parts);
  return parent?.status(name);
}

function directoryAt(root: string, parts: readonly string[]): Directory | undefined {
  let directory = tried(() => Directory.open(root));
  for (const part of parts) {
    const above = directory;
    directory = above && tried(() => above.directory(part));
    if (above) close(above.fd);
  }
  return directory;
}

/** Directories of other ids may not be opened: what is in them is not looked at. */
function tried<T>(open: () => T | undefined): T | undefined {
  try {
    return open();
  } catch {
    return undefined;
  }
}
