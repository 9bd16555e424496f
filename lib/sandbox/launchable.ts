/** A request that somebody else starts: checked, its image found, and as a specification. @module */
import { checkCommand, checkRequest } from "./check-request.ts";
import { prepare, type ImageInUse } from "./image.ts";
import type { RunOptions } from "./options.ts";
import { specFor, type Requested } from "./request.ts";

export interface Launchable {
  requested: Requested;
  image?: ImageInUse;
}

/** @throws TsboxError, as `Sandbox.spawn` */
export function launchable(given: string[], options: RunOptions): Launchable {
  checkRequest(options);
  const { command, request, image } = prepare(given, options);
  try {
    checkCommand(command, image?.image.reference);
    return { requested: specFor(command, request), ...(image && { image }) };
  } catch (error) {
    image?.release();
    throw error;
  }
}
