/** Files of a tree, given to another owner. @module */
import { close, giveTree, O_PATH, open, Walker } from "../../syscalls/index.ts";
import type { IdMaps } from "./attributes.ts";
import { rightsFor } from "./rights.ts";

const NOTHING_WALKED = { failed: ({ at }: { at: number }) => at, reached() {} };

/**
 * @param uid as it is on the disk, or, with `ids`, as it is in their user namespace
 * @throws TsboxError where one may not be given away
 */
export function changeOwners(directory: string, uid: number, gid: number, ids?: IdMaps): void {
  const top = open(directory, O_PATH);
  try {
    if (!ids) return giveTree(top, uid, gid);
    const rights = rightsFor(ids);
    using walker = new Walker<never>([top], NOTHING_WALKED, rights.namespaces);
    rights.assume(walker);
    giveTree(top, uid, gid, (call, ...args) => walker.single(call, ...args));
  } finally {
    close(top);
  }
}
