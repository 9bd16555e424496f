/** Layers that the cache of builds has, whether an image has them or not: they go with the cache. @module */
import { hexOf, isDigest, type Digest } from "../image/index.ts";
import { storing } from "./failure.ts";
import type { StoreRoot } from "./root.ts";

/** The database of that cache, in the store's directory. */
export const BUILD_CACHE = "build.db";

export interface Kept {
  blobs: ReadonlySet<Digest>;
  /** Hexadecimal digits of chainIds. */
  layers: ReadonlySet<string>;
}

const NOTHING: Kept = { blobs: new Set(), layers: new Set() };

export function keptByBuilds({ root, path }: StoreRoot): Kept {
  if (storing(() => root.status(BUILD_CACHE))?.kind !== "file") return NOTHING;
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  const database = new DatabaseSync(`${path}/${BUILD_CACHE}`, { readOnly: true });
  try {
    const rows = database.prepare("SELECT digest, chain_id FROM steps WHERE digest IS NOT NULL").all();
    return {
      blobs: new Set(rows.map(({ digest }) => digest).filter(isDigest)),
      layers: new Set(rows.flatMap(({ chain_id }) => (isDigest(chain_id) ? [hexOf(chain_id)] : []))),
    };
  } catch {
    // damaged, or being made: what is only cached can be made again
    return NOTHING;
  } finally {
    database.close();
  }
}
