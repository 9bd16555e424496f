/**
 * What a Dockerfile does that its author may not have meant: BuildKit's build checks, by their names, as far as the file
 * alone tells. Pure. What depends on arguments and images is looked at by the build.
 * @module
 * @see https://docs.docker.com/reference/build-checks/
 */
import { dockerfileError } from "./flaw.ts";
import type { Dockerfile, Instruction, Place, Stage } from "./instruction.ts";
import { didYouMean } from "../options/index.ts";

export interface Finding {
  rule: Rule;
  message: string;
  line: number;
}

export const RULES = [
  "ConsistentInstructionCasing",
  "CopyIgnoredFile",
  "DuplicateStageName",
  "ExposeInvalidFormat",
  "ExposeProtoCasing",
  "FromAsCasing",
  "FromPlatformFlagConstDisallowed",
  "InvalidDefaultArgInFrom",
  "InvalidDefinitionDescription",
  "JSONArgsRecommended",
  "LegacyKeyValueFormat",
  "MaintainerDeprecated",
  "MultipleInstructionsDisallowed",
  "NoEmptyContinuation",
  "RedundantTargetPlatform",
  "ReservedStageName",
  "SecretsUsedInArgOrEnv",
  "StageNameCasing",
  "UndefinedArgInFrom",
  "UndefinedVar",
  "WorkdirRelativePath",
] as const;
export type Rule = (typeof RULES)[number];

/** Only looked at by who asks for them. */
const EXPERIMENTAL: readonly Rule[] = ["CopyIgnoredFile", "InvalidDefinitionDescription"];

export interface CheckSettings {
  /** A finding ends the build. */
  isError: boolean;
  isWanted(rule: Rule): boolean;
}

/**
 * `skip=A,B;error=true;experimental=all`, as the directive `check` and the argument BUILDKIT_DOCKERFILE_CHECK have it.
 * @throws TsboxError `dockerfile_invalid`
 */
export function readCheckSettings(text: string, file: string): CheckSettings {
  const given: Record<string, string> = {};
  for (const part of text.split(";").map((each) => each.trim())) {
    if (part === "") continue;
    const [, name = "", value = ""] = /^(\w+)\s*=\s*(.*)$/.exec(part) ?? [];
    if (!["skip", "error", "experimental"].includes(name) || value === "")
      throw refused(file, `check has ${JSON.stringify(part)}`, "skip=RULE,RULE;error=true;experimental=all");
    given[name] = value;
  }
  const { skip = "", error = "false", experimental = "" } = given;
  if (!/^(?:true|false|0|1)$/i.test(error))
    throw refused(file, `error of check is ${JSON.stringify(error)}`, "true or false");
  const [skipped, added] = [rulesOf(skip, file), rulesOf(experimental, file)];
  const isWanted = (rule: Rule) => !skipped(rule) && (!EXPERIMENTAL.includes(rule) || added(rule));
  return { isError: /^(?:true|1)$/i.test(error), isWanted };
}

function rulesOf(text: string, file: string): (rule: Rule) => boolean {
  if (text === "all") return () => true;
  const names = text.split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()]));
  const rules = names.map((name) => {
    const found = RULES.find((rule) => rule.toLowerCase() === name.toLowerCase());
    if (found === undefined)
      throw refused(file, `check names the unknown rule ${JSON.stringify(name)}`, didYouMean(name, RULES));
    return found;
  });
  return (rule) => rules.includes(rule);
}

const refused = (file: string, why: string, hint?: string) => dockerfileError(file, { line: 1, column: 1 }, why, hint);

/** In the order of their lines. */
export function checkDockerfile(file: Dockerfile): Finding[] {
  const checking = new Checking(file);
  checking.whole();
  for (const stage of file.stages) checking.stage(stage);
  return checking.findings.toSorted((a, b) => a.line - b.line);
}

const FROM = /^(\S+)(?:\s+--\S+)*\s+\S+(?:\s+(as)\s+(\S+))?\s*$/i;
const RESERVED = ["scratch", "context"];
const ONCE = ["CMD", "ENTRYPOINT", "HEALTHCHECK"];
const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const PUBLIC = /(?:_|^)public(?:_|$)/i;
const ADDRESS_OR_MAPPING = /:/;

class Checking {
  readonly findings: Finding[] = [];
  readonly #file: Dockerfile;
  /** What stages leave to those that begin with them, by their names. */
  readonly #stages = new Map<string, { hasShell: boolean; hasDirectory: boolean }>();

  constructor(file: Dockerfile) {
    this.#file = file;
  }

  #add(rule: Rule, { line }: Pick<Place, "line">, message: string): void {
    this.findings.push({ rule, line, message });
  }

  whole(): void {
    const { stages, globals, notes } = this.#file;
    for (const line of notes.emptyContinuations)
      this.#add("NoEmptyContinuation", { line }, "an empty line continues an instruction");
    const all = [...globals, ...stages.flatMap(({ from, instructions }) => [from, ...instructions])];
    const words = all.map(({ text, place }) => ({ word: /^\S+/.exec(text)?.[0] ?? "", place }));
    const isLower = (word: string) => word === word.toLowerCase();
    const isUpper = (word: string) => word === word.toUpperCase();
    const lower = words.filter(({ word }) => isLower(word)).length;
    const [is, casing] =
      lower > words.filter(({ word }) => isUpper(word)).length ? [isLower, "lower"] : [isUpper, "upper"];
    for (const { word, place } of words)
      if (!is(word)) this.#add("ConsistentInstructionCasing", place, `${word} is not in ${casing} case as most others`);
    for (const instruction of all) this.#described(instruction);
    for (const instruction of all) this.#secrets(instruction);
  }

  /** A comment right above may be a description, which begins with the name. */
  #described(instruction: Instruction): void {
    const { place } = instruction;
    const comment = this.#file.notes.comments.get(place.line - 1)?.trim() ?? "";
    const names =
      instruction.name === "FROM"
        ? [stageNameOf(instruction) ?? ""]
        : instruction.name === "ARG"
          ? instruction.args.map(({ name }) => name)
          : [];
    if (comment === "" || names.every((name) => name === "")) return;
    const [first = ""] = comment.split(/\s/);
    if (names.some((name) => first.toLowerCase() === name.toLowerCase())) return;
    const message = `the comment above ${names.join(", ")} does not begin with that name, and is no description`;
    this.#add("InvalidDefinitionDescription", place, message);
  }

  #secrets(instruction: Instruction): void {
    const names =
      instruction.name === "ARG"
        ? instruction.args.map(({ name }) => name)
        : instruction.name === "ENV"
          ? instruction.pairs.map(([name]) => name)
          : [];
    for (const name of names)
      if (SECRET.test(name) && !PUBLIC.test(name))
        this.#add("SecretsUsedInArgOrEnv", instruction.place, `${instruction.name} ${name} seems to be a secret`);
  }

  stage({ from, instructions }: Stage): void {
    this.#from(from);
    const left = { ...(this.#stages.get(from.image.toLowerCase()) ?? { hasShell: false, hasDirectory: false }) };
    for (const [index, instruction] of instructions.entries()) {
      const { name, place } = instruction;
      const isAgain = ONCE.includes(name) && instructions.slice(index + 1).some((later) => later.name === name);
      if (isAgain) this.#add("MultipleInstructionsDisallowed", place, `another ${name} follows, which alone counts`);
      if (name === "SHELL") left.hasShell = true;
      if ((name === "CMD" || name === "ENTRYPOINT") && instruction.command.form === "shell" && !left.hasShell)
        this.#add("JSONArgsRecommended", place, `${name} is for a shell, which gets the signals: JSON is without one`);
      if (name === "WORKDIR") {
        if (!left.hasDirectory && !/^["'/$]/.test(instruction.value))
          this.#add("WorkdirRelativePath", place, `${instruction.value} is relative to what the base image says`);
        left.hasDirectory = true;
      }
      this.#instruction(instruction);
    }
    if (from.stage !== undefined) this.#stages.set(from.stage.toLowerCase(), left);
  }

  #from(from: Stage["from"]): void {
    const { text, place, platform, stage } = from;
    const [, word = "", as] = FROM.exec(text) ?? [];
    const name = stageNameOf(from);
    if (as !== undefined && (as === as.toLowerCase()) !== (word === word.toLowerCase()))
      this.#add("FromAsCasing", place, `${word} and ${as} are not in the same case`);
    if (name !== undefined && stage !== undefined) {
      if (name !== name.toLowerCase()) this.#add("StageNameCasing", place, `the stage ${name} is not in lower case`);
      if (RESERVED.includes(stage)) this.#add("ReservedStageName", place, `a stage is called ${stage}`);
      if (this.#stages.has(stage)) this.#add("DuplicateStageName", place, `there is another stage ${stage}`);
    }
    if (platform === undefined) return;
    if (/^\$(?:TARGETPLATFORM|\{TARGETPLATFORM\})$/.test(platform))
      this.#add("RedundantTargetPlatform", place, `--platform=${platform} is what it is without`);
    const says = platform.split("/").some((part) => part !== "" && stage?.includes(part));
    if (!platform.includes("$") && !says)
      this.#add("FromPlatformFlagConstDisallowed", place, `--platform is always ${platform}`);
  }

  #instruction(instruction: Instruction): void {
    const { name, place, text } = instruction;
    if (name === "MAINTAINER") this.#add("MaintainerDeprecated", place, "a LABEL is for that");
    if ((name === "ENV" || name === "LABEL") && !/^\S+\s+(?:"[^"]*"|'[^']*'|\\[^]|[^\s"'\\])*?=/.test(text))
      this.#add("LegacyKeyValueFormat", place, `${name} without "="`);
    if (name !== "EXPOSE") return;
    for (const value of instruction.values) {
      const protocol = value.slice(value.lastIndexOf("/") + 1);
      if (value.includes("/") && !protocol.includes("$") && protocol !== protocol.toLowerCase())
        this.#add("ExposeProtoCasing", place, `the protocol of ${value} is not in lower case`);
      if (ADDRESS_OR_MAPPING.test(value.replace(/\$\{[^}]*\}/g, "")))
        this.#add("ExposeInvalidFormat", place, `${value} has an address or a port of the host`);
    }
  }
}

/** As it is written. */
const stageNameOf = ({ text }: Pick<Stage["from"], "text">): string | undefined => FROM.exec(text)?.[3];
