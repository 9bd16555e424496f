/**
 * What of a store is needed: all that the entries of `index.json` lead to. Asked of the layout itself, as other tools
 * change it, too.
 * @module
 */
import {
  chainIds,
  hexOf,
  isDigest,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  parseImageConfig,
  type Digest,
} from "../image/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { readBlob } from "./blobs.ts";
import type { IndexEntry } from "./index-file.ts";
import type { StoreRoot } from "./root.ts";

export interface Needed {
  blobs: Set<Digest>;
  /** Hexadecimal digits of chainIds, as their directories begin. */
  layers: Set<string>;
  /** Those of them that are the top of an image. */
  tops: Set<string>;
  /** Of the blobs, those that are there and cannot be read: what they lead to is not known. */
  damaged: Set<Digest>;
}

/** Manifests in indexes in indexes. */
const MAX_DEPTH = 8;
/** Those that descriptors stand in; an artifact's manifest, and that of a signature, too. */
const LISTS = ["manifests", "layers", "blobs"];
const SINGLES = ["config", "subject"];

interface Leads {
  digest: Digest;
  mediaType: string;
}

export function neededBy(root: StoreRoot, entries: readonly IndexEntry[]): Needed {
  const needed: Needed = { blobs: new Set(), layers: new Set(), tops: new Set(), damaged: new Set() };
  for (const { descriptor } of entries) if (descriptor) mark(root, descriptor, needed, 0);
  return needed;
}

function mark(root: StoreRoot, { digest, mediaType }: Leads, needed: Needed, depth: number): void {
  if (needed.blobs.has(digest) && depth > 0) return;
  needed.blobs.add(digest);
  if (!/json$|manifest|index|list/.test(mediaType) || depth > MAX_DEPTH) return;
  const value = fieldsOf(root, digest, needed);
  if (!value) return;
  const config = leadOf(value["config"]);
  const chain = config ? chainOf(root, config.digest, needed) : [];
  for (const hex of chain) needed.layers.add(hex);
  for (const hex of chain.slice(-1)) needed.tops.add(hex);
  const lists = LISTS.map((name) => value[name]).filter(Array.isArray);
  for (const each of [...SINGLES.map((name) => value[name]), ...lists.flat()]) {
    const lead = leadOf(each);
    if (lead) mark(root, lead, needed, depth + 1);
  }
}

/** Undefined where it is missing, or no JSON: it leads to nothing. */
function fieldsOf(root: StoreRoot, digest: Digest, needed: Needed): Record<string, unknown> | undefined {
  const bytes = tryRead(root, digest, MAX_MANIFEST_BYTES, needed);
  try {
    return bytes && (Object(JSON.parse(new TextDecoder().decode(bytes))) as Record<string, unknown>);
  } catch {
    return undefined;
  }
}

function tryRead(root: StoreRoot, digest: Digest, maxBytes: number, { damaged }: Needed): Uint8Array | undefined {
  try {
    return readBlob(root, digest, maxBytes);
  } catch (error) {
    if (!(error instanceof TsboxError)) throw error;
    if (error.code !== "image_not_found") damaged.add(digest);
    return undefined;
  }
}

function leadOf(value: unknown): Leads | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { digest, mediaType } = value as Record<string, unknown>;
  return isDigest(digest) && typeof mediaType === "string" ? { digest, mediaType } : undefined;
}

function chainOf(root: StoreRoot, config: Digest, needed: Needed): string[] {
  const bytes = tryRead(root, config, MAX_CONFIG_BYTES, needed);
  try {
    return bytes ? chainIds(parseImageConfig(bytes).rootfs.diff_ids).map(hexOf) : [];
  } catch {
    return [];
  }
}
