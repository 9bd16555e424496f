/** The list of differences, `differences.md`: where an engine does something else than Docker documents, and why. @module */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EngineName } from "./engine.ts";

export interface Difference {
  engine: EngineName;
  /** The name of a case. */
  case: string;
  /** What is printed there instead, at some place. */
  prints: string;
  /** It depends on who is quicker: the case may hold as well. */
  isSometimes: boolean;
  why: string;
}

export function readDifferences(): Difference[] {
  const text = readFileSync(join(import.meta.dir, "differences.md"), "utf8");
  let engine: EngineName = "tsbox";
  const found: Difference[] = [];
  for (const line of text.split("\n")) {
    const heading = /^## (tsbox|podman|docker)$/.exec(line)?.[1];
    if (heading !== undefined) engine = heading as EngineName;
    const cells = /^\| (.+) \| (.+) \| (.+) \|$/.exec(line);
    if (!cells || cells[1] === "case" || /^-+$/.test(cells[1] ?? "")) continue;
    const [, name = "", prints = "", why = ""] = cells.map((cell) => cell.replaceAll("\\|", "|"));
    const shown = /^(-|sometimes)$/.test(prints) ? "" : prints.replace(/^`+ ?|\s?`+$/g, "");
    found.push({ engine, case: name, prints: shown, isSometimes: prints === "sometimes", why });
  }
  return found;
}
