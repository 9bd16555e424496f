/** Verbs that print: `state`, `list`, `ps`, `events`, `features`, `spec`. @module */
import * as engine from "../../oci/index.ts";
import { print } from "../print.ts";
import { UsageError } from "./flags.ts";
import type { Call } from "./verbs.ts";

export async function state({ runtime, args: [id = ""] }: Call): Promise<void> {
  print(`${JSON.stringify(await engine.state(runtime, id), null, 2)}\n`);
}

export async function list({ runtime, values }: Call): Promise<void> {
  const format = formatOf(values.text("format"));
  const containers = await engine.list(runtime);
  if (values.flag("quiet")) print(containers.map(({ id }) => `${id}\n`).join(""));
  else if (format === "json") print(`${JSON.stringify(containers)}\n`);
  else {
    const rows = containers.map((each) => [
      each.id,
      String(each.pid),
      each.status,
      each.bundle,
      each.created,
      each.owner,
    ]);
    print(columns([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], ...rows]));
  }
}

function formatOf(text: string | undefined): "table" | "json" {
  if (text === undefined || text === "table" || text === "json") return text ?? "table";
  throw new UsageError(`invalid format option ${JSON.stringify(text)}: "table" or "json"`);
}

function columns(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(9, ...rows.map((row) => row[at]?.length ?? 0)) + 3);
  const line = (row: string[]) => row.map((cell, at) => (at < row.length - 1 ? cell.padEnd(widths[at] ?? 0) : cell));
  return rows.map((row) => `${line(row).join("")}\n`).join("");
}

export async function ps({ runtime, args: [id = "", ...options], values }: Call): Promise<number> {
  const format = formatOf(values.text("format"));
  const pids = await engine.processes(runtime, id);
  if (format === "json") print(`${JSON.stringify(pids)}\n`);
  else print(table(options.length === 0 ? ["-ef"] : options, new Set(pids)));
  return 0;
}

/** What ps(1) says of these processes. */
function table(options: string[], pids: Set<number>): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["ps", ...options]);
  if (exitCode !== 0)
    throw new Error(`run ps ${options.join(" ")}: exit status ${exitCode}: ${stderr.toString().trim()}`);
  const [title = "", ...lines] = stdout.toString().split("\n");
  const column = title.trim().split(/\s+/).indexOf("PID");
  if (column < 0) throw new Error("couldn't find PID field in ps output");
  const ours = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  return [title, ...ours].map((line) => `${line}\n`).join("");
}
