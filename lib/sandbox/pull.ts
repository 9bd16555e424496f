/** Images that are not there, or not unpacked, before a sandbox is made of them. @module */
import { absolute, type TsboxError } from "../../syscalls/index.ts";
import type { PullOptions } from "../images/index.ts";
import { checkImage, findState } from "./image.ts";
import type { ImageOptions, SandboxOptions } from "./options.ts";

export type PullProgress = NonNullable<PullOptions["onProgress"]>;

/**
 * Does what needs the image of a request. Where that is not there it is pulled, and what needs it done again: looking
 * for it first would be to read it twice.
 * @throws TsboxError as `engine.images.pull`, and as the work does
 */
export async function withImage<T>(
  options: SandboxOptions,
  work: () => T | Promise<T>,
  onProgress?: PullProgress,
): Promise<T> {
  const wanted = checkImage(options);
  const told = { ...(options.signal ? { signal: options.signal } : {}), ...(onProgress ? { onProgress } : {}) };
  if (wanted.pull === "always") await fetchImage(wanted, told, "missing");
  try {
    return await work();
  } catch (error) {
    if ((error as TsboxError).code !== "image_not_found" || wanted.pull === "always") throw error;
    const state = findState(wanted);
    if (wanted.pull === "never" && state === "missing") throw error;
    await fetchImage(wanted, told, state);
  }
  return work();
}

/** Everything that talks to registries is loaded only here. */
async function fetchImage(
  { reference, platform, pull, root }: ImageOptions,
  told: PullOptions,
  state: ReturnType<typeof findState>,
): Promise<void> {
  const { Images } = await import("../images/index.ts");
  using images = new Images(root === undefined ? undefined : absolute(root));
  if (state === "packed") {
    try {
      return await images.unpack(reference, told);
    } catch (error) {
      if (pull === "never" || (error as TsboxError).code !== "image_not_found") throw error;
    }
  }
  await images.pull(reference, { ...told, ...(platform === undefined ? {} : { platform }) });
}
