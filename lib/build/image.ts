/** The image that a build makes: its config, its history, and the layers of its last step. @module */
import type { ImageConfig, Platform, Reference } from "../image/index.ts";
import type { StageResult } from "./stage-steps.ts";
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
  if (known && isThere(making, known)) {
    store.addImage(known.manifest, names);
    return { id: known.config, digest: known.manifest.digest };
  }
  hold(making, snapshot);
  const { assembleImage, emptyConfig } = await import("../images/index.ts");
  const config = configOf(making, result, steps, { platform, snapshot, isSquashed }, emptyConfig);
  const made = await assembleImage(store, config, layers, { names, ids, signal });
  cache.putImage(key, { manifest: made.descriptor, config: made.id });
  return { id: made.id, digest: made.descriptor.digest };
}

function isThere(
  { store }: Making,
  {
    manifest,
    config,
  }: { manifest: { digest: `sha256:${string}` | `sha512:${string}` }; config: `sha256:${string}` | `sha512:${string}` },
): boolean {
  store.rely([manifest.digest, config]);
  return store.hasBlob(manifest.digest) && store.hasBlob(config);
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
