/** The verbs of containers, as commands of their own and below `tsbox container`. @module */
import { addGroup, addLater, type CommandLine, type LaterVerbs } from "../later.ts";
import type { Verb } from "../verb.ts";

/** Both `tsbox NAME` and `tsbox container NAME`, in the order of the alphabet. */
const BOTH: LaterVerbs = {};

/** `tsbox NAME` only. */
const OWN: LaterVerbs = {};

/** `tsbox container NAME` only. */
const OF_CONTAINER: LaterVerbs = {
  run: {
    summary: "Run a command in a container, or in a sandbox of its own",
    load: async () => (await import("../run.ts")).addRun,
  },
};

export async function addContainerVerbs(tsbox: Verb, line: CommandLine): Promise<void> {
  await addLater(tsbox, { ...BOTH, ...OWN }, line);
  const verbs = { ...BOTH, ...OF_CONTAINER };
  await addGroup(tsbox, { name: "container", summary: "Manage containers", verbs }, line);
}
