/** What the images of containers are called by now. @module */
import { Store, type StoredImage } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

/** Undefined where there is none, or one that cannot be read. @throws TsboxError `store_unavailable` */
export function findQuietly(store: Store, wanted: string): StoredImage | undefined {
  try {
    return store.findImage(wanted);
  } catch (error) {
    if (error instanceof TsboxError && error.code !== "store_unavailable") return undefined;
    throw error;
  }
}

/** Ids of those whose image has lost the name that they were made by: it leads to another one, or to none. */
export function withoutName(home: Home, records: readonly ContainerRecord[]): Set<string> {
  const ids = new Set<string>();
  if (!records.some(({ image }) => image)) return ids;
  using store = Store.open({ root: home.root, readOnly: true });
  const known = new Map<string, StoredImage | undefined>();
  for (const { id, image } of records) {
    if (!image) continue;
    const { reference, digest } = image;
    if (!known.has(reference)) known.set(reference, findQuietly(store, reference));
    const now = known.get(reference);
    // of another platform it may be what the same index leads to
    if (now?.id !== image.id && now?.descriptor.digest !== digest && now?.manifestDigest !== digest) ids.add(id);
  }
  return ids;
}
