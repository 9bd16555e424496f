/** `tsbox save`: images as an archive. @module */
import { invalid } from "../invalid.ts";
import { printPieces } from "../print-pieces.ts";
import { UsageError } from "../report.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { checkPlatform } from "./check-platform.ts";
import { declare, type Add } from "./declare.ts";
import { writeFileWhole } from "./output-file.ts";
import { withImages } from "./with-images.ts";

interface SaveFlags {
  output?: string;
  format?: string;
  platform?: string;
}

const STDOUT = 1;
/** Docker's archives, and those of podman's words. */
const FORMATS = { "docker-archive": "docker", "oci-archive": "oci" } as const;

export const addSave: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Save images to an archive",
      more: ", to stdout unless a file is named. It is an OCI image layout that docker load takes as well",
      usage: "[FLAGS] IMAGE [IMAGE...]",
      words: ["<IMAGE>", "[IMAGE...]"],
      flags: [
        ["-o, --output <FILE>", "Write to a file"],
        ["--format <docker-archive|oci-archive>", "With Docker's names, or an OCI layout alone"],
        ["--platform <PLATFORM>", "Only where the image is for this platform"],
      ],
    },
    (first: string, more: string[], flags: SaveFlags) =>
      withImages(async (images, signal) => {
        const { output, format = "docker-archive", platform } = flags;
        if (!Object.hasOwn(FORMATS, format))
          throw invalid("--format", format, "there is no such archive", Object.keys(FORMATS).join(" or "));
        if (output === undefined && sizeOfTerminal(STDOUT))
          throw new UsageError("save to stdout: it is a terminal", "-o FILE, or redirect it");
        const names = [first, ...more];
        for (const each of names) await checkPlatform(images, each, platform);
        const archive = await images.save(names, { format: FORMATS[format as keyof typeof FORMATS], signal });
        await (output === undefined ? printPieces(archive, signal) : writeFileWhole(output, archive, signal));
      }),
  );
