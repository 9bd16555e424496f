/** The verbs of containers, as commands of their own and below `tsbox container`. @module */
import { addGroup, addLater, type CommandLine, type LaterVerbs } from "../later.ts";
import type { Verb } from "../verb.ts";

/** Both `tsbox NAME` and `tsbox container NAME`, in the order of the alphabet. */
const BOTH: LaterVerbs = {
  commit: {
    summary: "Make an image of a container's files, with its configuration",
    load: async () => (await import("./commit.ts")).addCommit,
  },
  diff: {
    summary: "List what a container has changed of its image's files",
    load: async () => (await import("./diff.ts")).addDiff,
  },
  export: {
    summary: "Write the files of a container as a tar archive",
    load: async () => (await import("./export.ts")).addExport,
  },
  port: {
    summary: "List the ports of a container that are published",
    load: async () => (await import("./port.ts")).addPort,
  },
};

const LIST = { summary: "List containers", load: async () => (await import("./ps.ts")).addPs };

/** `tsbox NAME` only. */
const OWN: LaterVerbs = {
  events: {
    summary: "Print what happens, as it happens",
    load: async () => (await import("./events.ts")).addEvents,
  },
  inspect: {
    summary: "Print all that is known of containers, images and volumes",
    load: async () => (await import("./inspect.ts")).addInspect,
  },
  ps: LIST,
};

/** `tsbox container NAME` only. */
const OF_CONTAINER: LaterVerbs = {
  inspect: {
    summary: "Print all that is known of containers",
    load: async () => (await import("./inspect.ts")).addContainerInspect,
  },
  ls: { ...LIST, alias: "list" },
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
