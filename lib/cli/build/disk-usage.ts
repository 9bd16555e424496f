/** `tsbox builder du`: what builds have kept. @module */
import { declare, type Add } from "../images/declare.ts";
import { humanSince, humanSize } from "../images/human.ts";
import { shortId } from "../images/layer-lines.ts";
import { aligned } from "../images/table.ts";
import { safely } from "../images/with-images.ts";
import { print } from "../print.ts";
import { safeWord } from "../safe-text.ts";

export const addBuilderUsage: Add = (parent, name) =>
  void declare(parent, name, { summary: "Show the space that build cache takes", usage: "[FLAGS]" }, () =>
    safely(async () => {
      const { Tsbox } = await import("../../engine/index.ts");
      using engine = new Tsbox();
      const entries = await engine.buildCacheUsage();
      const now = new Date();
      const rows = entries.map(({ key, isInUse, bytes, used, text }) =>
        [shortId(key), String(!isInUse), humanSize(bytes), humanSince(new Date(used), now), safeWord(text)].join("\t"),
      );
      print(aligned(`${["ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\tWHAT", ...rows].join("\n")}\n\n`));
      const total = (kept: typeof entries) =>
        humanSize(
          kept.reduce((sum, { bytes }) => sum + bytes, 0),
          4,
        );
      print(`Reclaimable:\t${total(entries.filter(({ isInUse }) => !isInUse))}\nTotal:\t\t${total(entries)}\n`);
    }),
  );
