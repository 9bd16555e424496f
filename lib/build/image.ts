/** The image that a build makes: its config, its history, and the layers of its last step. @module */
import type { ImageConfig, Platform, Reference } from "../image/index.ts";
import type { StageResult } from "./stage-steps.ts";
import type { Store, StoredImage } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { CachedImage } from "./cache.ts";
import { keyOf } from "./key.ts";
import type { Making } from "./making.ts";
import type { Done } from "./lookup.ts";
import { hold, type Snapshot } from "./snapshot.ts";

/** What lies in it. */
export interface Files {
  platform: Platform;
  snapshot: Snapshot;
  isSquashed: boolean;
}

export interface BuiltImage {
  id: string;
  digest: string;
}

/** The same result is the same image, times included, as long as it is in the store. */
export async function storeImage(
  making: Making,
  result: StageResult,
  steps: ReadonlyMap<number, Done>,
  { names, platform, snapshot, isSquashed }: { names: readonly Reference[] } & Files,
): Promise<BuiltImage> {
  const { store, cache, ids, signal, epoch } = making;
  const layers = snapshot.map(({ descriptor }) => descriptor);
  const key = keyOf({ layers, result: { ...result, base: result.base ?? {}, step: undefined }, platform, epoch });
  const known = cache.findImage(key);
  const there = known && (named(making, known, names) ?? kept(making, known, names));
  if (there) return there;
  hold(making, snapshot);
  const { assembleImage, emptyConfig } = await import("../images/index.ts");
  const config = configOf(making, result, steps, { platform, snapshot, isSquashed }, emptyConfig);
  const made = await assembleImage(store, config, layers, { names, ids, signal });
  cache.putImage(key, { manifest: made.descriptor, config: made.id });
  return { id: made.id, digest: made.descriptor.digest };
}

/** All names lead to it: also one that was pushed, which has other blobs, and is the same. */
function named({ store }: Making, { config }: CachedImage, names: readonly Reference[]): BuiltImage | undefined {
  const found = names.map((name) => findImage(store, name));
  const [first] = found;
  if (!first || found.some((image) => image?.id !== config)) return undefined;
  return { id: first.id, digest: first.manifestDigest };
}

function findImage(store: Store, name: Reference): StoredImage | undefined {
  try {
    return store.findImage(name);
  } catch (error) {
    // what is damaged is made anew
    if (error instanceof TsboxError) return undefined;
    throw error;
  }
}

function kept(
  { store }: Making,
  { manifest, config }: CachedImage,
  names: readonly Reference[],
): BuiltImage | undefined {
  store.rely([manifest.digest, config]);
  if (!store.hasBlob(manifest.digest) || !store.hasBlob(config)) return undefined;
  store.addImage(manifest, names);
  return { id: config, digest: manifest.digest };
}

function configOf(
  { epoch }: Making,
  { base, config, author, history }: StageResult,
  steps: ReadonlyMap<number, Done>,
  { platform, snapshot, isSquashed }: Files,
  emptyConfig: (platform: Platform) => ImageConfig,
): ImageConfig {
  const from = base ?? emptyConfig(platform);
  const made = history.map(({ createdBy, step }) => ({
    createdBy,
    done: step === undefined ? undefined : steps.get(step),
  }));
  // the same steps make the same image, whoever asks for it, and when
  const times = made.flatMap(({ done }) => done?.created ?? []);
  const now = epoch === undefined ? (times.length > 0 ? Math.max(...times) : Date.now()) : epoch * 1000;
  const lines = made.map(({ createdBy, done }) => {
    const created = new Date(done?.created ?? now).toISOString();
    return { created, created_by: createdBy, ...(done?.hasLayer && !isSquashed ? {} : { empty_layer: true }) };
  });
  const created = new Date(now).toISOString();
  return {
    ...from,
    created,
    ...(author === undefined ? {} : { author }),
    config,
    rootfs: { type: "layers", diff_ids: snapshot.map(({ diffId }) => diffId) },
    history: [...(from.history ?? []), ...lines, ...(isSquashed ? [{ created, comment: "squashed" }] : [])],
  };
}
