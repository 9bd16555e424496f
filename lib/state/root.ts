/** The directory that all is kept in. @module */
import { Directory, effectiveUid, realPath, show } from "../../syscalls/index.ts";
import { unavailable } from "./failure.ts";

const PRIVATE = 0o700;

/**
 * @param how made where there is none, or to be there, or only to be read
 * @throws TsboxError `store_unavailable`: also where it is another user's, who could put anything there
 */
export function openRoot(path: string, how: "make" | "there" | "read"): Directory {
  // where it is may be a symlink, somebody's own choice; what lies in it may not
  let root = Directory.open(path) ?? Directory.open(realPath(path) ?? path);
  if (!root && how === "make") {
    Directory.make(path, PRIVATE);
    root = Directory.open(path);
  }
  if (!root) throw unavailable(`open the store ${show(path)}`, how === "make" ? "it is no directory" : "there is none");
  const owner = root.status()?.uid;
  const self = effectiveUid();
  if (how === "read" || owner === self || owner === 0) return root;
  root[Symbol.dispose]();
  throw unavailable(`open the store ${show(path)}`, `it belongs to the user ${owner}, and this is ${self}`);
}
