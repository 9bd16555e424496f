/** Build checks that depend on arguments, images and the context. @module @see https://docs.docker.com/reference/build-checks/ */
import { didYouMean } from "../options/index.ts";
import {
  checkDockerfile,
  expand,
  readCheckSettings,
  type Dockerfile,
  type Finding,
  type ValueOf,
} from "../dockerfile/index.ts";
import { parseReference, type Platform } from "../image/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { Contexts } from "./contexts.ts";
import type { Graph } from "./graph.ts";
import type { Outline } from "./outline.ts";
import { Arguments, ownArguments, Variables } from "./variables.ts";

/** As BuildKit has it: what it says counts, not what the file does. */
const SETTINGS = "BUILDKIT_DOCKERFILE_CHECK";

export interface Checked {
  findings: Finding[];
  isError: boolean;
}

export interface CheckedBuild {
  contexts: Contexts;
  args: Readonly<Record<string, string>>;
  build: Platform;
  platform: Platform;
}

/** @throws TsboxError `dockerfile_invalid` for settings that are none */
export async function checked(outline: Outline, graph: Graph, options: CheckedBuild): Promise<Checked> {
  const { file } = outline;
  const text = options.args[SETTINGS] ?? file.directives.get("check") ?? "";
  const settings = readCheckSettings(text, file.file);
  const findings = [
    ...checkDockerfile(file),
    ...ofImages(file, options),
    ...graph.unknown.map(({ name, line, known }): Finding => {
      const hint = didYouMean(name, known);
      return { rule: "UndefinedVar", line, message: `$${name} is not defined${hint === undefined ? "" : `: ${hint}`}` };
    }),
    ...(settings.isWanted("CopyIgnoredFile") ? await ofIgnored(graph, options.contexts) : []),
  ];
  const wanted = findings.filter(({ rule }) => settings.isWanted(rule)).toSorted((a, b) => a.line - b.line);
  return { findings: wanted, isError: settings.isError };
}

export const messageOf = ({ rule, message, line }: Finding): string => `${rule}: ${message} (line ${line})`;

/** @throws TsboxError `dockerfile_invalid` */
export function failFor(file: string, { findings, isError }: Checked): void {
  const [first] = findings;
  if (!isError || !first) return;
  throw new TsboxError(`${file}:${first.line}:1: ${first.rule}: ${first.message}`, {
    code: "dockerfile_invalid",
    path: file,
    hint: "error=true of check says so; skip=RULE leaves one out",
  });
}

/** What stands in FROM, with the arguments before it. */
function ofImages({ stages, globals, escape }: Dockerfile, { build, platform }: CheckedBuild): Finding[] {
  const outer = ownArguments(build, platform);
  const defaults = new Variables(new Arguments({}), outer);
  for (const name of outer.keys()) defaults.declare(name, undefined);
  for (const { args } of globals)
    for (const { name, value } of args)
      defaults.declare(name, value === undefined ? undefined : tryExpand(value, defaults.valueOf, escape));
  const names = defaults.all.map(([name]) => name);
  return stages.flatMap(({ from }) => {
    const { line } = from.place;
    const missing: string[] = [];
    const valueOf: ValueOf = (name, isOptional = false) => {
      if (!isOptional && !defaults.has(name)) missing.push(name);
      return defaults.valueOf(name);
    };
    const image = tryExpand(from.image, valueOf, escape);
    if (from.platform !== undefined) tryExpand(from.platform, valueOf, escape);
    const undefinedArgs = missing.map((name): Finding => {
      const hint = didYouMean(name, names);
      const message = `$${name} is no argument before the first FROM${hint === undefined ? "" : `: ${hint}`}`;
      return { rule: "UndefinedArgInFrom", line, message };
    });
    const isInvalid = missing.length === 0 && from.image.includes("$") && image !== undefined && !isReference(image);
    const message = `${from.image} is no image where no argument is given`;
    return [...undefinedArgs, ...(isInvalid ? [{ rule: "InvalidDefaultArgInFrom", line, message } as const] : [])];
  });
}

/** What is wrong with it otherwise is told where it is used. */
function tryExpand(text: string, valueOf: ValueOf, escape: Dockerfile["escape"]): string | undefined {
  try {
    return expand(text, valueOf, escape);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch (error) {
    if (error instanceof TsboxError) return false;
    throw error;
  }
}

/** Sources that .dockerignore leaves out. */
async function ofIgnored({ steps }: Graph, contexts: Contexts): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const { operation, place } of steps) {
    if (operation.kind !== "copy" || operation.source.kind !== "context" || !place) continue;
    if (operation.sources.length === 0) continue;
    const { ignore } = await contexts.tree(operation.source.name);
    for (const source of operation.sources) {
      const path = source.replace(/^(?:\.?\/+)+/, "").replace(/\/+$/, "");
      if (path !== "" && path !== "." && ignore?.isIgnored(path))
        found.push({ rule: "CopyIgnoredFile", line: place.line, message: `.dockerignore leaves ${source} out` });
    }
  }
  return found;
}
