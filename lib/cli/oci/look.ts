/** Verbs that print: `state`, `list`, `ps`, `events`, `features`, `spec`. @module */
import { version } from "../../../package.json" with { type: "json" };
import * as engine from "../../oci/index.ts";
import { print } from "../print.ts";
import { UsageError, type Call } from "./flags.ts";

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

export async function events({ runtime, args: [id = ""], values }: Call): Promise<void> {
  const intervalMs = durationMs(values.text("interval") ?? "5s");
  if (values.flag("stats")) return printEvent(await engine.stats(runtime, id));
  for await (const event of engine.events(runtime, id, intervalMs)) printEvent(event);
}

const printEvent = (event: engine.Event): void => print(`${JSON.stringify(event)}\n`);

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** As Go writes them: `1m30s`, `500ms`, `1.5h`. */
function durationMs(text: string): number {
  const parts = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text) ? text.matchAll(/([\d.]+)([a-z]+)/g) : [];
  const ms = [...parts].reduce((sum, [, number, unit = ""]) => sum + Number(number) * (UNITS_MS[unit] ?? NaN), 0);
  if (ms > 0) return ms;
  throw new UsageError(
    `invalid value ${JSON.stringify(text)} for flag -interval: a duration above 0, such as "500ms", "5s"`,
  );
}

export async function printFeatures(): Promise<void> {
  print(`${JSON.stringify(await engine.features(version), null, 2)}\n`);
}

export async function spec({ values }: Call): Promise<void> {
  await engine.writeSpec(engine.absolute(values.text("bundle") ?? "."), values.flag("rootless"));
}

/** What ps(1) says of these processes. */
function table(options: string[], pids: Set<number>): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["ps", ...options]);
  if (exitCode !== 0)
    throw new Error(`run ps ${options.join(" ")}: exit status ${exitCode}: ${stderr.toString().trim()}`);
  const [title = "", ...lines] = stdout.toString().split("\n");
  const titles = title.trim().split(/\s+/);
  // columns before it may have spaces in them, unless it is the last one
  const column = titles.at(-1) === "PID" ? -1 : titles.indexOf("PID");
  if (!titles.includes("PID")) throw new Error("couldn't find PID field in ps output");
  const ours = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/).at(column))));
  return [title, ...ours].map((line) => `${line}\n`).join("");
}
