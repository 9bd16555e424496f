/** `tsbox create`: a container that does not run yet. @module */
import type { ContainerFlags } from "../flags.ts";
import { CREATE_EXAMPLES, declareOlder, declareRun, RUN_FLAGS } from "../flags.ts";
import type { Add } from "../images/declare.ts";
import { print } from "../print.ts";
import { reportFailure } from "../report.ts";
import { callersWorld } from "../run-options.ts";
import type { FlagGroups, Verb } from "../verb.ts";
import { make } from "./making.ts";
import { containerRequest } from "./options.ts";
import { withContainers } from "./with-containers.ts";

const SUMMARY = "Create a container, without starting it";

/** Of one that is not followed, and that does not end with tsbox. */
const NOT_OF_CREATE = /--(?:detach|detach-keys|sig-proxy|timeout|cpu-time|writable-layer)\b/;

export const addCreate: Add = (parent, name) =>
  void (parent.command(name) as Verb)
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async (first: string, rest: string[], flags: ContainerFlags) => {
      const words = [first, ...rest];
      const options = containerRequest(words, flags, callersWorld());
      await withContainers(async (containers, signal) => {
        try {
          const { id } = await make(containers, options, words, flags, signal);
          print(`${id}\n`);
        } catch (error) {
          // of a flag, as where its words alone were wrong
          if ((error as { code?: string }).code === "invalid_option") return reportFailure(error);
          throw error;
        }
      });
    })
    .declareLater((verb) => {
      declareOlder(verb);
      declareRun(verb, CREATE_EXAMPLES);
    }, createFlags());

function createFlags(): FlagGroups {
  const own = (flags: FlagGroups[string]) => flags.filter(([written]) => !NOT_OF_CREATE.test(written));
  return Object.fromEntries(Object.entries(RUN_FLAGS).map(([title, flags]) => [title, own(flags)]));
}
