/**
 * The steps of a build: instructions, build arguments and the configs of base images go in, what is to be done to which
 * filesystem comes out, and how the result is run. Pure.
 * @module
 */
import { configure } from "../dockerfile/index.ts";
import type { ContainerConfig } from "../image/index.ts";
import { imageKey, type Origin, type Outline, type OutlinedStage } from "./outline.ts";
import { copyOf, StageSteps, type GraphOptions, type Made, type StageResult } from "./stage-steps.ts";
import type { Operation, Source, Step } from "./step.ts";
import { Variables } from "./variables.ts";

export interface Graph {
  steps: Step[];
  result: StageResult;
  /** Of stages whose base image is known. */
  unknown: Made["unknown"];
  warnings: string[];
}

/** @throws TsboxError `dockerfile_invalid` */
export function graphOf(outline: Outline, options: GraphOptions): Graph {
  const made = new Graphing(outline, options);
  for (const stage of outline.stages) made.stage(stage);
  const result = made.results.get(outline.target) as Made;
  const labels = Object.entries(options.labels);
  if (labels.length > 0) result.config = configure(result.config, { name: "LABEL", pairs: labels });
  const { variables: _, unknown: __, ...rest } = result;
  const { unused } = outline.arguments;
  const warnings = unused.length > 0 ? [`build arguments that nobody has declared: ${unused.join(", ")}`] : [];
  return { steps: made.steps, result: rest, unknown: made.unknown, warnings };
}

class Graphing {
  readonly steps: Step[] = [];
  readonly unknown: Made["unknown"] = [];
  readonly results = new Map<number, Made>();
  readonly #known = new Set<number>();
  readonly #outline: Outline;
  readonly #options: GraphOptions;
  /** Of images, by what they are. */
  readonly #bases = new Map<string, number>();

  constructor(outline: Outline, options: GraphOptions) {
    this.#outline = outline;
    this.#options = options;
  }

  stage(stage: OutlinedStage): void {
    const first = this.steps.length;
    const made = this.#begin(stage);
    const instructions = new StageSteps(this.#outline, this.#options, stage, made, {
      add: (step) => this.#add(step),
      from: (origin) => this.#source(origin),
    });
    for (const instruction of stage.instructions) instructions.apply(instruction);
    this.results.set(stage.index, made);
    if (this.#isKnown(stage)) {
      this.#known.add(stage.index);
      this.unknown.push(...made.unknown);
    }
    this.#title(stage, first);
  }

  /** All that its environment comes from is there; stages come behind those that they are built on. */
  #isKnown({ origin }: OutlinedStage): boolean {
    if (origin.kind === "image") return this.#options.images.has(imageKey(origin));
    return origin.kind !== "stage" || this.#known.has(origin.stage);
  }

  #begin({ origin, from, name }: OutlinedStage): Made {
    const { arguments: given, globals } = this.#outline;
    if (origin.kind === "stage") {
      const before = this.results.get(origin.stage) as Made;
      const { OnBuild: _, ...config } = before.config;
      const variables = new Variables(given, globals.values, before.variables);
      variables.env = config.Env ?? [];
      return { ...before, config, history: [...before.history], variables, unknown: [] };
    }
    const base = origin.kind === "image" ? this.#options.images.get(imageKey(origin)) : undefined;
    const { OnBuild: _, ...found } = base?.config ?? {};
    const config = withPath(found);
    const variables = new Variables(given, globals.values);
    variables.env = config.Env ?? [];
    const { reference, platform } = origin.kind === "image" ? origin : { reference: undefined, platform: undefined };
    const operation: Operation = { kind: "base", reference, platform };
    const text = `FROM ${reference ?? (origin.kind === "context" ? origin.name : "scratch")}`;
    let step = this.#add({ stage: name, after: [], operation, text, place: from.place });
    if (origin.kind === "image") this.#bases.set(imageKey(origin), step);
    if (origin.kind === "context") {
      const copy = copyOf({ kind: "context", name: origin.name }, { sources: ["/"], destination: "/", directory: "/" });
      step = this.#add({ stage: name, parent: step, after: [step], operation: copy, text, place: from.place });
    }
    return { step, config, history: [], base, variables, unknown: [] };
  }

  #add(step: Omit<Step, "number" | "title">): number {
    const number = this.steps.length;
    this.steps.push({ ...step, number, title: "" });
    return number;
  }

  #source(origin: Origin): Source {
    if (origin.kind === "context") return { kind: "context", name: origin.name };
    if (origin.kind === "stage") return { kind: "step", step: (this.results.get(origin.stage) as Made).step };
    const nothing = { reference: undefined, platform: undefined };
    const { reference, platform } = origin.kind === "image" ? origin : nothing;
    const key = origin.kind === "image" ? imageKey(origin) : "scratch";
    const step =
      this.#bases.get(key) ??
      this.#add({
        stage: "",
        after: [],
        operation: { kind: "base", reference, platform },
        text: `FROM ${reference ?? "scratch"}`,
      });
    this.#bases.set(key, step);
    return { kind: "step", step };
  }

  /** `[build 2/5] RUN make` */
  #title({ name }: OutlinedStage, first: number): void {
    const own = this.steps.slice(first).filter(({ place }) => place !== undefined);
    for (const [at, step] of own.entries())
      step.title = `[${name === "" ? "" : `${name} `}${at + 1}/${own.length}] ${step.text}`;
    for (const step of this.steps.slice(first)) if (step.title === "") step.title = step.text;
  }
}

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** As Docker's builders: whoever looks for a program in the image finds it, or knows that there is none. */
function withPath(config: ContainerConfig): ContainerConfig {
  const { Env = [] } = config;
  return Env.some((line) => line.startsWith("PATH=")) ? config : { ...config, Env: [...Env, DEFAULT_PATH] };
}
