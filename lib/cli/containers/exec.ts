/** `tsbox exec`: a further command in a container that runs. @module */
import type { Containers, ExecOptions } from "../../containers/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { REFUSED } from "../images/with-images.ts";
import { reportFailure } from "../report.ts";
import { withContainers } from "./with-containers.ts";

interface ExecFlags {
  detach?: boolean;
  detachKeys?: string;
  env?: string[];
  envFile?: string[];
  interactive?: boolean;
  privileged?: boolean;
  tty?: boolean;
  user?: string;
  workdir?: string;
}

export const addExec: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Run a further command in a running container",
      usage: "[FLAGS] CONTAINER COMMAND [ARG...]",
      words: ["<CONTAINER>", "<COMMAND>", "[ARG...]"],
      flags: [
        ["-d, --detach", "Leave it alone, and print nothing"],
        ["--detach-keys <KEYS>", "With -it: what leaves it alone (default ctrl-p,ctrl-q)"],
        ["-e, --env <K=V>...", "Set a variable; without a value, the caller's"],
        ["--env-file <FILE>...", "Read variables from a file, one per line"],
        ["-i, --interactive", "Connect stdin; without it, the command reads /dev/null"],
        ["--privileged", "With all capabilities, and without a seccomp filter"],
        ["-t, --tty", "A terminal for the command; -it: joined to your own"],
        ["-u, --user <USER>", 'Name or uid, and group: "1000:1000" (default the container\'s)'],
        ["-w, --workdir <DIR>", "Working directory inside (default the container's)"],
      ],
    },
    (container: string, command: string, rest: string[], flags: ExecFlags) =>
      withContainers(async (containers, signal) => {
        try {
          return await run(containers, container, [command, ...rest], flags, signal);
        } catch (error) {
          const status = reportFailure(error);
          return status === FAILED ? REFUSED : status;
        }
      }),
  ).passThroughOptions();

const FAILED = 125;

async function run(
  containers: Containers,
  name: string,
  command: string[],
  flags: ExecFlags,
  signal: AbortSignal,
): Promise<number> {
  const options = await optionsOf(flags);
  const container = await containers.get(name);
  if (flags.detachKeys !== undefined) new (await import("../../terminal/index.ts")).DetachKeys(flags.detachKeys); // checked
  if (flags.detach) {
    await container.execDetached(command, options);
    return 0;
  }
  if (flags.tty) return (await import("./exec-terminal.ts")).execAtTerminal(container, command, options, flags);
  const stdin = flags.interactive ? "inherit" : "ignore";
  const { ownStream } = await import("../../sandbox/index.ts");
  const streams = { stdin, stdout: ownStream(1), stderr: ownStream(2) } as const;
  const process = await container.exec(command, { ...options, ...streams, signal });
  if (streams.stdout === "pipe" || streams.stderr === "pipe")
    await (await import("../pass-on.ts")).passOn(process, process.exited);
  return process.exited;
}

async function optionsOf(flags: ExecFlags): Promise<ExecOptions> {
  const { env, envFile, privileged, user, workdir } = flags;
  const options: ExecOptions = {
    ...(privileged ? { privileged } : {}),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { cwd: workdir }),
  };
  if (!env && !envFile) return options;
  const { callersWorld, environment } = await import("../run-options.ts");
  return { ...options, env: environment(flags, callersWorld()) };
}
