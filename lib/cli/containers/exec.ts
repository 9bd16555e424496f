/** `tsbox exec`: a further command in a container that runs. @module */
import type { Container, ExecOptions } from "../../containers/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { REFUSED } from "../images/with-images.ts";
import { FAILED, NOT_EXECUTABLE, reportFailure, UsageError } from "../report.ts";
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
    async (container: string, command: string, rest: string[], flags: ExecFlags) => {
      const options = await optionsOf(flags);
      await withContainers(async (containers, signal) => {
        const found = await containers.get(container);
        if (flags.detachKeys !== undefined) new (await import("../../terminal/index.ts")).DetachKeys(flags.detachKeys); // checked
        try {
          return await run(found, [command, ...rest], flags, options, signal);
        } catch (error) {
          return statusOf(error);
        }
      });
    },
  ).passThroughOptions();

/** As Docker has it: 126 where the container could not start a process as it was asked for. */
function statusOf(error: unknown): number {
  const status = reportFailure(error);
  const { code } = error as { code?: string };
  if (error instanceof UsageError || code === "container_not_found" || code === "container_state") return REFUSED;
  return status === FAILED ? NOT_EXECUTABLE : status;
}

async function run(
  container: Container,
  command: string[],
  flags: ExecFlags,
  options: ExecOptions,
  signal: AbortSignal,
): Promise<number> {
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
    // an empty one is the default, as in -u "$USER_OR_NOTHING"
    ...(user ? { user } : {}),
    ...(workdir ? { cwd: workdir } : {}),
  };
  if (!env && !envFile) return options;
  const { callersWorld, environment } = await import("../run-options.ts");
  return { ...options, env: environment(flags, callersWorld()) };
}
