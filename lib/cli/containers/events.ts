/** `tsbox events`: what happens to containers, networks and volumes. @module @see https://docs.docker.com/reference/cli/docker/system/events/ */
import type { ContainerEvent, EventsOptions } from "../../containers/index.ts";
import { declare, FORMAT, type Add } from "../images/declare.ts";
import { valuesOf } from "../images/filters.ts";
import { forStdout, rendered } from "../images/rows.ts";
import { print } from "../print.ts";
import { jsonOf, valueOf } from "../template/template.ts";
import { safeWord } from "../safe-text.ts";
import { moment } from "./moment.ts";
import { withContainers } from "./with-containers.ts";

interface EventsFlags {
  filter?: string[];
  format?: string;
  since?: string;
  until?: string;
}

export const addEvents: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print what happens, as it happens",
      usage: "[FLAGS]",
      flags: [
        ["-f, --filter <KEY=VALUE>...", "container=, event=, image=, label=, type=, volume="],
        [
          "--format <FORMAT>",
          FORMAT.replace(', "table" and a template,', "").replace("{{.ID}} {{.Size}}", "{{.Action}}"),
        ],
        ["--since <TIME>", 'Also what was since then: "10m" ago, "2026-11-25T10:00:00Z", seconds since 1970'],
        ["--until <TIME>", "Only until then"],
      ],
    },
    (flags: EventsFlags) =>
      withContainers(async (containers, signal) => {
        const options = optionsOf(flags);
        const line = lineOf(flags.format);
        for await (const event of containers.events({ ...options, signal })) print(`${line(event)}\n`);
      }),
  );

function optionsOf({ filter = [], since, until }: EventsFlags): EventsOptions {
  const filters = Object.fromEntries(valuesOf(filter));
  const options: EventsOptions = { filters };
  const milliseconds = (flag: string, text: string) => Number(moment(flag, text) / 1_000_000n);
  if (since !== undefined) options.since = milliseconds("--since", since);
  if (until !== undefined) options.until = milliseconds("--until", until);
  return options;
}

function lineOf(format: string | undefined): (event: ContainerEvent) => string {
  if (format === undefined) return eventLine;
  if (format === "json") return (event) => jsonOf(valueOf(eventData(event)));
  const source = format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  // a mistake in it is told before anything happens
  rendered(source, undefined, () => "");
  return (event) =>
    rendered(source, "what there is: .Type .Action .Actor .ID .From .Status .Time .TimeNano", (line) =>
      line(templateData(event), { show: forStdout() }),
    );
}

/** `2026-11-25T10:00:00.123000000Z container start ID (image=busybox, name=web)` */
export function eventLine({ time, type, action, id, attributes }: ContainerEvent): string {
  const pairs = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const told = pairs.map(([name, value]) => `${name}=${value}`).join(", ");
  // labels may hold line ends, and an event is a line
  return safeWord(`${momentText(time)} ${type} ${action} ${id}${pairs.length > 0 ? ` (${told})` : ""}`);
}

const two = (number: number) => String(number).padStart(2, "0");

/** With nanoseconds and the time zone of whoever asks, as Docker has it. */
function momentText(time: number): string {
  const date = new Date(time);
  const minutes = -date.getTimezoneOffset();
  const local = new Date(time + minutes * 60_000).toISOString().slice(0, 23);
  const size = Math.abs(minutes);
  const zone = minutes === 0 ? "Z" : `${minutes < 0 ? "-" : "+"}${two(Math.trunc(size / 60))}:${two(size % 60)}`;
  return `${local}000000${zone}`;
}

const nanoseconds = (time: number): bigint => BigInt(Math.floor(time)) * 1_000_000n;

/** As JSON has them; of a container with the older names as well. */
export function eventData({ time, type, action, id, attributes }: ContainerEvent): object {
  const older = type === "container" ? { status: action, id, from: attributes["image"] ?? "" } : {};
  return {
    ...older,
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: new Map(Object.entries(attributes)) },
    scope: "local",
    time: Math.floor(time / 1000),
    timeNano: nanoseconds(time),
  };
}

/** As templates name them. */
const templateData = ({ time, type, action, id, attributes }: ContainerEvent): object => ({
  Type: type,
  Action: action,
  Actor: { ID: id, Attributes: new Map(Object.entries(attributes)) },
  Scope: "local",
  ID: id,
  From: attributes["image"] ?? "",
  Status: action,
  Time: Math.floor(time / 1000),
  TimeNano: nanoseconds(time),
});
