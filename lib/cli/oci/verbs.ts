/**
 * The verbs of the OCI runtime: runc's, with its flags. What they do is in the files that they name; those of verbs
 * that every container needs are loaded together (measured: 0.8 ms less than one by one).
 * @module
 * @see https://github.com/opencontainers/runc/tree/main/man
 */
import * as change from "./change.ts";
import * as make from "./make.ts";
import type { Call, Flag } from "./flags.ts";

export interface Verb {
  usage: string;
  args: string;
  /** How many there may be. */
  least: number;
  most: number;
  /** Flags behind the first argument are not ours. */
  stopAtFirst?: boolean;
  flags: readonly Flag[];
  /** It only says that there is no such thing, whatever is asked of it. */
  isRefused?: true;
  /** @returns the exit status, where it is not 0 */
  run: (call: Call) => Promise<number | void>;
  /** Of a failure. */
  failed?: number;
}

export const GLOBAL_FLAGS: readonly Flag[] = [
  ["debug", "flag", "tell of every step"],
  ["log", "text", "a file to write messages to (default: stderr)"],
  ["log-format", "text", '"text" or "json" (default: text)'],
  ["root", "text", "where the state of containers is kept; a tmpfs is best"],
  ["systemd-cgroup", "flag", 'let systemd make the cgroup; cgroupsPath is then "slice:prefix:name"'],
  ["cgroup-manager", "text", 'who makes the cgroup: "cgroupfs", "systemd", or "disabled" for none at all'],
  ["rootless", "text", 'go without cgroups that may not be made: "true", "false" or "auto" (default: auto)'],
  ["criu", "text"],
  ["version, v", "flag", "print the version"],
  ["help, h", "flag", "print this help"],
];

const PROCESS_FLAGS: readonly Flag[] = [
  ["console-socket", "text", "a unix socket that is sent the terminal's master end"],
  ["pidfd-socket", "text", "a unix socket that is sent a pidfd of the process"],
  ["pid-file", "text", "a file to write the process id to"],
  ["preserve-fds", "number", "so many more descriptors are passed on, behind stdio and those of $LISTEN_FDS"],
];
const CREATE_FLAGS: readonly Flag[] = [
  ["bundle, b", "text", "the bundle's directory (default: the working directory)"],
  ...PROCESS_FLAGS,
  ["no-pivot", "flag", "change the root without pivot_root: for a root on an initial ramdisk"],
  ["no-new-keyring", "flag", "keep the caller's session keyring"],
];
const FORMAT: Flag = ["format, f", "text", '"table" or "json" (default: table)'];
const ID = "<container-id>";

const look = () => import("./look.ts");

const NO_CHECKPOINTS = async () => {
  throw new Error("checkpoint and restore are not supported");
};

export const VERBS: Readonly<Record<string, Verb>> = {
  checkpoint: {
    usage: "not supported",
    args: ID,
    least: 0,
    most: 99,
    isRefused: true,
    flags: [],
    run: NO_CHECKPOINTS,
  },
  create: {
    usage: "make a container, whose command waits to be started",
    args: ID,
    least: 1,
    most: 1,
    flags: CREATE_FLAGS,
    run: make.create,
  },
  delete: {
    usage: "remove a container that has stopped, and all that it holds",
    args: ID,
    least: 1,
    most: 1,
    flags: [["force, f", "flag", "kill it first where it runs, and take it that it may be gone"]],
    run: change.remove,
  },
  events: {
    usage: "print statistics of a container, and when it is out of memory",
    args: ID,
    least: 1,
    most: 1,
    flags: [
      ["interval", "text", 'how often: "500ms", "1m" (default: 5s)'],
      ["stats", "flag", "once"],
    ],
    run: async (call) => (await look()).events(call),
  },
  exec: {
    usage: "run another process in a container",
    args: `${ID} <command> [argument...] | --process FILE ${ID}`,
    least: 1,
    most: Infinity,
    stopAtFirst: true,
    flags: [
      ...PROCESS_FLAGS,
      ["cwd", "text", "its working directory"],
      ["env, e", "list", "a variable: NAME=VALUE"],
      ["tty, t", "flag", "give it a terminal"],
      ["user, u", "text", "who it runs as: <uid>[:<gid>]"],
      ["additional-gids, g", "list", "a group besides"],
      ["process, p", "text", "a file with a process of the specification"],
      ["detach, d", "flag", "do not wait for it"],
      ["process-label", "text", "its SELinux label"],
      ["apparmor", "text", "its AppArmor profile"],
      ["no-new-privs", "flag", "it cannot gain privileges"],
      ["cap, c", "list", "a capability besides"],
      ["cgroup", "list", "a cgroup below the container's: [<controller>:]<path>"],
      ["ignore-paused", "flag", "also where the container is paused"],
    ],
    run: make.exec,
    // as others have it who run commands elsewhere: 1 may be the command's own
    failed: 255,
  },
  features: {
    usage: "print what this runtime supports",
    args: "",
    least: 0,
    most: 0,
    flags: [],
    run: async () => (await look()).printFeatures(),
  },
  kill: {
    usage: "send a signal to a container's first process (default: SIGTERM)",
    args: `${ID} [signal]`,
    least: 1,
    most: 2,
    stopAtFirst: true,
    flags: [["all, a", "flag", "to all of its processes; that it has stopped is no error then"]],
    run: change.kill,
  },
  list: {
    usage: "list the containers below --root",
    args: "",
    least: 0,
    most: 0,
    flags: [FORMAT, ["quiet, q", "flag", "their ids alone"]],
    run: async (call) => (await look()).list(call),
  },
  pause: {
    usage: "stop all processes of a container where they are",
    args: ID,
    least: 1,
    most: 1,
    flags: [],
    run: change.pause,
  },
  ps: {
    usage: "list the processes of a container",
    args: `${ID} [option of ps(1)...]`,
    least: 1,
    most: Infinity,
    stopAtFirst: true,
    flags: [FORMAT],
    run: async (call) => (await look()).ps(call),
  },
  restore: { usage: "not supported", args: ID, least: 0, most: 99, isRefused: true, flags: [], run: NO_CHECKPOINTS },
  resume: {
    usage: "let the processes of a paused container go on",
    args: ID,
    least: 1,
    most: 1,
    flags: [],
    run: change.resume,
  },
  run: {
    usage: "make a container and start it",
    args: ID,
    least: 1,
    most: 1,
    flags: [
      ...CREATE_FLAGS,
      ["detach, d", "flag", "do not wait for its end"],
      ["keep", "flag", "do not delete it at its end"],
      ["no-subreaper", "flag", "do not take in its orphans"],
    ],
    run: make.run,
  },
  spec: {
    usage: "write a config.json to begin with",
    args: "",
    least: 0,
    most: 0,
    flags: [
      ["bundle, b", "text", "the bundle's directory (default: the working directory)"],
      ["rootless", "flag", "for a user who is not root"],
    ],
    run: async (call) => (await look()).spec(call),
  },
  start: {
    usage: "start the command of a container that was made",
    args: ID,
    least: 1,
    most: 1,
    flags: [],
    run: make.start,
  },
  state: {
    usage: "print the state of a container",
    args: ID,
    least: 1,
    most: 1,
    flags: [],
    run: async (call) => (await look()).state(call),
  },
  update: {
    usage: "change the limits of a container",
    args: ID,
    least: 1,
    most: 1,
    flags: [
      [
        "resources, r",
        "text",
        'a file with "resources" of the specification, or "-" for stdin; other flags are not looked at then',
      ],
      ["blkio-weight", "number", "part of I/O: 10 to 1000"],
      ["cpu-period", "text", "microseconds that a quota is for"],
      ["cpu-quota", "text", "microseconds of CPU time in a period"],
      ["cpu-burst", "text", "microseconds that may be saved up"],
      ["cpu-share", "text", "part of the CPUs among those who want them"],
      ["cpu-rt-period", "text", "microseconds that a real-time quota is for"],
      ["cpu-rt-runtime", "text", "microseconds of real-time CPU time in a period"],
      ["cpuset-cpus", "text", "CPUs that may be used"],
      ["cpuset-mems", "text", "memory nodes that may be used"],
      ["kernel-memory", "text"],
      ["kernel-memory-tcp", "text"],
      ["memory", "text", "bytes of memory"],
      ["cpu-idle", "text", "1: only when nobody else wants the CPU; 0: as others"],
      ["memory-reservation", "text", "bytes that it keeps when memory is short"],
      ["memory-swap", "text", "bytes of memory and swap together; -1: any"],
      ["pids-limit", "number", "processes and threads; -1: any"],
      ["l3-cache-schema", "text", "the schema of Intel RDT for the L3 cache"],
      ["mem-bw-schema", "text", "the schema of Intel RDT for memory bandwidth"],
    ],
    run: async (call) => (await import("./update.ts")).update(call),
  },
};

/** Undefined for what is no verb. */
export const verbOf = (name: string): Verb | undefined => (Object.hasOwn(VERBS, name) ? VERBS[name] : undefined);
