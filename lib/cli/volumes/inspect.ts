/** `tsbox volume inspect` @module @see https://docs.docker.com/reference/cli/docker/volume/inspect/ */
import { declare, type Add } from "../images/declare.ts";
import { INSPECT_FORMAT, printInspected } from "../print-inspected.ts";
import { inspectedVolume, withVolumes } from "./with-volumes.ts";

export const addInspect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print all that is known of volumes",
      usage: "[FLAGS] VOLUME [VOLUME...]",
      words: ["<VOLUME>", "[VOLUME...]"],
      flags: [INSPECT_FORMAT],
    },
    (first: string, more: string[], { format }: { format?: string }) =>
      withVolumes((volumes) =>
        printInspected([first, ...more], format, async (each) => inspectedVolume(volumes, volumes.get(each))),
      ),
  );
