/**
 * Steps of the cache as others are given them: an OCI artifact, whose config says what each has made, and whose layers
 * are theirs. Keys are made of contents, so they are the same on every machine.
 * @module
 */
import { isDigest, OCI_MANIFEST, type Descriptor, type Digest, type Manifest } from "../image/index.ts";
import { list, Mismatch, object, required, text, whole, type Reader } from "../schema/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import type { Layer } from "./cache.ts";

const CONFIG_TYPE = "application/vnd.tsbox.buildcache.config.v1+json";
export const MAX_CONFIG_BYTES = 8 * 2 ** 20;
const MAX_STEPS = 100_000;

export interface RemoteStep {
  key: string;
  /** Other keys that lead to it. */
  aliases: string[];
  text: string;
  /** Milliseconds since 1970. */
  created: number;
  bytes: number;
  /** With the blob as it is stored there; undefined: nothing was changed. */
  layer?: Layer;
}

interface WrittenStep extends Omit<RemoteStep, "layer"> {
  diffId?: Digest;
  chainId?: Digest;
  /** Which of the manifest's layers. */
  layer?: number;
}

const digest: Reader<Digest> = (value) => {
  if (isDigest(value)) return value;
  throw new Mismatch(`${show(value)} is not a digest`);
};
const count = whole(0, Number.MAX_SAFE_INTEGER);
const readConfig = object<{ steps: WrittenStep[] }>({
  steps: required(
    list(
      object<WrittenStep>({
        key: required(digest),
        aliases: required(list(digest)),
        text: required(text),
        created: required(count),
        bytes: required(count),
        diffId: digest,
        chainId: digest,
        layer: count,
      }),
    ),
  ),
});

export function manifestOf(steps: readonly RemoteStep[]): { config: Uint8Array; manifest: Omit<Manifest, "config"> } {
  const layers = new Map<Digest, Descriptor>();
  for (const { layer } of steps) if (layer) layers.set(layer.descriptor.digest, layer.descriptor);
  const order = [...layers.keys()];
  const written = steps.map(({ layer, ...step }): WrittenStep => {
    if (!layer) return step;
    const { diffId, chainId, descriptor } = layer;
    return { ...step, diffId, chainId, layer: order.indexOf(descriptor.digest) };
  });
  return {
    config: new TextEncoder().encode(JSON.stringify({ steps: written })),
    manifest: { schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [...layers.values()] },
  };
}

export const configDescriptor = (digestOfConfig: Digest, size: number): Descriptor => ({
  mediaType: CONFIG_TYPE,
  digest: digestOfConfig,
  size,
});

/** @throws TsboxError `image_invalid` for what is no cache */
export function stepsOf(manifest: Manifest, config: Uint8Array, what: string): RemoteStep[] {
  const invalid = (why: string) => new TsboxError(`read the cache ${what}: ${why}`, { code: "image_invalid" });
  if (manifest.config.mediaType !== CONFIG_TYPE) throw invalid("it is something else");
  let steps: WrittenStep[];
  try {
    ({ steps } = readConfig(JSON.parse(new TextDecoder().decode(config))) ?? { steps: [] });
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
  if (steps.length > MAX_STEPS) throw invalid(`more than ${MAX_STEPS} steps`);
  return steps.map(({ layer: index, diffId, chainId, ...step }) => {
    if (index === undefined) return step;
    const descriptor = manifest.layers[index];
    if (!descriptor || !diffId || !chainId) throw invalid(`the layer of ${step.key} is not there`);
    return { ...step, layer: { diffId, chainId, descriptor } };
  });
}
