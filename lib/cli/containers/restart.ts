/** `tsbox restart`: stopped and started again. @module */
import { declare, type Add } from "../images/declare.ts";
import { forAll } from "./each.ts";
import { STOP_FLAGS, stopOptions, withTime, type StopFlags } from "./stop.ts";
import { withContainers } from "./with-containers.ts";

export const addRestart: Add = (parent, name) =>
  withTime(
    declare(
      parent,
      name,
      {
        summary: "Restart containers",
        usage: "[FLAGS] CONTAINER [CONTAINER...]",
        words: ["<CONTAINER>", "[CONTAINER...]"],
        flags: STOP_FLAGS,
      },
      (first: string, more: string[], flags: StopFlags) =>
        withContainers((containers) => {
          const options = stopOptions(flags);
          return forAll([first, ...more], async (each) => {
            await (await containers.get(each)).restart(options);
            return each;
          });
        }),
    ),
  );
