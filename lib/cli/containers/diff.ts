/** `tsbox diff`: what a container has written over its image. @module */
import { declare, type Add } from "../images/declare.ts";
import { forStdout } from "../images/rows.ts";
import { print } from "../print.ts";
import { withContainers } from "./with-containers.ts";

export const addDiff: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "List what a container has changed of its image's files",
      more: ": A added, C changed, D deleted",
      usage: "CONTAINER",
      words: ["<CONTAINER>"],
    },
    (container: string) =>
      withContainers(async (containers) => {
        const changes = await (await containers.get(container)).diff();
        const show = forStdout();
        print(changes.map(({ kind, path }) => `${kind} ${show(path)}\n`).join(""));
      }),
  );
