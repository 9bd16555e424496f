/** The instructions of one stage, one after the other: steps, and what they make of its config and history. Pure. @module */
import {
  configure,
  DEFAULT_SHELL,
  dockerfileError,
  expand,
  expandInstruction,
  Flaw,
  scriptOf,
  withVariables,
  wordsOf,
  type Instruction,
  type InstructionOf,
  type Pair,
  type RunMount,
  type Setting,
  type ValueOf,
} from "../dockerfile/index.ts";
import type { ContainerConfig, ImageConfig } from "../image/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { remoteOf, withoutCredentials } from "./files/remote.ts";
import { fromOrigin, type ContextNames, type Origin, type Outline, type OutlinedStage } from "./outline.ts";
import type { CopyOperation, Operation, RunOperation, Source, Step, StepMount } from "./step.ts";
import type { Variables } from "./variables.ts";

/** A line of an image's history. */
export interface HistoryLine {
  createdBy: string;
  /** What may have made a layer. */
  step?: number;
}

/** What a stage comes to. */
export interface StageResult {
  /** Whose filesystem it is. */
  step: number;
  config: ContainerConfig;
  author?: string;
  history: HistoryLine[];
  /** What is known of the image that it began with. */
  base: ImageConfig | undefined;
}

export interface GraphOptions {
  contexts: ContextNames;
  images: ReadonlyMap<string, ImageConfig>;
  network: RunOperation["network"];
  addHosts: readonly string[];
  labels: Readonly<Record<string, string>>;
}

/** While it is being made. */
export interface Made extends StageResult {
  variables: Variables;
  /** Variables that were used and are nowhere; and those that there were. */
  unknown: { name: string; line: number; known: string[] }[];
}

/** What a stage has of the others. */
export interface Around {
  add(step: Omit<Step, "number" | "title">): number;
  from(origin: Origin): Source;
}

/** The instructions of one stage, one after the other. */
export class StageSteps {
  readonly #outline: Outline;
  readonly #options: GraphOptions;
  readonly #stage: OutlinedStage;
  readonly #made: Made;
  readonly #around: Around;
  /** An entry point takes the command away that was another's. */
  #hasOwnCommand = false;

  constructor(outline: Outline, options: GraphOptions, stage: OutlinedStage, made: Made, around: Around) {
    this.#outline = outline;
    this.#options = options;
    this.#stage = stage;
    this.#made = made;
    this.#around = around;
  }

  apply(written: Instruction): void {
    const { file } = this.#outline.file;
    try {
      if (written.name === "ARG") return this.#declare(written);
      const instruction = expandInstruction(written, this.#valueOf(written.place), this.#outline.file);
      if (instruction.name === "RUN") return this.#run(instruction);
      if (instruction.name === "COPY" || instruction.name === "ADD") return this.#copy(instruction);
      if (instruction.name === "MAINTAINER") this.#made.author = instruction.value;
      else if (instruction.name !== "FROM") this.#set(instruction);
      if (instruction.name === "WORKDIR") return this.#directory(instruction);
      this.#told(textOf(instruction));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw dockerfileError(file, written.place, error.message, (error as { hint?: string }).hint);
    }
  }

  /** What is not there is noted, unless something else is said to be used then. */
  #valueOf({ line }: Instruction["place"]): ValueOf {
    const { variables, unknown } = this.#made;
    return (name, isOptional = false) => {
      if (!isOptional && !variables.has(name)) unknown.push({ name, line, known: variables.all.map(([each]) => each) });
      return variables.valueOf(name);
    };
  }

  #set(setting: Setting): void {
    const made = this.#made;
    if (setting.name === "ENTRYPOINT" && !this.#hasOwnCommand) {
      const { Cmd: _, ...config } = made.config;
      made.config = config;
    }
    if (setting.name === "CMD") this.#hasOwnCommand = true;
    made.config = configure(made.config, setting);
    if (setting.name === "ENV") made.variables.env = made.config.Env ?? [];
  }

  #declare({ args, text, place }: InstructionOf<"ARG">): void {
    const { variables } = this.#made;
    const { escape } = this.#outline.file;
    for (const { name, value } of args)
      variables.declare(name, value === undefined ? undefined : expand(value, this.#valueOf(place), escape));
    this.#told(text);
  }

  #run({ command, mounts, network, security = "sandbox", text, place }: InstructionOf<"RUN">): void {
    const { config, variables } = this.#made;
    const script = command.form === "shell" ? scriptOf(command) : undefined;
    const file = script?.kind === "file" ? { name: script.name, content: script.content } : undefined;
    const words = file
      ? [`${PIPES}/${file.name}`]
      : script?.kind === "line"
        ? [...(config.Shell ?? DEFAULT_SHELL), script.text]
        : wordsOf(command, config);
    const operation: RunOperation = {
      kind: "run",
      words,
      ...(file ? { script: file } : {}),
      env: withVariables([], variables.all).map(pairOf),
      user: config.User ?? "",
      directory: config.WorkingDir ?? "/",
      mounts: mounts.map((mount) => this.#mount(mount, place)),
      network: network ?? this.#options.network,
      hosts: [...this.#options.addHosts],
      security,
    };
    const sources = operation.mounts.flatMap(({ files }) => (files?.kind === "step" ? [files.step] : []));
    const given = variables.declared.map(([name, value]) => `${name}=${value}`);
    const shown = given.length > 0 ? `|${given.length} ${given.join(" ")} ` : "";
    this.#step(operation, { text, place }, `RUN ${shown}${words.join(" ")}`, sources);
  }

  #mount(written: RunMount, place: Instruction["place"]): StepMount {
    const { text: _, ...mount } = written;
    if (mount.type !== "bind" && mount.type !== "cache") return mount;
    if (mount.from === undefined)
      return mount.type === "bind" ? { ...mount, files: { kind: "context", name: undefined } } : mount;
    return { ...mount, files: this.#sourceOf(mount.from, place) };
  }

  #sourceOf(from: string, place: Instruction["place"]): Source {
    const { file } = this.#outline;
    return this.#around.from(fromOrigin(file, this.#options.contexts, { from, place, stage: this.#stage.index }));
  }

  #copy(instruction: InstructionOf<"COPY"> | InstructionOf<"ADD">): void {
    const { text, place, sources, hereDocuments, destination, flags } = instruction;
    const urls = remotesOf(instruction);
    const from = "from" in flags ? flags.from : undefined;
    const source: Source = from === undefined ? { kind: "context", name: undefined } : this.#sourceOf(from, place);
    const { config } = this.#made;
    const { chown, chmod, link, exclude } = flags;
    const more = "keepGitDir" in flags ? flags : undefined;
    const operation = copyOf(source, {
      sources: sources.filter((each) => !urls.includes(each)),
      urls,
      files: hereDocuments.map(({ name, content }) => ({ name, content })),
      destination,
      directory: config.WorkingDir ?? "/",
      link,
      exclude,
      parents: "parents" in flags ? flags.parents : false,
      keepGitDir: more?.keepGitDir ?? false,
      unpack: unpackOf(instruction),
      ...(chown === undefined ? {} : { chown }),
      ...(chmod === undefined ? {} : { chmod }),
      ...(more?.checksum === undefined ? {} : { checksum: more.checksum }),
    });
    this.#step(operation, { text, place }, text, source.kind === "step" ? [source.step] : []);
  }

  #directory({ text, place }: InstructionOf<"WORKDIR">): void {
    const { WorkingDir: path = "/", User: user = "" } = this.#made.config;
    this.#step({ kind: "directory", path, user }, { text, place }, `WORKDIR ${path}`, []);
  }

  #step(operation: Operation, { text, place }: Pick<Instruction, "text" | "place">, createdBy: string, from: number[]) {
    const made = this.#made;
    const parent = made.step;
    const after = [...new Set([parent, ...from])];
    made.step = this.#around.add({ stage: this.#stage.name, place, parent, after, operation, text });
    made.history.push({ createdBy, step: made.step });
  }

  #told(createdBy: string): void {
    this.#made.history.push({ createdBy });
  }
}

/** Where here-documents are that are executed. */
export const PIPES = "/dev/pipes";

/** Sources that are not here. @throws Flaw for a COPY of them, and for a checksum of what is here */
function remotesOf(instruction: InstructionOf<"COPY"> | InstructionOf<"ADD">): string[] {
  const { sources } = instruction;
  if (instruction.name === "COPY") {
    const url = sources.find((source) => /^(?:https?|git|ssh):\/\//i.test(source));
    if (url === undefined) return [];
    throw new Flaw(`COPY does not download ${show(withoutCredentials(url))}`, { hint: "ADD does" });
  }
  const urls = sources.filter((source) => isRemote(source));
  if (instruction.flags.checksum !== undefined && (urls.length !== 1 || sources.length !== 1))
    throw new Flaw("a checksum is for one source, which is a URL or a repository");
  return urls;
}

function isRemote(source: string): boolean {
  try {
    return remoteOf(source) !== undefined;
  } catch (error) {
    if (error instanceof TsboxError) throw new Flaw(error.message, { hint: error.hint });
    throw error;
  }
}

function unpackOf(instruction: InstructionOf<"COPY"> | InstructionOf<"ADD">): CopyOperation["unpack"] {
  if (instruction.name === "COPY") return "none";
  const { unpack } = instruction.flags;
  return unpack === undefined ? "local" : unpack ? "all" : "none";
}

export function copyOf(
  source: Source,
  {
    sources,
    destination,
    directory,
    ...more
  }: Pick<CopyOperation, "sources" | "destination" | "directory"> & Partial<CopyOperation>,
): CopyOperation {
  const usual = { urls: [], files: [], keepGitDir: false, link: false, parents: false, exclude: [] };
  return { kind: "copy", source, sources, destination, directory, ...usual, unpack: "none", ...more };
}

function pairOf(line: string): Pair {
  const at = line.indexOf("=");
  return [line.slice(0, at), line.slice(at + 1)];
}

/** As it is told in the history: with what its variables were. */
function textOf(instruction: Instruction): string {
  if (instruction.name !== "ENV" && instruction.name !== "LABEL") return instruction.text;
  return `${instruction.name} ${instruction.pairs.map(([name, value]) => `${name}=${value}`).join(" ")}`;
}
