/** `tsbox inspect`: all that is known of images. @module */
import { invalid } from "../invalid.ts";
import { print } from "../print.ts";
import { jsonOf, valueOf } from "../template/template.ts";
import { checkPlatform } from "./check-platform.ts";
import { declare, FORMAT, PLATFORM, type Add } from "./declare.ts";
import { inspected } from "./inspected.ts";
import { forStdout, rendered } from "./rows.ts";
import { forEach, withImages } from "./with-images.ts";

interface InspectFlags {
  format?: string;
  platform?: string;
  type?: string;
}

const FORMAT_FLAG: [string, string] = ["-f, --format <FORMAT>", FORMAT.replace(', "table" and a template,', "")];
const INDENT = 4;

/** Of any kind; there are images. */
export const addInspect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print all that is known of images",
      usage: "[FLAGS] NAME|ID [NAME|ID...]",
      words: ["<IMAGE>", "[IMAGE...]"],
      flags: [
        FORMAT_FLAG,
        ["-s, --size", "Accepted, and always so: images have sizes"],
        ["--type <image>", "Only of this kind"],
      ],
    },
    inspect,
  );

export const addImageInspect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print all that is known of images",
      usage: "[FLAGS] IMAGE [IMAGE...]",
      words: ["<IMAGE>", "[IMAGE...]"],
      flags: [FORMAT_FLAG, ["--platform <PLATFORM>", PLATFORM]],
    },
    inspect,
  );

function inspect(first: string, more: string[], { format, platform, type }: InspectFlags): Promise<void> {
  return withImages(async (images) => {
    if (type !== undefined && type !== "image") throw invalid("--type", type, "there is nothing of this kind", "image");
    const isTemplate = format !== undefined && format !== "json";
    // a mistake in it is told before anything else
    if (isTemplate) rendered(format, undefined, () => "");
    const found: object[] = [];
    const status = await forEach([first, ...more], async (name) => {
      await checkPlatform(images, name, platform);
      const data = inspected(await images.inspect(name));
      if (isTemplate) print(rendered(format, fieldsOf(data), (line) => `${line(data, { show: forStdout() })}\n`));
      else found.push(data);
    });
    if (!isTemplate) print(`${jsonOf(valueOf(found), format === "json" ? 0 : INDENT)}\n`);
    return status;
  });
}

const fieldsOf = (data: object) =>
  `what there is: ${Object.keys(data)
    .map((name) => `.${name}`)
    .join(" ")}`;
