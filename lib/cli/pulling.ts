/** What is told of an image that is pulled because something else needs it. @module */
import type { PullProgress } from "../sandbox/index.ts";
import type { Progress } from "./images/progress.ts";

/** On stderr: stdout is the command's. What tells is loaded when there is something to tell. */
export function tellOfPull(): { onProgress: PullProgress; finish(): Promise<void> } {
  let loaded: Promise<Progress> | undefined;
  return {
    onProgress(event) {
      loaded ??= import("./images/progress.ts").then(({ progressOn }) => progressOn("pull", 2));
      void loaded.then((progress) => {
        if (event.type === "resolving") progress.say(`Pulling ${event.reference}`);
        progress.onProgress(event);
      });
    },
    finish: async () => (await loaded)?.finish(),
  };
}
