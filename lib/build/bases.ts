/** Images that a build begins with, or takes files from: found in the store, or fetched. @module */
import { didYouMean } from "../options/index.ts";
import { type Dockerfile, type Place as FilePlace } from "../dockerfile/index.ts";
import { parsePlatform, type ImageConfig } from "../image/index.ts";
import type { StoredImage } from "../store/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { BuildEvent } from "./events.ts";
import { imageKey, imagesOf, outlineOf, type Outline, type OutlineOptions } from "./outline.ts";
import { hold, type Place, type Snapshot } from "./snapshot.ts";

export interface Base {
  image: StoredImage;
  snapshot: Snapshot;
}

export interface BaseOptions {
  /** What is not here is done without: nothing is going to be made. */
  isPresentOnly?: boolean;
  pull: boolean;
  platform: string | undefined;
  signal: AbortSignal;
  onEvent: (event: BuildEvent) => void;
}

/**
 * The stages that are needed, and all images that they need. What an image has for those who build on it may need others.
 * @throws TsboxError `dockerfile_invalid`, and as images are pulled
 */
export async function outlineWithBases(
  file: Dockerfile,
  place: Place,
  outlined: Omit<OutlineOptions, "images">,
  options: BaseOptions,
): Promise<{ outline: Outline; bases: Map<string, Base> }> {
  const bases = new Map<string, Base>();
  for (;;) {
    const images = new Map([...bases].map(([key, { image }]): [string, ImageConfig] => [key, image.config]));
    const outline = outlineOf(file, { ...outlined, images });
    const missing = imagesOf(outline, outlined.contexts).filter((image) => !bases.has(imageKey(image)));
    if (missing.length === 0) return { outline, bases };
    if (options.isPresentOnly) {
      const found = missing.flatMap((image) => {
        const base = findImage(place, image.reference, image.platform ?? options.platform);
        return base ? [[imageKey(image), base] as const] : [];
      });
      if (found.length === 0) return { outline, bases };
      for (const [key, base] of found) bases.set(key, base);
      continue;
    }
    for (const { reference, platform, place: where } of missing) {
      const key = imageKey({ reference, platform });
      if (!bases.has(key)) bases.set(key, await baseOf(file, place, { reference, platform, where }, options));
    }
  }
}

interface Wanted {
  reference: string;
  platform: string | undefined;
  where: FilePlace;
}

async function baseOf(file: Dockerfile, place: Place, wanted: Wanted, options: BaseOptions): Promise<Base> {
  try {
    return await found(place, wanted, options);
  } catch (error) {
    if (!(error instanceof TsboxError) || options.signal.aborted) throw error;
    const { line, column } = wanted.where;
    // a name that is nearly that of a stage is none of an image
    const stages = file.stages.flatMap(({ from }) => from.stage ?? []);
    const hint = stages.includes(wanted.reference.toLowerCase())
      ? `the stage ${wanted.reference} comes later: a stage can be used behind it only`
      : (didYouMean(wanted.reference, stages) ?? error.hint);
    throw new TsboxError(`${file.file}:${line}:${column}: ${error.message}`, {
      code: error.code,
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

async function found(place: Place, { reference, platform }: Wanted, options: BaseOptions): Promise<Base> {
  const { pull, signal, onEvent } = options;
  const asked = platform ?? options.platform;
  const find = () => findImage(place, reference, asked);
  let base = pull ? undefined : find();
  if (base) return base;
  onEvent({ type: "resolving", reference });
  const { Images } = await import("../images/index.ts");
  using images = new Images(place.store.path);
  if (!pull && findStored(place, reference, asked)) await images.unpack(reference, { signal });
  else await images.pull(reference, { signal, ...(asked === undefined ? {} : { platform: asked }) });
  base = find();
  if (base) return base;
  throw new TsboxError(`use the image ${reference}: somebody has removed it`, { code: "image_not_found" });
}

function findStored({ store }: Place, reference: string, platform: string | undefined): StoredImage | undefined {
  try {
    return store.findImage(reference, platform === undefined ? {} : { platform: parsePlatform(platform) });
  } catch (error) {
    if (error instanceof TsboxError && error.code === "platform_not_found") return undefined;
    throw error;
  }
}

/** Undefined where it is not there, or not unpacked. It is held from now on. */
function findImage(place: Place, reference: string, platform: string | undefined): Base | undefined {
  const image = findStored(place, reference, platform);
  if (!image) return undefined;
  const snapshot = place.store.layersOf(image, place.ids).map(({ chainId, diffId, descriptor }) => ({
    chainId,
    diffId,
    descriptor,
  }));
  return hold(place, snapshot) ? { image, snapshot } : undefined;
}
