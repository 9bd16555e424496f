/** `tsbox volume …` @module */
import { addGroup, type CommandLine, type LaterVerbs } from "../later.ts";
import type { Verb } from "../verb.ts";

const VERBS: LaterVerbs = {
  create: { summary: "Create a volume", load: async () => (await import("./create.ts")).addCreate },
  inspect: {
    summary: "Print all that is known of volumes",
    load: async () => (await import("./inspect.ts")).addInspect,
  },
  ls: { summary: "List volumes", load: async () => (await import("./ls.ts")).addLs, alias: "list" },
  prune: { summary: "Remove unused volumes", load: async () => (await import("./prune.ts")).addPrune },
  rm: { summary: "Remove volumes", load: async () => (await import("./rm.ts")).addRm, alias: "remove" },
};

export async function addVolumeVerbs(tsbox: Verb, line: CommandLine, all: boolean): Promise<void> {
  await addGroup(tsbox, { name: "volume", summary: "Manage volumes", verbs: VERBS }, line, all);
}
