/** `tsbox rm`: containers, with all that they have. @module */
import { declare, type Add } from "../images/declare.ts";
import { forAll } from "./each.ts";
import { withContainers } from "./with-containers.ts";

interface RemoveFlags {
  force?: boolean;
  volumes?: boolean;
}

export const addRm: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove containers",
      usage: "[FLAGS] CONTAINER [CONTAINER...]",
      words: ["<CONTAINER>", "[CONTAINER...]"],
      flags: [
        ["-f, --force", "Also one that runs, which is killed; what is not there is no failure"],
        ["-v, --volumes", "With the volumes that it alone has"],
      ],
    },
    (first: string, more: string[], { force = false, volumes = false }: RemoveFlags) =>
      withContainers((containers) =>
        forAll(
          [first, ...more],
          async (each) => {
            await (await containers.get(each)).remove({ force, volumes });
            return each;
          },
          (error) => force && (error as { code?: string }).code === "container_not_found",
        ),
      ),
  );
