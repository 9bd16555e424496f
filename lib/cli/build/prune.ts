/** `tsbox builder prune`: what builds have kept, and nobody needs. @module */
import type { PrunedCache } from "../../build/index.ts";
import { confirm } from "../ask.ts";
import { declare, type Add } from "../images/declare.ts";
import { humanSize } from "../images/human.ts";
import { shortId } from "../images/layer-lines.ts";
import { aligned } from "../images/table.ts";
import { safely } from "../images/with-images.ts";
import { invalid } from "../invalid.ts";
import { print } from "../print.ts";
import { safeWord } from "../safe-text.ts";

interface PruneFlags {
  all?: boolean;
  filter?: string[];
  force?: boolean;
  keepStorage?: string;
}

const UNUSED = "all build cache that no image has";
const ALL = "all build cache";

export const addBuilderPrune: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove build cache",
      usage: "[FLAGS]",
      flags: [
        ["-a, --all", "Also what images have, directories of RUN --mount=type=cache, and what ADD has downloaded"],
        ["--filter <until=TIME>...", 'What has not been used for so long: "until=24h"'],
        ["--keep-storage <SIZE>", 'Keep so much of it, that used last: "10gb"'],
        ["-f, --force", "Do not ask"],
      ],
    },
    ({ all = false, filter = [], force = false, keepStorage }: PruneFlags) =>
      safely(async () => {
        const olderThan = ageOf(filter);
        const keep = keepStorage === undefined ? undefined : bytesOf(keepStorage);
        if (!force && !confirm(`WARNING! This will remove ${all ? ALL : UNUSED}.`)) return;
        const { Tsbox } = await import("../../engine/index.ts");
        using engine = new Tsbox();
        const pruned = await engine.pruneBuildCache({
          all,
          ...(olderThan === undefined ? {} : { olderThan }),
          ...(keep === undefined ? {} : { keep }),
        });
        tellRemoved(pruned);
        print(`Total reclaimed space: ${humanSize(pruned.freedBytes, 4)}\n`);
      }),
  );

export function tellRemoved({ removed }: PrunedCache): void {
  const rows = removed.map(({ key, text, bytes }) => [shortId(key), humanSize(bytes), safeWord(text)].join("\t"));
  if (rows.length > 0) print(aligned(`${["ID\tSIZE\tWHAT", ...rows].join("\n")}\n\n`));
}

const UNITS_MS: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

/** `until=24h`, `until=1h30m` */
function ageOf(filters: readonly string[]): number | undefined {
  let age: number | undefined;
  for (const filter of filters) {
    const [, time = ""] = /^\s*until\s*=\s*((?:\d{1,9}[smhd])+)\s*$/.exec(filter) ?? [];
    if (time === "") throw invalid("--filter", filter, "not understood", "until=24h");
    const parts = time.match(/\d+[smhd]/g) ?? [];
    age = parts.reduce((sum, part) => sum + Number(part.slice(0, -1)) * (UNITS_MS[part.slice(-1)] ?? 0), 0);
  }
  return age;
}

/** As Docker: powers of a thousand, or of 1024 with an i. */
function bytesOf(text: string): number {
  const [, number = "", unit = "", binary] = /^(\d+(?:\.\d+)?) ?([kmgt]?)(i)?b?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (binary ? 1024 : 1000) ** " kmgt".indexOf(unit.toLowerCase() || " "));
  if (number === "" || !Number.isSafeInteger(bytes)) throw invalid("--keep-storage", text, "not a size", '"10gb"');
  return bytes;
}
