/** `tsbox image inspect`: all that is known of images. @module */
import { INSPECT_FORMAT, printInspected } from "../print-inspected.ts";
import { checkPlatform } from "./check-platform.ts";
import { declare, PLATFORM, type Add } from "./declare.ts";
import { inspected } from "./inspected.ts";
import { withImages } from "./with-images.ts";

interface InspectFlags {
  format?: string;
  platform?: string;
}

export const addImageInspect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print all that is known of images",
      usage: "[FLAGS] IMAGE [IMAGE...]",
      words: ["<IMAGE>", "[IMAGE...]"],
      flags: [INSPECT_FORMAT, ["--platform <PLATFORM>", PLATFORM]],
    },
    (first: string, more: string[], { format, platform }: InspectFlags) =>
      withImages((images) =>
        printInspected([first, ...more], format, async (each) => {
          await checkPlatform(images, each, platform);
          return inspected(await images.inspect(each));
        }),
      ),
  );
