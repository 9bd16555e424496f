/**
 * Lists, as `--format` wants them: a table, a line of JSON each, or a template each.
 * @module
 * @see https://docs.docker.com/engine/cli/formatting/
 */
import { TsboxError } from "../../index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { safeText, safeWord } from "../safe-text.ts";
import { Template, TemplateError } from "../template/template.ts";
import { aligned } from "./table.ts";

/** What a list shows. */
export interface Columns {
  /** A template with tabs, for the table that is shown without `--format`. */
  table: string;
  /** Titles, by the name of what is below. */
  titles: Readonly<Record<string, string>>;
}

export type Row = Readonly<Record<string, string>>;

const STDOUT = 1;

/** On a terminal, what would act on it is shown instead. */
export const forStdout = (): ((text: string) => string) => (sizeOfTerminal(STDOUT) ? safeText : (text) => text);

/** @throws TsboxError `invalid_option` */
export function listed(given: string | undefined, { table, titles }: Columns, unsorted: readonly Row[]): string {
  const format = given === "" ? undefined : given; // an empty one is none, for Docker
  const rows = format === undefined ? unsorted : unsorted.map(sorted);
  const hint = `what there is: ${Object.keys(titles)
    .map((name) => `.${name}`)
    .join(" ")}`;
  if (format === "json") return rendered("{{json .}}", hint, (line) => rows.map((row) => `${line(row)}\n`).join(""));
  const isTable = format === undefined || /^table(?:\s|$)/.test(format);
  const shown = isTable ? (format ?? "").slice("table".length).trim() || table : format;
  const source = shown.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  return rendered(source, hint, (line) => {
    if (!isTable) return rows.map((row) => `${line(row, { show: forStdout() })}\n`).join("");
    const head = line(titles, { isHeader: true });
    return aligned([head, ...rows.map((row) => line(safeCells(row))), ""].join("\n"));
  });
}

/** As JSON has them. */
const sorted = (row: Row): Row => Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)));

const safeCells = (row: Row): Row =>
  Object.fromEntries(Object.entries(row).map(([name, cell]) => [name, safeWord(cell)]));

/** With mistakes of the template as what they are. @throws TsboxError `invalid_option` */
export function rendered(
  source: string,
  hint: string | undefined,
  render: (line: Template["execute"]) => string,
): string {
  try {
    const template = new Template(source);
    return render((data, manner) => template.execute(data, manner));
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    const isOfField = error.message.includes("can't evaluate field");
    const details = isOfField && hint !== undefined ? { hint } : {};
    throw new TsboxError(`use --format: template parsing error: ${error.message}`, {
      code: "invalid_option",
      ...details,
    });
  }
}
