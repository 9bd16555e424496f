/** The directory that all is kept in. @module */
import { Directory, effectiveUid, realPath, show } from "../../syscalls/index.ts";
import { unavailable } from "./failure.ts";

const PRIVATE = 0o700;

/**
 * Makes it where there is none, unless it is only to be read.
 * @throws TsboxError `store_unavailable`: also where it is another user's, who could put anything there
 */
export function openRoot(path: string, isReadOnly: boolean): Directory {
  // where it is may be a symlink, somebody's own choice; what lies in it may not
  let root = Directory.open(path) ?? Directory.open(realPath(path) ?? path);
  if (!root && !isReadOnly) {
    Directory.make(path, PRIVATE);
    root = Directory.open(path);
  }
  if (!root) throw unavailable(`open the store ${show(path)}`, isReadOnly ? "there is none" : "it is no directory");
  const owner = root.status()?.uid;
  const self = effectiveUid();
  if (isReadOnly || owner === self || owner === 0) return root;
  root[Symbol.dispose]();
  throw unavailable(`open the store ${show(path)}`, `it belongs to the user ${owner}, and this is ${self}`);
}
