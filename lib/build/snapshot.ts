/** Filesystems between steps: layers of the store that lie on each other, and what becomes one more. @module */
import { chainIds, type Digest } from "../image/index.ts";
import { packLayers, unpackLayer, type IdMaps } from "../layer/index.ts";
import type { Store } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { Layer } from "./cache.ts";
import type { Archived, NewLayer } from "./new-layer.ts";

/** The lowest first. */
export type Snapshot = readonly Layer[];

export const EMPTY: Snapshot = [];
export const chainIdOf = (snapshot: Snapshot): Digest | undefined => snapshot.at(-1)?.chainId;

/** What a build keeps its layers in, and with whose ids. */
export interface Place {
  store: Store;
  ids: IdMaps | undefined;
  /** Layers that are known to be there, and to stay, by their chainIds. */
  held: Set<Digest>;
}

/** Lower directories, top first. @throws TsboxError where somebody has taken one away */
export function lowersOf({ store, ids }: Omit<Place, "held">, snapshot: Snapshot): string[] {
  const lowers = store.lowersOf(
    snapshot.map(({ chainId }) => chainId),
    ids,
  );
  if (lowers) return lowers;
  throw new TsboxError("build: a layer is not in the store any more", { code: "image_not_found", hint: "build again" });
}

/** Nobody takes its layers away as long as the store is held. @returns whether all are there */
export function hold({ store, ids, held }: Place, snapshot: Snapshot): boolean {
  const added = snapshot.filter(({ chainId }) => !held.has(chainId));
  if (added.length === 0) return true;
  store.relyOnLayers(
    added.map(({ chainId }) => chainId),
    added.map(({ descriptor }) => descriptor.digest),
    ids,
  );
  const isThere = ({ chainId, descriptor: { digest } }: Layer) =>
    store.findLayer(chainId, ids) !== undefined && store.hasBlob(digest);
  if (!added.every(isThere)) return false;
  for (const { chainId } of added) held.add(chainId);
  return true;
}

export interface Committed {
  layer: Layer | undefined;
  /** Of its tar. */
  bytes: number;
}

export interface CommitOptions {
  signal: AbortSignal;
  /** Seconds: no file of the layer is newer. */
  epoch: number | undefined;
}

/** What lies in an overlay's upper directory becomes a layer, and is not there afterwards; nothing is none. */
export async function commitUpper(
  place: Place,
  below: Snapshot,
  layer: NewLayer,
  options: CommitOptions,
): Promise<Committed> {
  const archived = layer.archived();
  if (!archived) return commit(place, below, [layer.upper], options);
  return keep(place, below, { ...archived, upper: layer.upper }, options.signal);
}

/** Upper directories that lie on each other, the topmost first, become one layer more, and stay. */
export function commitMerged(
  place: Place,
  below: Snapshot,
  uppers: readonly string[],
  options: CommitOptions,
): Promise<Committed> {
  return commit(place, below, uppers, { ...options, stay: true });
}

async function commit(
  place: Place,
  below: Snapshot,
  uppers: readonly string[],
  { signal, epoch, stay = false }: CommitOptions & { stay?: boolean },
): Promise<Committed> {
  const { store, ids } = place;
  using ingest = store.ingestUnknown();
  const packed = await packLayers(uppers, (bytes) => ingest.write(bytes), {
    signal,
    ...(ids ? { ids } : {}),
    ...(epoch === undefined ? {} : { sourceDateEpoch: epoch }),
  });
  if (packed.entries === 0) return { layer: undefined, bytes: 0 };
  // times that the archive does not have would be seen by the next step
  const isSame = epoch === undefined && !stay;
  return await keep(place, below, { packed, ingest, upper: isSame ? uppers[0] : undefined }, signal);
}

/** @param upper undefined: the archive is unpacked */
async function keep(
  place: Place,
  below: Snapshot,
  { packed, ingest, upper }: Archived & { upper: string | undefined },
  signal: AbortSignal,
): Promise<Committed> {
  const { digest, size } = await ingest.commit();
  const { diffId, bytes } = packed;
  const chainId = chainIds([...below.map((layer) => layer.diffId), diffId]).at(-1) as Digest;
  const { layerDescriptor } = await import("../images/index.ts");
  const layer: Layer = { diffId, chainId, descriptor: layerDescriptor(digest, size, "none") };
  await keepLayer(place, below, layer, upper, packed, signal);
  place.held.add(chainId);
  return { layer, bytes };
}

/** Makes the directory the layer's; without one, its blob is unpacked. */
async function keepLayer(
  { store, ids }: Place,
  below: Snapshot,
  { diffId, chainId, descriptor: { digest, size } }: Layer,
  upper: string | undefined,
  { bytes, entries }: { bytes: number; entries: number },
  signal: AbortSignal,
): Promise<void> {
  const pending = await store.prepareLayer(chainId, { signal, ...(ids ? { ids } : {}) });
  if (!pending.isPending) return;
  using layer = pending;
  if (upper === undefined) {
    const pieces = store.openBlob(digest, { verify: false });
    await unpackLayer({ pieces, compression: "none", digest, sizeBytes: size, diffId }, layer.fs, { ids, signal });
  } else process.getBuiltinModule("node:fs").renameSync(upper, layer.fs);
  const parent = chainIdOf(below);
  layer.commit({ diffId, digest, bytes, entries, ...(parent ? { parent } : {}) });
}
