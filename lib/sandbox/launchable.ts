/** A request that somebody else starts: checked, its image found, and as a specification. @module */
import { checkCommand, checkRequest } from "./check-request.ts";
import { prepare, preparedOf, type ImageInUse, type Prepared } from "./image.ts";
import type { RunOptions } from "./options.ts";
import { specFor, type Requested } from "./request.ts";

export interface Launchable {
  requested: Requested;
  image?: ImageInUse;
}

/**
 * @param name that its image may still have, by which it is found without a look at all others
 * @throws TsboxError, as `Sandbox.spawn`
 */
export function launchable(given: string[], options: RunOptions, name?: { reference: string; id: string }): Launchable {
  checkRequest(options);
  const { command, request, image } = (name && prepareNamed(given, options, name)) ?? prepare(given, options);
  try {
    checkCommand(command, image?.image.reference);
    return { requested: specFor(command, request), ...(image && { image }) };
  } catch (error) {
    image?.release();
    throw error;
  }
}

function prepareNamed(
  given: string[],
  { image, ...options }: RunOptions,
  { reference, id }: { reference: string; id: string },
): Prepared | undefined {
  try {
    const named = typeof image === "object" ? { ...image, reference } : reference;
    const prepared = prepare(given, { ...options, image: named });
    if (prepared.image?.image.id === id) return prepared;
    prepared.image?.release();
  } catch {
    // it is looked for by what it is, which says what is wrong
  }
  return undefined;
}

/**
 * Whether it could be launched, of an image that the caller holds.
 * @param prepared with that image
 * @throws TsboxError, as `Sandbox.spawn`
 */
export function checkLaunchable(given: string[], options: RunOptions, { image, request: { stack } }: Prepared): void {
  checkRequest(options);
  const { image: _, entrypoint: __, ...rest } = options;
  const { command, request } =
    image && stack ? preparedOf(given, options, { config: image.image.config, stack }) : prepare(given, rest);
  checkCommand(command, image?.image.reference);
  specFor(command, request);
}
