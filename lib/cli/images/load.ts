/** `tsbox load`: images out of an archive. @module */
import { sizeOfTerminal } from "../../terminal/index.ts";
import { print } from "../print.ts";
import { UsageError } from "../report.ts";
import { safeWord } from "../safe-text.ts";
import { declare, PLATFORM, type Add } from "./declare.ts";
import { progressOn } from "./progress.ts";
import { withImages } from "./with-images.ts";

interface LoadFlags {
  input?: string;
  platform?: string;
  quiet?: boolean;
}

const [STDIN, STDOUT] = [0, 1];

export const addLoad: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Load images from an archive",
      more: ", from stdin unless a file is named: of docker save, or an OCI image layout",
      usage: "[FLAGS]",
      flags: [
        ["-i, --input <FILE>", "Read from a file"],
        ["--platform <PLATFORM>", PLATFORM],
        ["-q, --quiet", "Without progress"],
      ],
    },
    ({ input, platform, quiet }: LoadFlags) =>
      withImages(async (images, signal) => {
        if (input === undefined && sizeOfTerminal(STDIN))
          throw new UsageError("load from stdin: it is a terminal", "-i FILE, or redirect it");
        // elsewhere than on a terminal, Docker tells of the images only
        const progress = quiet || !sizeOfTerminal(STDOUT) ? undefined : progressOn("pull", STDOUT);
        try {
          const loaded = await images.load(input ?? Bun.stdin, {
            signal,
            ...(platform === undefined ? {} : { platform }),
            ...(progress
              ? { onProgress: (event: Parameters<typeof progress.onProgress>[0]) => progress.onProgress(event) }
              : {}),
          });
          progress?.finish();
          for (const { id, names } of loaded) {
            if (names.length === 0) print(`Loaded image ID: ${id}\n`);
            for (const each of names) print(`Loaded image: ${safeWord(each)}\n`);
          }
        } finally {
          progress?.finish();
        }
      }),
  );
