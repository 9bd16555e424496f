/** `tsbox attach`: the streams of a container that runs. @module */
import { declare, type Add } from "../images/declare.ts";
import { UsageError } from "../report.ts";
import { withContainers } from "./with-containers.ts";

interface AttachFlags {
  detachKeys?: string;
  stdin?: boolean;
  sigProxy?: boolean;
}

/** Docker's words, for those that cannot be joined. */
const REFUSED: Partial<Record<string, [why: string, hint: string]>> = {
  paused: ["You cannot attach to a paused container, unpause it first", '"tsbox unpause"'],
  restarting: ["You cannot attach to a restarting container, wait until it is running", '"tsbox logs -f"'],
};
const STOPPED: [why: string, hint: string] = [
  "You cannot attach to a stopped container, start it first",
  '"tsbox start -a"',
];

export const addAttach: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Join the stdin, stdout and stderr of a running container",
      usage: "[FLAGS] CONTAINER",
      words: ["<CONTAINER>"],
      flags: [
        ["--detach-keys <KEYS>", "At a terminal: what leaves it alone (default ctrl-p,ctrl-q)"],
        ["--no-stdin", "Leave stdin out"],
        ["--sig-proxy", "Pass signals on (default true)"],
      ],
    },
    (word: string, { detachKeys, stdin = true, sigProxy = true }: AttachFlags) =>
      withContainers(async (containers) => {
        const container = await containers.get(word);
        const { status, options } = await container.record();
        if (status !== "running") throw new UsageError(...(REFUSED[status] ?? STOPPED));
        const terminal = options.terminal !== undefined && options.terminal !== false;
        const isOpen = options.openStdin !== undefined && options.openStdin !== false;
        if (terminal && isOpen && stdin) (await import("../terminal.ts")).checkTerminal();
        const { attachTo } = await import("./foreground.ts");
        return attachTo(container, {
          stdin: stdin && isOpen,
          stdout: true,
          stderr: true,
          sigProxy: sigProxy && !terminal,
          ...(detachKeys === undefined ? {} : { detachKeys }),
        });
      }),
  );
