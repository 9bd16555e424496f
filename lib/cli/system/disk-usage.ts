/** `tsbox system df`: the space that is used. @module @see https://docs.docker.com/reference/cli/docker/system/df/ */
import type { Tsbox } from "../../engine/index.ts";
import type { HistoryStep } from "../../images/index.ts";
import { rowOf, TITLES as CONTAINER_TITLES } from "../containers/container-rows.ts";
import { declare, FORMAT, type Add } from "../images/declare.ts";
import { humanSince, humanSize } from "../images/human.ts";
import { shortId } from "../images/layer-lines.ts";
import { IMAGE_TITLES, rowsOf } from "../images/list.ts";
import { listed, type Columns, type Row } from "../images/rows.ts";
import { safely } from "../images/with-images.ts";
import { print } from "../print.ts";
import { jsonOf, valueOf } from "../template/template.ts";

interface UsageFlags {
  format?: string;
  verbose?: boolean;
}

const TITLES = { Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE", Reclaimable: "RECLAIMABLE" };
const TABLE = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const IMAGES: Columns = {
  table:
    "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
  titles: IMAGE_TITLES,
};
const CONTAINERS: Columns = {
  table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
  titles: CONTAINER_TITLES,
};
const VOLUMES: Columns = {
  table: "{{.Name}}\t{{.Links}}\t{{.Size}}",
  titles: { Name: "VOLUME NAME", Links: "LINKS", Size: "SIZE" },
};
const CACHE: Columns = {
  table: "{{.ID}}\t{{.InUse}}\t{{.Size}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Description}}",
  titles: {
    ID: "CACHE ID",
    InUse: "IN USE",
    Size: "SIZE",
    LastUsedSince: "LAST USED",
    UsageCount: "USAGE",
    Description: "DESCRIPTION",
  },
};

export const addDiskUsage: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Show the space that is used",
      usage: "[FLAGS]",
      flags: [
        ["--format <FORMAT>", FORMAT],
        ["-v, --verbose", "Of each image, container and volume"],
      ],
    },
    ({ format, verbose = false }: UsageFlags) =>
      safely(async () => {
        const { Tsbox } = await import("../../engine/index.ts");
        using engine = new Tsbox();
        print(verbose ? await verboseTables(engine, format) : await usageTable(engine, format));
      }),
  );

async function usageTable(engine: Tsbox, format: string | undefined): Promise<string> {
  const { images, active, sizeBytes, reclaimableBytes } = await engine.images.diskUsage();
  const kinds = [
    row("Images", { count: images, active, bytes: sizeBytes, freeBytes: reclaimableBytes }),
    row("Containers", totalOf(await containersOf(engine))),
    row("Local Volumes", totalOf(volumesOf(engine))),
    row("Build Cache", totalOf(cacheOf(await engine.buildCacheUsage()))),
  ];
  return listed(format, { table: TABLE, titles: TITLES }, kinds);
}

interface Total {
  count: number;
  active: number;
  bytes: number;
  /** Of those that are not active. */
  freeBytes: number;
}

function row(Type: string, { count, active, bytes, freeBytes }: Total): Row {
  const percent = bytes > 0 ? ` (${Math.trunc((freeBytes * 100) / bytes)}%)` : "";
  return {
    Type,
    TotalCount: String(count),
    Active: String(active),
    Size: humanSize(bytes, 4),
    Reclaimable: `${humanSize(freeBytes, 4)}${percent}`,
  };
}

function totalOf(all: readonly { bytes: number; isActive: boolean }[]): Total {
  const sum = (some: readonly { bytes: number }[]) => some.reduce((bytes, each) => bytes + each.bytes, 0);
  const idle = all.filter(({ isActive }) => !isActive);
  return { count: all.length, active: all.length - idle.length, bytes: sum(all), freeBytes: sum(idle) };
}

const ACTIVE = ["running", "paused", "restarting"];

async function containersOf({ containers }: Tsbox) {
  const records = await containers.list({ all: true });
  const found = records.map(async (record) => {
    const known = await inspected(containers, record.id);
    return { record, known, bytes: known?.SizeRw ?? 0, isActive: ACTIVE.includes(record.status) };
  });
  return Promise.all(found);
}

/** Undefined for one that is gone by now. */
async function inspected(containers: Tsbox["containers"], id: string) {
  try {
    return await (await containers.get(id)).inspect({ size: true });
  } catch (error) {
    if ((error as { code?: string }).code === "container_not_found") return undefined;
    throw error;
  }
}

function volumesOf({ volumes }: Tsbox) {
  return volumes.list().map(({ name }) => {
    const links = volumes.users(name).length;
    return { name, links, bytes: volumes.sizeBytes(name), isActive: links > 0 };
  });
}

type Kept = Awaited<ReturnType<Tsbox["buildCacheUsage"]>>;

/** What an image has is counted there. */
const cacheOf = (kept: Kept) => kept.map(({ bytes, isInUse }) => ({ bytes: isInUse ? 0 : bytes, isActive: isInUse }));

const cacheRows = (kept: Kept, now: Date): Row[] =>
  kept.map(({ key, isInUse, bytes, used, uses, text }) => ({
    ID: shortId(key),
    InUse: String(isInUse),
    Size: humanSize(bytes),
    LastUsedSince: humanSince(new Date(used), now),
    UsageCount: String(uses),
    Description: text,
  }));

async function verboseTables(engine: Tsbox, format: string | undefined): Promise<string> {
  const now = new Date();
  const containers = await containersOf(engine);
  const images = await imageRows(
    engine,
    containers.map(({ record }) => record.image?.id),
    now,
  );
  const withoutImageName = await engine.containers.withoutImageName(containers.map(({ record }) => record));
  const manner = { trunc: true, now: now.getTime(), labels: new Map<string, string>(), withoutImageName };
  const parts: [name: string, title: string, columns: Columns, rows: Row[]][] = [
    ["Images", "Images space usage:", IMAGES, images],
    [
      "Containers",
      "Containers space usage:",
      CONTAINERS,
      containers.map(({ record, known, bytes }) => ({ ...rowOf(record, known, manner), Size: humanSize(bytes) })),
    ],
    [
      "Volumes",
      "Local Volumes space usage:",
      VOLUMES,
      volumesOf(engine).map(({ name, links, bytes }) => ({ Name: name, Links: String(links), Size: humanSize(bytes) })),
    ],
    ["BuildCache", "Build cache usage:", CACHE, cacheRows(await engine.buildCacheUsage(), now)],
  ];
  if (format === "json") {
    const lists = parts.map(([name, , , rows]) => [name, rows.map((each) => new Map(Object.entries(each)))]);
    return `${jsonOf(valueOf(Object.fromEntries(lists)))}\n`;
  }
  if (format !== undefined) return listed(format, IMAGES, images);
  return parts.map(([, title, columns, rows]) => `${title}\n\n${listed(undefined, columns, rows)}`).join("\n");
}

/** One row for each, although it may have several names. @param used an id for each container */
async function imageRows({ images }: Tsbox, used: readonly (string | undefined)[], now: Date): Promise<Row[]> {
  const list = await images.list();
  const layers = await Promise.all(list.map(async ({ id }) => layersOf(await images.history(id))));
  const shared = sharedBytes(layers);
  return list.flatMap((image, at) => {
    const [first] = rowsOf(image, { digests: false, needsDigest: false, trunc: true, now });
    if (!first) return [];
    const SharedSize = humanSize(shared[at] ?? 0, 4);
    const UniqueSize = humanSize(image.sizeBytes - (shared[at] ?? 0), 4);
    return [{ ...first, SharedSize, UniqueSize, Containers: String(used.filter((id) => id === image.id).length) }];
  });
}

/** A layer, and all below it: what is shared is the same from the bottom up. */
interface Layer {
  chain: string;
  bytes: number;
}

function layersOf(steps: readonly HistoryStep[]): Layer[] {
  let chain = "";
  return steps
    .toReversed()
    .filter(({ diffId }) => diffId !== undefined)
    .map(({ diffId, sizeBytes }) => ({ chain: (chain = `${chain} ${diffId}`), bytes: sizeBytes }));
}

/** Of each image, the bytes of layers that others have as well. */
export function sharedBytes(images: readonly (readonly Layer[])[]): number[] {
  const counts = new Map<string, number>();
  for (const layers of images) for (const { chain } of layers) counts.set(chain, (counts.get(chain) ?? 0) + 1);
  return images.map((layers) =>
    layers.reduce((sum, { chain, bytes }) => sum + ((counts.get(chain) ?? 0) > 1 ? bytes : 0), 0),
  );
}
