/** A request that somebody else starts: checked, its image found, and as a specification. @module */
import type { ContainerConfig } from "../image/index.ts";
import { checkCommand, checkRequest } from "./check-request.ts";
import { prepare, type ImageInUse } from "./image.ts";
import type { RunOptions } from "./options.ts";
import { specFor, type Requested } from "./request.ts";
import type { Request } from "./stacked-root.ts";

export interface Launchable {
  requested: Requested;
  image?: ImageInUse;
}

/** Of an image that is found. */
export interface Layers {
  config?: ContainerConfig;
  /** Directories, absolute, top first. */
  layers: readonly string[];
}

/**
 * @param more what is asked for once the image is known
 * @throws TsboxError, as `Sandbox.spawn`
 */
export async function launchable(
  given: string[],
  options: RunOptions,
  more: (image: Layers) => Promise<Partial<Request>>,
): Promise<Launchable> {
  checkRequest(options);
  const { command, request, image } = prepare(given, options);
  try {
    checkCommand(command, image?.image.reference);
    const { config } = image?.image.config ?? {};
    const asked = await more({ ...(config && { config }), layers: request.stack?.paths ?? [] });
    return { requested: specFor(command, { ...request, ...asked }), ...(image && { image }) };
  } catch (error) {
    image?.release();
    throw error;
  }
}
