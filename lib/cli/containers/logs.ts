/** `tsbox logs`: what a container wrote. @module */
import type { WriteLogsOptions } from "../../containers/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { invalid } from "../invalid.ts";
import { print } from "../print.ts";
import { complain } from "../report.ts";
import { moment } from "./moment.ts";
import { withContainers } from "./with-containers.ts";

interface LogsFlags {
  details?: boolean;
  follow?: boolean;
  since?: string;
  tail?: string;
  timestamps?: boolean;
  until?: string;
}

export const addLogs: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print what a container wrote",
      usage: "[FLAGS] CONTAINER",
      words: ["<CONTAINER>"],
      flags: [
        ["--details", "With the labels and variables that its log options name"],
        ["-f, --follow", "Go on as it is written, until the container has ended"],
        ["--since <TIME>", 'What was written since then: "10m" ago, "2026-01-31T12:00:00Z", seconds since 1970'],
        ["-n, --tail <NUMBER>", 'So many lines from the end (default "all")'],
        ["-t, --timestamps", "With the time of each line"],
        ["--until <TIME>", "What was written until then"],
      ],
    },
    (container: string, flags: LogsFlags) =>
      withContainers(async (containers, signal) => {
        let damagedBytes = 0;
        const onDamage = (bytes: number) => void (damagedBytes += bytes);
        const options = { ...optionsOf(flags), signal, onDamage };
        await (
          await containers.get(container)
        ).writeLogs(options, (stream, memory, start, end) => print(memory.subarray(start, end), stream));
        if (damagedBytes > 0)
          complain(`warning: the log of ${container} is damaged: ${damagedBytes} bytes could not be understood`);
      }),
  );

function optionsOf({ details, follow, since, tail = "all", timestamps, until }: LogsFlags): WriteLogsOptions {
  return {
    ...(details ? { details } : {}),
    ...(follow ? { follow } : {}),
    ...(timestamps ? { timestamps } : {}),
    ...(since === undefined || since === "" ? {} : { since: moment("--since", since) }),
    ...(until === undefined || until === "" ? {} : { until: moment("--until", until) }),
    ...tailOf(tail),
  };
}

/** A negative number is all, as Docker has it. */
function tailOf(text: string): Pick<WriteLogsOptions, "tail"> {
  if (text === "all" || text === "" || /^-\d+$/.test(text)) return {};
  if (!/^\d{1,15}$/.test(text)) throw invalid("--tail", text, "not a number of lines", '"all", or a number');
  return { tail: Number(text) };
}
