/**
 * Which stages a build needs, in which order they can be made, and of which images: what is known before anything is
 * fetched. Pure.
 * @module
 */
import { didYouMean } from "../options/index.ts";
import {
  dockerfileError,
  expand,
  parseInstruction,
  type Dockerfile,
  type Instruction,
  type InstructionOf,
  type Place,
  type Stage,
} from "../dockerfile/index.ts";
import type { ImageConfig, Platform } from "../image/index.ts";
import { Arguments, ownArguments, Variables } from "./variables.ts";

/** What a name in `FROM` and `--from` leads to. */
export type Origin =
  | { kind: "stage"; stage: number }
  | { kind: "context"; name: string }
  | { kind: "image"; reference: string; platform: string | undefined }
  | { kind: "scratch" };

export interface OutlinedStage {
  index: number;
  /** As it is called in titles. */
  name: string;
  from: InstructionOf<"FROM">;
  origin: Origin;
  /** Those that an image has for who builds on it, before its own. */
  instructions: Instruction[];
}

export interface Outline {
  file: Dockerfile;
  /** Those that are needed, each behind those that it needs. */
  stages: OutlinedStage[];
  target: number;
  arguments: Arguments;
  globals: Variables;
}

/** Contexts by their names; those that are images, and which. */
export type ContextNames = ReadonlyMap<string, { image: string } | undefined>;

export interface OutlineOptions {
  args: Readonly<Record<string, string>>;
  target: string | undefined;
  /** Of the stage that this line is in, what stands before it. */
  before: number | undefined;
  build: Platform;
  platform: Platform;
  contexts: ContextNames;
  /** Configs of images that are known by now, by {@link imageKey}. */
  images: ReadonlyMap<string, ImageConfig>;
}

export const imageKey = ({ reference, platform }: { reference: string; platform: string | undefined }): string =>
  `${reference} ${platform ?? ""}`;

/** They may stand on each other, and each is looked for among all. */
const MOST_STAGES = 2000;

/** @throws TsboxError `dockerfile_invalid` for a stage that is not there, and for a circle */
export function outlineOf(whole: Dockerfile, options: OutlineOptions): Outline {
  const file = options.before === undefined ? whole : fileBefore(whole, options.before);
  const beyond = file.stages[MOST_STAGES];
  if (beyond) throw dockerfileError(file.file, beyond.from.place, `more than ${MOST_STAGES} stages`);
  const given = new Arguments(options.args);
  const globals = globalsOf(file, given, options);
  const target = targetOf(file, options.target);
  const outlining = new Outlining(file, globals, options);
  outlining.visit(target);
  return { file, stages: outlining.stages, target, arguments: given, globals };
}

/** The file as if the stage of a line ended before it, and were the last. */
function fileBefore(file: Dockerfile, line: number): Dockerfile {
  const index = file.stages.findLastIndex(({ from }) => from.place.line < line);
  const stage = file.stages[index];
  if (!stage) throw dockerfileError(file.file, { line, column: 1 }, "no stage has begun before it");
  const instructions = stage.instructions.filter(({ place }) => place.endLine < line);
  return { ...file, stages: [...file.stages.slice(0, index), { ...stage, instructions }] };
}

function globalsOf(file: Dockerfile, given: Arguments, { build, platform, target }: OutlineOptions): Variables {
  const own = ownArguments(build, platform, target);
  const globals = new Variables(given, own);
  for (const name of own.keys()) globals.declare(name, undefined);
  for (const { args, place } of file.globals)
    for (const { name, value } of args)
      globals.declare(name, value === undefined ? undefined : expanded(file, place, value, globals));
  return globals;
}

function expanded(file: Dockerfile, place: Place, text: string, { valueOf }: Variables): string {
  try {
    return expand(text, valueOf, file.escape);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw dockerfileError(file.file, place, error.message);
  }
}

function targetOf({ stages, file }: Dockerfile, target: string | undefined): number {
  if (target === undefined) return stages.length - 1;
  const found = stages.findLastIndex(({ from }) => isNamed(from, target));
  if (found >= 0) return found;
  if (/^\d+$/.test(target) && Number(target) < stages.length) return Number(target);
  const place = stages[0]?.from.place ?? { line: 1, column: 1 };
  throw dockerfileError(
    file,
    place,
    `there is no stage ${JSON.stringify(target)}`,
    didYouMean(target, namesOf(stages)),
  );
}

const namesOf = (stages: readonly Stage[]): string[] => stages.flatMap(({ from }) => from.stage ?? []);
const isNamed = ({ stage }: InstructionOf<"FROM">, name: string): boolean =>
  stage?.length === name.length && stage.toLowerCase() === name.toLowerCase();

/** A chain of stages is not longer than that of their names. */
class Outlining {
  readonly stages: OutlinedStage[] = [];
  readonly #file: Dockerfile;
  readonly #globals: Variables;
  readonly #options: OutlineOptions;
  readonly #done = new Set<number>();

  constructor(file: Dockerfile, globals: Variables, options: OutlineOptions) {
    this.#file = file;
    this.#globals = globals;
    this.#options = options;
  }

  /** Stages come behind those that they need, so none is its own; as deep as there are stages. */
  visit(index: number): void {
    if (this.#done.has(index)) return;
    this.#done.add(index);
    const stage = this.#file.stages[index] as Stage;
    const origin = this.#originOf(stage, index);
    if (origin.kind === "stage") this.visit(origin.stage);
    const instructions = [...this.#triggers(origin, stage), ...stage.instructions];
    for (const { from, place } of instructions.flatMap(sourcesOf)) {
      const source = fromOrigin(this.#file, this.#options.contexts, { from, place, stage: index });
      if (source.kind === "stage") this.visit(source.stage);
    }
    const { length } = this.#file.stages;
    const name = stage.from.stage?.toLowerCase() ?? (length === 1 ? "" : `stage-${index}`);
    this.stages.push({ index, name, from: stage.from, origin, instructions });
  }

  #originOf({ from }: Stage, index: number): Origin {
    const image = expanded(this.#file, from.place, from.image, this.#globals);
    const platform = from.platform && expanded(this.#file, from.place, from.platform, this.#globals);
    if (image === "")
      throw dockerfileError(this.#file.file, from.place, `FROM ${from.image} names no image`, "give the ARG a value");
    const stage = this.#file.stages.findLastIndex((other, at) => at < index && isNamed(other.from, image));
    if (stage >= 0) return { kind: "stage", stage };
    if (image === "scratch") return { kind: "scratch" };
    return named(this.#options.contexts, image, platform || undefined);
  }

  /** ONBUILD of what it is built on. */
  #triggers(origin: Origin, { from }: Stage): Instruction[] {
    if (origin.kind === "stage")
      return (this.#file.stages[origin.stage]?.instructions ?? []).flatMap((each) =>
        each.name === "ONBUILD" ? [{ ...each.instruction, place: from.place }] : [],
      );
    if (origin.kind !== "image") return [];
    const { OnBuild = [] } = this.#options.images.get(imageKey(origin))?.config ?? {};
    const { image, place } = from;
    return OnBuild.map((text) => ({ ...parseInstruction(text, `ONBUILD of ${image}`), place }));
  }
}

/** Names of `--from`. */
export function sourcesOf(instruction: Instruction): { from: string; place: Place }[] {
  const { place } = instruction;
  if (instruction.name === "COPY" && instruction.flags.from !== undefined)
    return [{ from: instruction.flags.from, place }];
  if (instruction.name !== "RUN") return [];
  return instruction.mounts.flatMap(({ from }) => (from === undefined ? [] : [{ from, place }]));
}

/** @throws TsboxError `dockerfile_invalid` for a stage that comes later, or is the same */
export function fromOrigin(
  { file, stages }: Dockerfile,
  contexts: ContextNames,
  { from, place, stage }: { from: string; place: Place; stage: number },
): Origin {
  const found = stages.findIndex((other) => isNamed(other.from, from));
  const index = found < 0 && /^\d+$/.test(from) ? Number(from) : found;
  if (index >= 0) {
    if (index < stage) return { kind: "stage", stage: index };
    const why =
      index === stage
        ? `stage ${JSON.stringify(from)} copies from itself: a circle`
        : stages[index]
          ? `stage ${JSON.stringify(from)} comes later`
          : `there is no stage ${from}`;
    throw dockerfileError(file, place, why, "a stage can be used behind it only");
  }
  if (from === "scratch" && !contexts.has(from)) return { kind: "scratch" };
  return named(contexts, from, undefined);
}

function named(
  contexts: ContextNames,
  name: string,
  platform: string | undefined,
): Extract<Origin, { kind: "context" | "image" }> {
  const context = contexts.get(name);
  if (contexts.has(name) && context === undefined) return { kind: "context", name };
  return { kind: "image", reference: context?.image ?? name, platform };
}

/** Images that have to be there: those of `FROM`, with their configs, and those that files come from. */
export function imagesOf(
  { file, stages }: Outline,
  contexts: ContextNames,
): { reference: string; platform: string | undefined; place: Place }[] {
  return stages.flatMap(({ index, origin, from, instructions }) => {
    const sources = instructions.flatMap(sourcesOf).flatMap(({ from: name, place }) => {
      const source = fromOrigin(file, contexts, { from: name, place, stage: index });
      return source.kind === "image" ? [{ ...source, place }] : [];
    });
    return [...(origin.kind === "image" ? [{ ...origin, place: from.place }] : []), ...sources];
  });
}
