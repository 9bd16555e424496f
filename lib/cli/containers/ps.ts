/** `tsbox ps`: the containers that there are. @module */
import { networksOf, type Containers, type ContainerRecord } from "../../containers/index.ts";
import { declare, FORMAT, type Add } from "../images/declare.ts";
import { valuesOf } from "../images/filters.ts";
import { listed } from "../images/rows.ts";
import { invalid } from "../invalid.ts";
import { print } from "../print.ts";
import { warn } from "../report.ts";
import { columnsFor, rowOf, type Wanted } from "./container-rows.ts";
import { withContainers } from "./with-containers.ts";

interface PsFlags {
  all?: boolean;
  filter?: string[];
  format?: string;
  last?: string;
  latest?: boolean;
  trunc?: boolean;
  quiet?: boolean;
  size?: boolean;
}

export const addPs: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "List containers",
      usage: "[FLAGS]",
      flags: [
        ["-a, --all", "Not only those that run"],
        [
          "-f, --filter <KEY=VALUE>...",
          "id=, name=, label=, exited=, status=, ancestor=, before=, since=, volume=, network=, publish=, expose=, health=",
        ],
        ["--format <FORMAT>", FORMAT.replace(".Size", ".Names")],
        ["-n, --last <NUMBER>", "So many that were created last, in any state (default -1: all)"],
        ["-l, --latest", "The one that was created last, in any state"],
        ["--no-trunc", "Ids and commands as they are"],
        ["-q, --quiet", "Ids alone"],
        ["-s, --size", "With what they have written, and that and their images together"],
      ],
    },
    (flags: PsFlags) =>
      withContainers(async (containers) => {
        if (flags.quiet && flags.format) warn(["Ignoring custom format, because both --format and --quiet are set."]);
        const wanted = columnsFor(flags.quiet ? "{{.ID}}" : flags.format, flags.size === true);
        // a mistake in it is told before anything else
        listed(wanted.format, wanted, []);
        print(await table(containers, await chosen(containers, flags), wanted, flags));
      }),
  );

async function chosen(
  containers: Containers,
  { all = false, filter = [], last, latest }: PsFlags,
): Promise<ContainerRecord[]> {
  const filters = Object.fromEntries(valuesOf(filter));
  const most = latest ? 1 : last === undefined ? -1 : Number(last);
  if (!Number.isInteger(most)) throw invalid("--last", last ?? "", "no whole number");
  const found = await containers.list({ all: all || most > 0 || "status" in filters, filters });
  return most > 0 ? found.slice(0, most) : found;
}

async function table(
  containers: Containers,
  records: readonly ContainerRecord[],
  wanted: Wanted,
  { size = false, trunc = true }: PsFlags,
): Promise<string> {
  const { format = "" } = wanted;
  const needsSize = size || /\{\{[^}]*\.Size\b/.test(format);
  const needsMore = needsSize || format === "json" || /\{\{[^}]*(?:\.Label|json\s+\.)/.test(format);
  const needsImage =
    wanted.format === undefined || format === "json" || /\{\{[^}]*(?:\.Image\b|json\s+\.)/.test(format);
  const isNetworked = records.some(({ options }) => networksOf(options).length > 0);
  const places = isNetworked ? await containers.places() : undefined;
  const manner = {
    trunc,
    isTable: wanted.format === undefined,
    now: Date.now(),
    labels: wanted.labels,
    ...(places ? { places } : {}),
    ...(needsImage ? { withoutImageName: await containers.withoutImageName(records) } : {}),
  };
  const rows = [];
  for (const record of records) {
    const known = needsMore ? await inspected(containers, record.id, needsSize) : undefined;
    rows.push(rowOf(record, known, manner));
  }
  return listed(wanted.format, wanted, rows);
}

/** Undefined for one that is gone by now. */
async function inspected(containers: Containers, id: string, size: boolean) {
  try {
    return await (await containers.get(id)).inspect({ size });
  } catch (error) {
    if ((error as { code?: string }).code === "container_not_found") return undefined;
    throw error;
  }
}
