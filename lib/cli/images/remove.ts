/** `tsbox rmi`: names, and the images that have none any more. @module */
import { print } from "../print.ts";
import { safeWord } from "../safe-text.ts";
import { checkPlatform } from "./check-platform.ts";
import { declare, type Add } from "./declare.ts";
import { forEach, withImages } from "./with-images.ts";

interface RemoveFlags {
  force?: boolean;
  platform?: string[];
}

export const addRemove: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove images",
      usage: "[FLAGS] IMAGE [IMAGE...]",
      words: ["<IMAGE>", "[IMAGE...]"],
      flags: [
        ["-f, --force", "Also by an id with several names; what is not there is no failure"],
        ["--no-prune", "Accepted, and always so: no other image goes with one"],
        ["--platform <PLATFORM>...", "Only where the image is for this platform"],
      ],
    },
    (first: string, more: string[], { force = false, platform = [] }: RemoveFlags) =>
      withImages((images) =>
        forEach([first, ...more], async (each) => {
          try {
            for (const one of platform) await checkPlatform(images, each, one);
            const { untagged, deleted } = await images.remove(each, { force });
            for (const gone of untagged) print(`Untagged: ${safeWord(gone)}\n`);
            for (const gone of deleted) print(`Deleted: ${gone}\n`);
          } catch (error) {
            // as rm -f has it: what is not there need not be removed
            if (!force || (error as { code?: string }).code !== "image_not_found") throw error;
          }
        }),
      ),
  );
