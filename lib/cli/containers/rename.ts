/** `tsbox rename`: another name for a container. @module */
import { declare, type Add } from "../images/declare.ts";
import { withContainers } from "./with-containers.ts";

export const addRename: Add = (parent, name) =>
  void declare(
    parent,
    name,
    { summary: "Rename a container", usage: "CONTAINER NEW_NAME", words: ["<CONTAINER>", "<NAME>"] },
    (old: string, renamed: string) =>
      withContainers(async (containers) => {
        await (await containers.get(old)).rename(renamed);
      }),
  );
