/** What `tsbox ps` shows of a container. @module @see https://docs.docker.com/reference/cli/docker/container/ls/#format */
import { networksOf, portColumn, toldStatus } from "../../containers/index.ts";
import type { ContainerInspect, ContainerRecord, Place } from "../../containers/index.ts";
import { humanDuration, humanSize, longTime } from "../images/human.ts";
import type { Columns, Row } from "../images/rows.ts";
import { labelCells, labelColumns, type LabelColumns } from "../label-columns.ts";
import { commandText, shortened, statusText } from "./status.ts";

export const TITLES = {
  ID: "CONTAINER ID",
  Image: "IMAGE",
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  RunningFor: "CREATED",
  Ports: "PORTS",
  State: "STATE",
  Status: "STATUS",
  HealthStatus: "HEALTH STATUS",
  Size: "SIZE",
  Names: "NAMES",
  Labels: "LABELS",
  Mounts: "MOUNTS",
  LocalVolumes: "LOCAL VOLUMES",
  Networks: "NETWORKS",
};

const TABLE = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/** A template may ask for single labels; each becomes a column. */
export type Wanted = Columns & LabelColumns;

export function columnsFor(format: string | undefined, size: boolean): Wanted {
  const { format: plain, labels, titles } = labelColumns(format);
  return { format: plain, table: size ? `${TABLE}\t{{.Size}}` : TABLE, titles: { ...TITLES, ...titles }, labels };
}

export interface Manner {
  trunc: boolean;
  /** Without a format: what is not in the table is not needed. */
  isTable?: boolean;
  now: number;
  /** What they have in networks. */
  places?: ReadonlyMap<string, readonly Place[]>;
  labels: ReadonlyMap<string, string>;
  /** Those that are called by the ids of their images. */
  withoutImageName?: ReadonlySet<string>;
}

const [ID_LENGTH, COMMAND_LENGTH, MOUNT_LENGTH] = [12, 20, 15];

/** @param known what is not in the record, where it is asked for */
export function rowOf(record: ContainerRecord, known: ContainerInspect | undefined, manner: Manner): Row {
  const { trunc, now, places } = manner;
  const own = places?.get(record.id) ?? [];
  const command = commandText(record.command);
  const shown = {
    ID: trunc ? record.id.slice(0, ID_LENGTH) : record.id,
    Image: imageOf(record, manner),
    Command: JSON.stringify(trunc ? shortened(command, COMMAND_LENGTH) : command),
    RunningFor: `${humanDuration(Math.max(0, now - record.created))} ago`,
    Status: statusText(record, now),
    Ports: portColumn(own.map(({ endpoint }) => endpoint)),
    Names: record.name,
    Size: sizeOf(known),
  };
  return manner.isTable ? shown : { ...shown, ...moreOf(record, known, manner) };
}

/** What is not in the table; there may be hundreds of containers. */
function moreOf(record: ContainerRecord, known: ContainerInspect | undefined, { trunc, labels: asked }: Manner): Row {
  const mounts = mountsOf(record).map((name) => (trunc ? shortened(name, MOUNT_LENGTH) : name));
  const labels = known?.Config.Labels ?? record.options.labels ?? {};
  return {
    CreatedAt: longTime(new Date(record.created)),
    State: toldStatus(record),
    HealthStatus: record.health?.status ?? "none",
    Labels: Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .toSorted()
      .join(","),
    Mounts: mounts.join(","),
    LocalVolumes: String(record.volumes.length),
    Networks: networkOf(record),
    ...labelCells(asked, labels),
  };
}

/** `77B (virtual 4.2MB)` */
function sizeOf(known: ContainerInspect | undefined): string {
  if (known?.SizeRw === undefined) return "0B";
  return `${humanSize(known.SizeRw)} (virtual ${humanSize(known.SizeRootFs ?? known.SizeRw)})`;
}

/** As it was asked for, as long as it is called so; ids and digests are shortened. */
export function imageOf(
  { id: container, image, options }: ContainerRecord,
  { trunc, withoutImageName }: Pick<Manner, "trunc" | "withoutImageName">,
): string {
  if (!image) return typeof options.rootfs === "string" ? options.rootfs : "<no image>";
  const reference = withoutImageName?.has(container) ? image.id : image.reference;
  if (!trunc) return reference;
  const hex = image.id.slice(image.id.indexOf(":") + 1);
  const asked = reference.replace(/^sha256:/, "");
  if (/^[0-9a-f]+$/.test(asked) && hex.startsWith(asked) && (asked.length >= ID_LENGTH || asked !== reference))
    return hex.slice(0, ID_LENGTH);
  const at = reference.indexOf("@");
  return at < 0 ? reference : reference.slice(0, at);
}

/** Volumes by their names, and what is bound by its source. */
const mountsOf = ({ mounts = [] }: ContainerRecord): string[] =>
  mounts.flatMap((mount) => (mount.type === "volume" || mount.type === "bind" ? [mount.source ?? ""] : []));

export function networkOf({ options }: Pick<ContainerRecord, "options">): string {
  const { network = false } = options;
  const named = networksOf(options);
  if (named.length > 0) return named.map(({ name }) => name).join(",");
  if (network === false) return "none";
  return typeof network === "string" ? network : "policy";
}
