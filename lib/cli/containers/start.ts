/** `tsbox start`: containers that do not run, and with -a one that is followed. @module */
import type { Containers } from "../../containers/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { UsageError } from "../report.ts";
import { forAll } from "./each.ts";
import { follow } from "./foreground.ts";
import { withContainers } from "./with-containers.ts";

interface StartFlags {
  attach?: boolean;
  interactive?: boolean;
  detachKeys?: string;
  sigProxy?: boolean;
}

export const addStart: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Start stopped containers",
      usage: "[FLAGS] CONTAINER [CONTAINER...]",
      words: ["<CONTAINER>", "[CONTAINER...]"],
      flags: [
        ["-a, --attach", "Connect stdout and stderr, pass signals on, and end as it does"],
        ["-i, --interactive", "Connect stdin"],
        ["--detach-keys <KEYS>", "What leaves it alone (default ctrl-p,ctrl-q)"],
      ],
    },
    (first: string, more: string[], flags: StartFlags) =>
      withContainers((containers) => {
        const names = [first, ...more];
        if (!flags.attach && !flags.interactive)
          return forAll(names, async (each) => {
            await (await containers.get(each)).start();
            return each;
          });
        if (more.length > 0)
          throw new UsageError("you cannot start and attach multiple containers at once", "leave out -a and -i");
        return startAttached(containers, first, flags);
      }),
  );

async function startAttached(
  containers: Containers,
  name: string,
  { interactive = false, detachKeys }: StartFlags,
): Promise<number> {
  const container = await containers.get(name);
  const { options } = await container.record();
  const hasTerminal = options.terminal !== undefined && options.terminal !== false;
  const stdin = interactive && options.openStdin !== undefined && options.openStdin !== false;
  if (stdin && hasTerminal) (await import("../terminal.ts")).checkTerminal();
  const how = { stdin, stdout: true, stderr: true, sigProxy: !hasTerminal, ...(detachKeys ? { detachKeys } : {}) };
  return follow(container, how, () => container.start());
}
