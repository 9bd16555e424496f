/** The verbs of builds: `tsbox build`, also as `tsbox image build`, and those below `tsbox builder`. @module */
import { addGroup, type CommandLine, type LaterVerbs } from "../later.ts";
import type { Verb } from "../verb.ts";

export const BUILD: LaterVerbs = {
  build: {
    summary: "Build an image from a Dockerfile",
    load: async () => (await import("./build.ts")).addBuild,
  },
};

const OF_BUILDER: LaterVerbs = {
  ...BUILD,
  du: {
    summary: "Show the space that build cache takes",
    load: async () => (await import("./disk-usage.ts")).addBuilderUsage,
  },
  prune: {
    summary: "Remove build cache",
    load: async () => (await import("./prune.ts")).addBuilderPrune,
  },
};

export const addBuilderVerbs = (tsbox: Verb, line: CommandLine, all: boolean): Promise<void> =>
  addGroup(tsbox, { name: "builder", summary: "Manage build cache", verbs: OF_BUILDER }, line, all);
