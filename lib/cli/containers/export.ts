/** `tsbox export`: all files of a container as a tar archive. @module */
import { sizeOfTerminal } from "../../terminal/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { writeFileWhole } from "../images/output-file.ts";
import { printPieces } from "../print-pieces.ts";
import { UsageError } from "../report.ts";
import { withContainers } from "./with-containers.ts";

const STDOUT = 1;

export const addExport: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Write the files of a container as a tar archive",
      more: ", to stdout unless a file is named. What is in volumes is left out",
      usage: "[FLAGS] CONTAINER",
      words: ["<CONTAINER>"],
      flags: [["-o, --output <FILE>", "Write to a file"]],
    },
    (container: string, { output }: { output?: string }) =>
      withContainers(async (containers, signal) => {
        if (output === undefined && sizeOfTerminal(STDOUT))
          throw new UsageError("export to stdout: it is a terminal", "-o FILE, or redirect it");
        const archive = await (await containers.get(container)).export();
        await (output === undefined ? printPieces(archive, signal) : writeFileWhole(output, archive, signal));
      }),
  );
