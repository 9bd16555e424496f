/** `tsbox volume rm` @module @see https://docs.docker.com/reference/cli/docker/volume/rm/ */
import { declare, type Add } from "../images/declare.ts";
import { forEach } from "../images/with-images.ts";
import { print } from "../print.ts";
import { withVolumes } from "./with-volumes.ts";

export const addRm: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove volumes",
      more: ", with all that is in them. One that a container has stays",
      usage: "[FLAGS] VOLUME [VOLUME...]",
      words: ["<VOLUME>", "[VOLUME...]"],
      flags: [["-f, --force", "One that is not there is no error"]],
    },
    (first: string, more: string[], { force = false }: { force?: boolean }) =>
      withVolumes((volumes) =>
        forEach([first, ...more], async (each) => {
          await volumes.remove(each, { force });
          print(`${each}\n`);
        }),
      ),
  );
