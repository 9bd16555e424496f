/** `--help` of the OCI runtime and of its verbs. @module */
import { print } from "../print.ts";
import { UsageError, type Flag } from "./flags.ts";
import { GLOBAL_FLAGS, VERBS, verbOf, type Verb } from "./verbs.ts";

/** What it stands in for: its flags and messages are these. */
export const IN_PLACE_OF = "in place of runc";

const ABOUT = `
An engine (containerd, CRI-O, podman, Docker) calls this for each container of
its own; by hand, in a directory with a root filesystem "rootfs":

    PROGRAM spec
    PROGRAM run <container-id>`;

/** @returns the exit status */
export function printHelp(program: string, name: string | undefined): number {
  const verb = name === undefined ? undefined : verbOf(name);
  if (name !== undefined && !verb) throw new UsageError(`No help topic for '${name}'`);
  print(verb ? verbHelp(`${program} ${name}`, verb) : help(program));
  return 0;
}

function help(program: string): string {
  const verbs = Object.entries(VERBS).map(([name, { usage }]): [string, string] => [name, usage]);
  return sections({
    NAME: `${program}, ${IN_PLACE_OF} - Open Container Initiative runtime\n${ABOUT.replaceAll("PROGRAM", program)}`,
    USAGE: `${program} [global options] command [options] [arguments]`,
    COMMANDS: table(verbs),
    "GLOBAL OPTIONS": table(GLOBAL_FLAGS.flatMap(flagRow)),
  });
}

function verbHelp(name: string, { usage, args, flags }: Verb): string {
  const all: Flag[] = [...flags, ["help, h", "flag", "print this help"]];
  return sections({
    NAME: `${name} - ${usage}`,
    USAGE: [name, "[options]", args].filter(Boolean).join(" "),
    OPTIONS: table(all.flatMap(flagRow)),
  });
}

function flagRow([names, kind, usage]: Flag): [string, string][] {
  if (usage === undefined) return [];
  const written = names.split(", ").map((name) => (name.length === 1 ? `-${name}` : `--${name}`));
  const value = kind === "flag" ? "" : kind === "number" ? " <number>" : " <value>";
  return [[written.join(", ") + value, usage + (kind === "list" ? "; more than once" : "")]];
}

function table(rows: [string, string][]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 3;
  return rows.map(([left, right]) => left.padEnd(width) + right).join("\n");
}

function sections(texts: Record<string, string>): string {
  const indented = (text: string) => text.split("\n").map((line) => (line === "" ? "" : `   ${line}`));
  const all = Object.entries(texts).map(([title, text]) => `${title}:\n${indented(text).join("\n")}\n`);
  return all.join("\n");
}
