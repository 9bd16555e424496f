/** The image that a build makes: its config, its history, and the layers of its last step. @module */
import type { ImageConfig, Platform, Reference } from "../image/index.ts";
import { assembleImage, emptyConfig } from "../images/index.ts";
import type { StageResult } from "./graph.ts";
import { keyOf } from "./key.ts";
import type { Making } from "./making.ts";
import type { Done } from "./lookup.ts";
import { hold, type Snapshot } from "./snapshot.ts";

export interface BuiltImage {
  id: string;
  digest: string;
}

/** The same result is the same image, times included, as long as it is in the store. */
export async function storeImage(
  making: Making,
  result: StageResult,
  steps: ReadonlyMap<number, Done>,
  { names, platform, snapshot }: { names: readonly Reference[]; platform: Platform; snapshot: Snapshot },
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
  const config = configOf(making, result, steps, { platform, snapshot });
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
  { platform, snapshot }: { platform: Platform; snapshot: Snapshot },
): ImageConfig {
  const now = epoch === undefined ? Date.now() : epoch * 1000;
  const from = base ?? emptyConfig(platform);
  const lines = history.map(({ createdBy, step }) => {
    const done = step === undefined ? undefined : steps.get(step);
    const created = new Date(done?.created ?? now).toISOString();
    return { created, created_by: createdBy, ...(done?.hasLayer ? {} : { empty_layer: true }) };
  });
  return {
    ...from,
    created: new Date(now).toISOString(),
    ...(author === undefined ? {} : { author }),
    config,
    rootfs: { type: "layers", diff_ids: snapshot.map(({ diffId }) => diffId) },
    history: [...(from.history ?? []), ...lines],
  };
}
