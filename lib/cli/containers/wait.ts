/** `tsbox wait`: until containers have ended. @module */
import { declare, type Add } from "../images/declare.ts";
import { forAll } from "./each.ts";
import { withContainers } from "./with-containers.ts";

export const addWait: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Wait until containers have stopped, and print their exit codes",
      usage: "CONTAINER [CONTAINER...]",
      words: ["<CONTAINER>", "[CONTAINER...]"],
    },
    (first: string, more: string[]) =>
      withContainers((containers, signal) =>
        forAll([first, ...more], async (each) => {
          const { exitCode } = await (await containers.get(each)).wait({ signal });
          return String(exitCode);
        }),
      ),
  );
