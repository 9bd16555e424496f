/** What verbs of containers share. @module */
import type { Containers } from "../../containers/index.ts";
import { safely } from "../images/with-images.ts";

/** Loads nothing of images. Ends with the status that `work` comes to. */
export const withContainers = (work: (containers: Containers, signal: AbortSignal) => Promise<number | void>) =>
  safely(async (signal) => {
    const { Containers } = await import("../../containers/index.ts");
    using containers = new Containers();
    return await work(containers, signal);
  });
