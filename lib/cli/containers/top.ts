/** `tsbox top`: the processes of a container. @module */
import type { Container, ContainerStats } from "../../containers/index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { aligned } from "../images/table.ts";
import { print } from "../print.ts";
import { UsageError } from "../report.ts";
import { safeWord } from "../safe-text.ts";
import { Redrawn } from "./redraw.ts";
import { graphs } from "./stats.ts";
import { withContainers } from "./with-containers.ts";

const STDOUT = 1;
const INTERVAL_MS = 1000;
/** Docker's columns here are wider than elsewhere. */
const LEAST = 20;

export const addTop: Add = (parent, name) => {
  const verb = declare(
    parent,
    name,
    {
      summary: "Show the processes of a container",
      more:
        ", with the columns of ps(1): -ef unless said otherwise. Pids are the host's, users the container's own.\n" +
        "It is a snapshot, as Docker's; --live, before the container, draws it again each second, busiest first,\n" +
        "below small graphs of CPU, memory, network and disk",
      usage: "[--live] CONTAINER [PS OPTIONS]",
      words: ["<CONTAINER>", "[PS_OPTIONS...]"],
      flags: [["--live", "Again each second, with graphs; on a terminal"]],
    },
    (container: string, words: string[], { live = false }: { live?: boolean }) =>
      withContainers(async (containers, signal) => {
        if (live && !sizeOfTerminal(STDOUT))
          throw new UsageError("top --live: stdout is no terminal", "leave out --live, or see tsbox stats");
        const found = await containers.get(container);
        if (live) await show(found, words, signal);
        else print(`${tableOf(await found.top(words), LEAST)}\n`);
      }),
  );
  verb.passThroughOptions();
};

function tableOf({ titles, rows }: { titles: string[]; rows: string[][] }, least?: number): string {
  return aligned([titles, ...rows].map((cells) => cells.map(safeWord).join("\t")).join("\n"), least);
}

const WORDS = ["-o", "pid,nspid,user,stat,%cpu,%mem,rss,nlwp,time,args", "--sort", "-%cpu"];

async function show(container: Container, words: string[], signal: AbortSignal): Promise<void> {
  const { name } = await container.record();
  const asked = words.length > 0 ? words : WORDS;
  // what is wrong with the words is told before the terminal changes
  await container.top(asked);
  const history: ContainerStats[] = [];
  using screen = new Redrawn();
  for await (const stats of container.stats({ interval: INTERVAL_MS, signal })) {
    history.push(stats);
    if (history.length > screen.width) history.shift();
    const table = tableOf(await container.top(asked));
    screen.draw([
      `${name}: ${stats.pids} processes and threads`,
      graphs(history, screen.width),
      "",
      ...table.split("\n"),
    ]);
  }
}
