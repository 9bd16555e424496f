/** `tsbox commit`: an image of what a container has written. @module */
import { declare, type Add } from "../images/declare.ts";
import { print } from "../print.ts";
import { withContainers } from "./with-containers.ts";

interface CommitFlags {
  author?: string;
  change?: string[];
  message?: string;
  pause?: boolean;
}

export const addCommit: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Make an image of a container's files, with its configuration",
      usage: "[FLAGS] CONTAINER [REPOSITORY[:TAG]]",
      words: ["<CONTAINER>", "[REFERENCE]"],
      flags: [
        ["-a, --author <AUTHOR>", "Who made it"],
        ["-c, --change <INSTRUCTION>...", 'Of a Dockerfile: \'CMD ["sh"]\', "ENV A=1"'],
        ["-m, --message <MESSAGE>", "For its history"],
        ["-p, --pause", "Pause the container meanwhile (default true, where that is possible)"],
      ],
    },
    (container: string, reference: string | undefined, { author, change, message, pause }: CommitFlags) =>
      withContainers(async (containers, signal) => {
        const found = await containers.get(container);
        const { id } = await found.commit(reference, {
          signal,
          ...(author === undefined ? {} : { author }),
          ...(change === undefined ? {} : { changes: change }),
          ...(message === undefined ? {} : { message }),
          ...(pause === undefined ? {} : { pause }),
        });
        print(`${id}\n`);
      }),
  );
