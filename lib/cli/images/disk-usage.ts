/** `tsbox system df`: the space that is used. @module */
import type { HistoryStep, Images, ImageSummary } from "../../images/index.ts";
import { print } from "../print.ts";
import { jsonOf, valueOf } from "../template/template.ts";
import { declare, FORMAT, type Add } from "./declare.ts";
import { humanSize } from "./human.ts";
import { IMAGE_TITLES, rowsOf } from "./list.ts";
import { listed, type Row } from "./rows.ts";
import { withImages } from "./with-images.ts";

interface UsageFlags {
  format?: string;
  verbose?: boolean;
}

const TITLES = { Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE", Reclaimable: "RECLAIMABLE" };
const TABLE = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const VERBOSE =
  "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
/** What Docker has besides; there is nothing of it. */
const OTHERS = ["Containers", "Local Volumes", "Build Cache"];

export const addDiskUsage: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Show the space that is used",
      usage: "[FLAGS]",
      flags: [
        ["--format <FORMAT>", FORMAT],
        ["-v, --verbose", "Of each image"],
      ],
    },
    ({ format, verbose }: UsageFlags) =>
      withImages(async (images) => {
        print(verbose ? await verboseTable(images, format) : usageTable(await images.diskUsage(), format));
      }),
  );

type Usage = Awaited<ReturnType<Images["diskUsage"]>>;

function usageTable({ images, active, sizeBytes, reclaimableBytes }: Usage, format: string | undefined): string {
  const percent = sizeBytes > 0 ? ` (${Math.trunc((reclaimableBytes * 100) / sizeBytes)}%)` : "";
  const own: Row = {
    Type: "Images",
    TotalCount: String(images),
    Active: String(active),
    Size: humanSize(sizeBytes, 4),
    Reclaimable: `${humanSize(reclaimableBytes, 4)}${percent}`,
  };
  const others = OTHERS.map((Type): Row => ({ Type, TotalCount: "0", Active: "0", Size: "0B", Reclaimable: "0B" }));
  return listed(format, { table: TABLE, titles: TITLES }, [own, ...others]);
}

async function verboseTable(images: Images, format: string | undefined): Promise<string> {
  const list = await images.list();
  const layers = await Promise.all(list.map(async ({ id }) => layersOf(await images.history(id))));
  const shared = sharedBytes(layers);
  const now = new Date();
  const rows = list.flatMap((image, at) => verboseRow(image, shared[at] ?? 0, now));
  if (format === "json") {
    const sorted = rows.map((row) => new Map(Object.entries(row)));
    return `${jsonOf(valueOf({ Images: sorted, Containers: [], Volumes: [], BuildCache: [] }))}\n`;
  }
  const table = listed(format, { table: VERBOSE, titles: IMAGE_TITLES }, rows);
  return format === undefined ? `Images space usage:\n\n${table}` : table;
}

/** One row, although it may have several names. */
function verboseRow(image: ImageSummary, sharedSize: number, now: Date): Row[] {
  const [row] = rowsOf(image, { digests: false, needsDigest: false, trunc: true, now });
  const UniqueSize = humanSize(image.sizeBytes - sharedSize, 4);
  return row ? [{ ...row, SharedSize: humanSize(sharedSize, 4), UniqueSize }] : [];
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
