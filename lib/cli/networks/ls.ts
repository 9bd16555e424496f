/** `tsbox network ls` @module @see https://docs.docker.com/reference/cli/docker/network/ls/ */
import type { NetworkRecord } from "../../network/index.ts";
import { declare, FORMAT, type Add } from "../images/declare.ts";
import { valuesOf } from "../images/filters.ts";
import { listed, type Row } from "../images/rows.ts";
import { print } from "../print.ts";
import { withNetworks } from "./with-networks.ts";

interface ListFlags {
  filter?: string[];
  format?: string;
  trunc?: boolean;
  quiet?: boolean;
}

const TITLES = {
  ID: "NETWORK ID",
  Name: "NAME",
  Driver: "DRIVER",
  Scope: "SCOPE",
  IPv4: "IPV4",
  IPv6: "IPV6",
  Internal: "INTERNAL",
  Labels: "LABELS",
  CreatedAt: "CREATED AT",
};
const FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const SHORT = 12;

export const addLs: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "List networks",
      usage: "[FLAGS]",
      flags: [
        ["-f, --filter <KEY=VALUE>...", `${FILTERS.join("=, ")}=`],
        ["--format <FORMAT>", FORMAT.replace("{{.ID}} {{.Size}}", "{{.Name}} {{.Labels}}")],
        ["--no-trunc", "Ids as a whole"],
        ["-q, --quiet", "Ids alone"],
      ],
    },
    ({ filter = [], format, trunc = true, quiet = false }: ListFlags) =>
      withNetworks(async ({ networks }) => {
        const filters = Object.fromEntries(valuesOf(filter, FILTERS));
        const rows = networks.list(filters).map((network) => rowOf(network, trunc));
        const columns = { table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", titles: TITLES };
        print(listed(quiet && !format ? "{{.ID}}" : format, columns, rows));
      }),
  );

const rowOf = ({ id, name, driver, subnets, internal, labels, created }: NetworkRecord, trunc: boolean): Row => ({
  ID: trunc ? id.slice(0, SHORT) : id,
  Name: name,
  Driver: driver,
  Scope: "local",
  IPv4: String(subnets.some(({ subnet }) => !subnet.includes(":"))),
  IPv6: String(subnets.some(({ subnet }) => subnet.includes(":"))),
  Internal: String(internal),
  Labels: Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(","),
  CreatedAt: new Date(created).toISOString(),
});
