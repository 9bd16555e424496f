/** `tsbox pause` and `unpause`: all processes of containers stand still. @module */
import { declare, type Add } from "../images/declare.ts";
import { forAll } from "./each.ts";
import { withContainers } from "./with-containers.ts";

const adder =
  (method: "pause" | "unpause", summary: string): Add =>
  (parent, name) =>
    void declare(
      parent,
      name,
      { summary, usage: "CONTAINER [CONTAINER...]", words: ["<CONTAINER>", "[CONTAINER...]"] },
      (first: string, more: string[]) =>
        withContainers((containers) =>
          forAll([first, ...more], async (each) => {
            await (await containers.get(each))[method]();
            return each;
          }),
        ),
    );

export const addPause = adder("pause", "Pause all processes of containers");
export const addUnpause = adder("unpause", "Unpause all processes of containers");
