/** `tsbox kill`: a signal for what runs in containers. @module */
import { declare, type Add } from "../images/declare.ts";
import { forAll } from "./each.ts";
import { signalOf } from "./signal.ts";
import { withContainers } from "./with-containers.ts";

export const addKill: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Kill running containers, or send them another signal",
      usage: "[FLAGS] CONTAINER [CONTAINER...]",
      words: ["<CONTAINER>", "[CONTAINER...]"],
      flags: [["-s, --signal <SIGNAL>", "Instead of SIGKILL"]],
    },
    (first: string, more: string[], { signal: named = "SIGKILL" }: { signal?: string }) =>
      withContainers((containers) => {
        const signal = signalOf("--signal", named);
        return forAll([first, ...more], async (each) => {
          await (await containers.get(each)).kill(signal);
          return each;
        });
      }),
  );
