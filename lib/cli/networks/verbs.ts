/** `tsbox network …` @module */
import { addGroup, type CommandLine, type LaterVerbs } from "../later.ts";
import type { Verb } from "../verb.ts";

const VERBS: LaterVerbs = {
  connect: {
    summary: "Put a container into one more network",
    load: async () => (await import("./connect.ts")).addConnect,
  },
  create: { summary: "Create a network", load: async () => (await import("./create.ts")).addCreate },
  disconnect: {
    summary: "Take a container out of a network",
    load: async () => (await import("./connect.ts")).addDisconnect,
  },
  inspect: {
    summary: "Print all that is known of networks",
    load: async () => (await import("./inspect.ts")).addInspect,
  },
  begin: {
    summary: "Start what answers for names, where it was killed",
    load: async () => (await import("./netd.ts")).addBegin,
    hidden: true,
  },
  ls: { summary: "List networks", load: async () => (await import("./ls.ts")).addLs, alias: "list" },
  netd: {
    summary: "Answer for the names of containers in networks",
    load: async () => (await import("./netd.ts")).addNetd,
    hidden: true,
  },
  prune: { summary: "Remove unused networks", load: async () => (await import("./prune.ts")).addPrune },
  rm: { summary: "Remove networks", load: async () => (await import("./rm.ts")).addRm, alias: "remove" },
};

export async function addNetworkVerbs(tsbox: Verb, line: CommandLine, all: boolean): Promise<void> {
  await addGroup(tsbox, { name: "network", summary: "Manage networks", verbs: VERBS }, line, all);
}
