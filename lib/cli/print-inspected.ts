/** What `inspect` of any kind prints: an array of JSON, or a template each. @module */
import { FORMAT } from "./images/declare.ts";
import { forStdout, rendered } from "./images/rows.ts";
import { forEach } from "./images/with-images.ts";
import { print } from "./print.ts";
import { jsonOf, valueOf } from "./template/template.ts";

export const INSPECT_FORMAT: [string, string] = [
  "-f, --format <FORMAT>",
  FORMAT.replace(', "table" and a template,', "").replace("{{.ID}} {{.Size}}", "{{.Id}}"),
];
const INDENT = 4;

/** @returns the exit status: those that are not found are told, and the others printed */
export async function printInspected(
  names: readonly string[],
  format: string | undefined,
  find: (name: string) => Promise<object>,
): Promise<number> {
  const isTemplate = format !== undefined && format !== "" && format !== "json";
  // a mistake in it is told before anything else
  if (isTemplate) rendered(format, undefined, () => "");
  const found: object[] = [];
  const status = await forEach(names, async (name) => {
    const data = await find(name);
    if (isTemplate) print(rendered(format, fieldsOf(data), (line) => `${line(data, { show: forStdout() })}\n`));
    else found.push(data);
  });
  if (!isTemplate) print(`${jsonOf(valueOf(found), format === "json" ? 0 : INDENT)}\n`);
  return status;
}

const fieldsOf = (data: object) =>
  `what there is: ${Object.keys(data)
    .map((name) => `.${name}`)
    .join(" ")}`;
