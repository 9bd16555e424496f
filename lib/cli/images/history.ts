/** `tsbox history`: how an image came about. @module */
import type { HistoryStep } from "../../images/index.ts";
import { print } from "../print.ts";
import { checkPlatform } from "./check-platform.ts";
import { declare, FORMAT, PLATFORM, type Add } from "./declare.ts";
import { humanSince, humanSize, shortTime } from "./human.ts";
import { shortId } from "./layer-lines.ts";
import { listed, type Row } from "./rows.ts";
import { withImages } from "./with-images.ts";

interface HistoryFlags {
  format?: string;
  human?: boolean;
  trunc?: boolean;
  quiet?: boolean;
  platform?: string;
}

/** Of a step that is told in a table. */
const MAX_STEP = 45;
const TABLE = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

export const addHistory: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Show the history of an image",
      usage: "[FLAGS] IMAGE",
      words: ["<IMAGE>"],
      flags: [
        ["--format <FORMAT>", FORMAT],
        ["-H, --human", "Sizes and times for people (default true)"],
        ["--no-trunc", "Ids and steps as they are"],
        ["--platform <PLATFORM>", PLATFORM],
        ["-q, --quiet", "Ids alone"],
      ],
    },
    (image: string, flags: HistoryFlags) =>
      withImages(async (images) => {
        await checkPlatform(images, image, flags.platform);
        print(historyTable(await images.history(image), flags, new Date()));
      }),
  );

/** The last step first. */
export function historyTable(steps: readonly HistoryStep[], flags: HistoryFlags, now: Date): string {
  const { format, human = true, trunc = true, quiet = false } = flags;
  const titles = {
    ID: "IMAGE",
    CreatedSince: human ? "CREATED" : "CREATED AT",
    CreatedAt: "CREATED AT",
    CreatedBy: "CREATED BY",
    Size: "SIZE",
    Comment: "COMMENT",
  };
  const rows = steps.map((step): Row => {
    const date = step.created === undefined ? undefined : new Date(step.created);
    const created = date && Number.isNaN(date.getTime()) ? undefined : date;
    const by = step.createdBy.replaceAll("\t", " ");
    return {
      ID: step.id === undefined ? "<missing>" : trunc ? shortId(step.id) : step.id,
      CreatedSince: human ? humanSince(created, now) : shortTime(created),
      CreatedAt: shortTime(created),
      CreatedBy: trunc ? ellipsis(by, MAX_STEP) : by,
      Size: human ? humanSize(step.sizeBytes) : String(step.sizeBytes),
      Comment: step.comment,
    };
  });
  return listed(quiet && !format ? "{{.ID}}" : format, { table: TABLE, titles }, rows);
}

function ellipsis(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join("")}…`;
}
