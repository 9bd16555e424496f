/** Removal of files that belong to ids of a user namespace: as its root, who may do what their owners may. @module */
import { removal, Walker, type Directory } from "../../syscalls/index.ts";
import type { IdMaps } from "./attributes.ts";
import { rightsFor } from "./rights.ts";

const NOTHING_WALKED = { failed: ({ at }: { at: number }) => at, reached() {} };

/** Removes a directory with all that lies in it. @throws TsboxError where some of it stays, or the ids may not be had */
export function removeTreeAs(ids: IdMaps, parent: Directory, name: string): void {
  const rights = rightsFor(ids);
  using walker = new Walker<never>([parent.fd], NOTHING_WALKED, rights.namespaces);
  rights.assume(walker);
  for (const _ of removal(parent, name, (call, ...args) => walker.single(call, ...args)));
}
