/** All verbs, where the one that is meant is not `run`, which `tsbox.ts` adds itself. @module */
import { addBuilderVerbs } from "./build/verbs.ts";
import { addContainerVerbs } from "./containers/verbs.ts";
import { addImageVerbs } from "./images/verbs.ts";
import { addGroup, addLater, addMeant, type CommandLine, type LaterVerbs } from "./later.ts";
import type { Verb } from "./verb.ts";
import { addNetworkVerbs } from "./networks/verbs.ts";
import { addVolumeVerbs } from "./volumes/verbs.ts";

/** What stands first in the help. */
const FIRST: LaterVerbs = {
  run: {
    summary: "Run a command in a sandbox of its own, or in a container",
    load: async () => (await import("./run.ts")).addRun,
  },
  plan: {
    summary: "Print the system calls of a command, and run nothing",
    load: async () => (await import("./plan.ts")).addPlan,
  },
  doctor: {
    summary: "Check what this host offers, and say what would help",
    load: async () => (await import("./doctor.ts")).addDoctor,
  },
  oci: {
    summary: "The runtime that engines call: create, start, kill, …",
    load: async () => (await import("./oci.ts")).addOci,
  },
};

const INFO: LaterVerbs[string] = {
  summary: "Show what there is here, and what it runs on",
  load: async () => (await import("./system/info.ts")).addInfo,
};

/** What stands last. */
const LAST: LaterVerbs = {
  info: INFO,
  completion: {
    summary: "Print a script that completes tsbox's words in a shell",
    load: async () => (await import("./completion.ts")).addCompletion,
  },
  version: {
    summary: "Print the versions of tsbox and of what it runs on",
    load: async () => (await import("./version.ts")).addVersion,
  },
};

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
  info: INFO,
  prune: {
    summary: "Remove unused data",
    load: async () => (await import("./system/prune.ts")).addSystemPrune,
  },
  unit: {
    summary: "Print a service of systemd that starts containers with the machine",
    load: async () => (await import("./containers/system.ts")).addUnit,
  },
};

export async function addVerbs(tsbox: Verb, line: CommandLine): Promise<void> {
  await addMeant(tsbox, async (all) => {
    tsbox.commandsGroup("Commands:");
    await addLater(tsbox, FIRST, line, all);
    tsbox.commandsGroup("Containers:");
    await addContainerVerbs(tsbox, line, all);
    tsbox.commandsGroup("Images:");
    await addImageVerbs(tsbox, line, all);
    await addBuilderVerbs(tsbox, line, all);
    tsbox.commandsGroup("Networks, volumes and the rest:");
    await addNetworkVerbs(tsbox, line, all);
    await addVolumeVerbs(tsbox, line, all);
    const summary = "Space that is used, what nobody uses, and what starts with the machine";
    await addGroup(tsbox, { name: "system", summary, verbs: OF_SYSTEM }, line, all);
    await addLater(tsbox, LAST, line, all);
  });
}
