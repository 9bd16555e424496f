/** The verbs of containers, as commands of their own and below `tsbox container`. @module */
import { addGroup, addLater, type CommandLine, type LaterVerbs } from "../later.ts";
import type { Verb } from "../verb.ts";

const LIST = { summary: "List containers", load: async () => (await import("./ps.ts")).addPs };
const REMOVE = { summary: "Remove containers", load: async () => (await import("./rm.ts")).addRm };

/** Both `tsbox NAME` and `tsbox container NAME`. */
const BOTH: LaterVerbs = {
  attach: {
    summary: "Join the stdin, stdout and stderr of a running container",
    load: async () => (await import("./attach.ts")).addAttach,
  },
  commit: {
    summary: "Make an image of a container's files, with its configuration",
    load: async () => (await import("./commit.ts")).addCommit,
  },
  cp: {
    summary: "Copy files between a container and the host",
    load: async () => (await import("./cp.ts")).addCopy,
  },
  create: {
    summary: "Create a container, without starting it",
    load: async () => (await import("./create.ts")).addCreate,
  },
  diff: {
    summary: "List what a container has changed of its image's files",
    load: async () => (await import("./diff.ts")).addDiff,
  },
  exec: {
    summary: "Run a further command in a running container",
    load: async () => (await import("./exec.ts")).addExec,
  },
  export: {
    summary: "Write the files of a container as a tar archive",
    load: async () => (await import("./export.ts")).addExport,
  },
  kill: {
    summary: "Kill running containers, or send them another signal",
    load: async () => (await import("./kill.ts")).addKill,
  },
  logs: {
    summary: "Print what a container wrote",
    load: async () => (await import("./logs.ts")).addLogs,
  },
  pause: {
    summary: "Pause all processes of containers",
    load: async () => (await import("./pause.ts")).addPause,
  },
  port: {
    summary: "List the ports of a container that are published",
    load: async () => (await import("./port.ts")).addPort,
  },
  rename: {
    summary: "Rename a container",
    load: async () => (await import("./rename.ts")).addRename,
  },
  restart: {
    summary: "Restart containers",
    load: async () => (await import("./restart.ts")).addRestart,
  },
  start: {
    summary: "Start stopped containers",
    load: async () => (await import("./start.ts")).addStart,
  },
  stats: {
    summary: "Show what containers use",
    load: async () => (await import("./stats.ts")).addStats,
  },
  stop: {
    summary: "Stop running containers",
    load: async () => (await import("./stop.ts")).addStop,
  },
  top: {
    summary: "Show the processes of a container",
    load: async () => (await import("./top.ts")).addTop,
  },
  unpause: {
    summary: "Unpause all processes of containers",
    load: async () => (await import("./pause.ts")).addUnpause,
  },
  update: {
    summary: "Change limits, restart and network policies of containers",
    load: async () => (await import("./update.ts")).addUpdate,
  },
  wait: {
    summary: "Wait until containers have stopped, and print their exit codes",
    load: async () => (await import("./wait.ts")).addWait,
  },
};

/** `tsbox NAME` only. */
const OWN: LaterVerbs = {
  events: {
    summary: "Print what happens, as it happens",
    load: async () => (await import("./events.ts")).addEvents,
  },
  explain: {
    summary: "Tell what a container is made of",
    load: async () => (await import("./explain.ts")).addExplain,
  },
  inspect: {
    summary: "Print what is known of containers, images, networks, volumes",
    load: async () => (await import("./inspect.ts")).addInspect,
  },
  ps: LIST,
  rm: REMOVE,
};

/** `tsbox container NAME` only. */
const OF_CONTAINER: LaterVerbs = {
  ended: {
    summary: "Decide what becomes of a container that has ended",
    load: async () => (await import("./hidden.ts")).addEnded,
    hidden: true,
  },
  health: {
    summary: "Perform a health check",
    load: async () => (await import("./hidden.ts")).addHealth,
    hidden: true,
  },
  inspect: {
    summary: "Print all that is known of containers",
    load: async () => (await import("./inspect.ts")).addContainerInspect,
  },
  ls: { ...LIST, alias: ["list", "ps"] },
  prune: {
    summary: "Remove all stopped containers",
    load: async () => (await import("./prune.ts")).addContainerPrune,
  },
  "restart-now": {
    summary: "Start a container that waits for it",
    load: async () => (await import("./hidden.ts")).addRestartNow,
    hidden: true,
  },
  rm: { ...REMOVE, alias: "remove" },
  run: {
    summary: "Run a command in a sandbox of its own, or in a container",
    load: async () => (await import("../run.ts")).addRun,
  },
};

export async function addContainerVerbs(tsbox: Verb, line: CommandLine, all: boolean): Promise<void> {
  await addLater(tsbox, sorted({ ...BOTH, ...OWN }), line, all);
  const verbs = sorted({ ...BOTH, ...OF_CONTAINER });
  await addGroup(tsbox, { name: "container", summary: "Manage containers", verbs }, line, all);
}

const sorted = (verbs: LaterVerbs): LaterVerbs =>
  Object.fromEntries(Object.entries(verbs).toSorted(([a], [b]) => (a < b ? -1 : 1)));
