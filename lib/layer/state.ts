/**
 * A state of a directory: what a tar index or a walk knows of its files.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
import type { TarRecord } from "../../wasm/index.ts";

/** A file by its path in the directory: no slash at its ends, no `.` or `..` in it. */
export interface FileState extends Omit<TarRecord, "nameBytes" | "linkNameBytes" | "segments"> {
  /** Of the content, where it is known on both sides; otherwise size and mtime tell a change, as in Docker. */
  digest?: string;
}

/** `.wh.NAME`: NAME of the layers below is gone. */
export const WHITEOUT_PREFIX = ".wh.";
/** In a directory: all that the layers below have in it is gone. */
export const OPAQUE = ".wh..wh..opq";

/** The directory's path, empty at the top, and the name in it. */
export function split(path: string): [parent: string, name: string] {
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

/** Each directory before what is in it: a slash comes before any other character. */
export function byPath(a: { name: string }, b: { name: string }): number {
  const [left, right] = [a.name.replaceAll("/", "\0"), b.name.replaceAll("/", "\0")];
  return left < right ? -1 : left > right ? 1 : 0;
}
