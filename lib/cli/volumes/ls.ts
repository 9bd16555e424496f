/** `tsbox volume ls` @module @see https://docs.docker.com/reference/cli/docker/volume/ls/ */
import type { VolumeRecord, Volumes } from "../../volumes/index.ts";
import { declare, FORMAT, type Add } from "../images/declare.ts";
import { valuesOf } from "../images/filters.ts";
import { listed, type Row } from "../images/rows.ts";
import { labelCells, labelColumns } from "../label-columns.ts";
import { print } from "../print.ts";
import { withVolumes } from "./with-volumes.ts";

interface ListFlags {
  filter?: string[];
  format?: string;
  quiet?: boolean;
}

const TITLES = {
  Driver: "DRIVER",
  Name: "VOLUME NAME",
  Mountpoint: "MOUNTPOINT",
  Scope: "SCOPE",
  Labels: "LABELS",
  Links: "LINKS",
  Size: "SIZE",
};

export const addLs: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "List volumes",
      usage: "[FLAGS]",
      flags: [
        ["-f, --filter <KEY=VALUE>...", "dangling=, driver=, label=, name="],
        ["--format <FORMAT>", FORMAT.replace("{{.ID}} {{.Size}}", "{{.Name}} {{.Labels}}")],
        ["-q, --quiet", "Names alone"],
      ],
    },
    ({ filter = [], format, quiet = false }: ListFlags) =>
      withVolumes(async (volumes) => {
        const filters = Object.fromEntries(valuesOf(filter, ["dangling", "driver", "label", "name"]));
        const wanted = labelColumns(quiet && !format ? "{{.Name}}" : format);
        const rows = volumes
          .list(filters)
          .map((volume) => ({ ...rowOf(volumes, volume), ...labelCells(wanted.labels, volume.labels) }));
        const columns = { table: "{{.Driver}}\t{{.Name}}", titles: { ...TITLES, ...wanted.titles } };
        print(listed(wanted.format, columns, rows));
      }),
  );

const rowOf = (volumes: Volumes, { name, driver, labels }: VolumeRecord): Row => ({
  Driver: driver,
  Name: name,
  Mountpoint: volumes.path(name),
  Scope: "local",
  Labels: Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(","),
  Links: "N/A",
  Size: "N/A",
});
