/** `tsbox volume create` @module @see https://docs.docker.com/reference/cli/docker/volume/create/ */
import { declare, type Add } from "../images/declare.ts";
import { pair } from "../pair.ts";
import { print } from "../print.ts";
import { withVolumes } from "./with-volumes.ts";

interface CreateFlags {
  driver?: string;
  label?: string[];
  opt?: string[];
  ignore?: boolean;
}

export const addCreate: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Create a volume",
      usage: "[FLAGS] [VOLUME]",
      words: ["[VOLUME]"],
      flags: [
        ["-d, --driver <NAME>", 'The driver (default "local", which is the one there is)'],
        ["--label <KEY=VALUE>...", "A label"],
        ["-o, --opt <KEY=VALUE>...", "Of the driver: type=, device=, o=, size="],
      ],
    },
    (volume: string | undefined, { driver, label = [], opt = [] }: CreateFlags) =>
      withVolumes(async (volumes) => {
        const made = volumes.create({
          ...(volume === undefined ? {} : { name: volume }),
          ...(driver === undefined ? {} : { driver }),
          labels: Object.fromEntries(label.map((words) => pair("--label", words))),
          ...(opt.length > 0 ? { options: Object.fromEntries(opt.map((words) => pair("--opt", words))) } : {}),
        });
        print(`${made.name}\n`);
      }),
  );
