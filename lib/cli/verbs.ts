/** All verbs but those that have to be quick, which `tsbox.ts` adds itself. @module */
import { addBuilderVerbs } from "./build/verbs.ts";
import { addContainerVerbs } from "./containers/verbs.ts";
import { addImageVerbs } from "./images/verbs.ts";
import { addGroup, CommandLine, type LaterVerbs } from "./later.ts";
import type { Verb } from "./verb.ts";
import { addNetworkVerbs } from "./networks/verbs.ts";
import { addVolumeVerbs } from "./volumes/verbs.ts";

/** `tsbox system NAME` */
const OF_SYSTEM: LaterVerbs = {
  boot: {
    summary: "Start the containers that are to run, after the machine has started",
    load: async () => (await import("./containers/system.ts")).addBoot,
  },
  df: {
    summary: "Show the space that is used",
    load: async () => (await import("./system/disk-usage.ts")).addDiskUsage,
  },
  events: {
    summary: "Print what happens, as it happens",
    load: async () => (await import("./containers/events.ts")).addEvents,
  },
  halt: {
    summary: "Stop all containers, before the machine goes down",
    load: async () => (await import("./containers/system.ts")).addHalt,
  },
  prune: {
    summary: "Remove unused data",
    load: async () => (await import("./system/prune.ts")).addSystemPrune,
  },
  unit: {
    summary: "Print a service of systemd that starts containers with the machine",
    load: async () => (await import("./containers/system.ts")).addUnit,
  },
};

/** @param words those behind `tsbox` */
export async function addVerbs(tsbox: Verb, words: readonly string[]): Promise<void> {
  const line = new CommandLine(words);
  tsbox.commandsGroup("Containers:");
  await addContainerVerbs(tsbox, line);
  tsbox.commandsGroup("Images:");
  await addImageVerbs(tsbox, line);
  await addBuilderVerbs(tsbox, line);
  tsbox.commandsGroup("Networks, volumes and the rest:");
  await addNetworkVerbs(tsbox, line);
  await addVolumeVerbs(tsbox, line);
  const summary = "Space that is used, what nobody uses, and what starts with the machine";
  await addGroup(tsbox, { name: "system", summary, verbs: OF_SYSTEM }, line);
}
