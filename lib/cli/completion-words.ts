/**
 * What can stand where on a command line, taken from the verbs and flags as they are declared: `<none|host>` are words,
 * `<FILE>` and `<DIR>` are what they say, `<DIR|host>` is either.
 * @module
 */
import type { Option } from "commander";
import { CAPABILITIES, RLIMITS } from "../plan/index.ts";
import type { Verb } from "./verb.ts";

export interface VerbWords {
  /** `"tsbox plan run"` */
  path: string;
  summary: string;
  flags: FlagWords[];
  /** The verbs below it. */
  verbs: { name: string; summary: string }[];
  argument: Value | "command" | undefined;
}

export interface FlagWords {
  /** `["-m", "--memory"]` */
  names: string[];
  description: string;
  /** More than once. */
  repeats: boolean;
  /** Undefined where it takes none. */
  value: Value | undefined;
}

export interface Value {
  /** `"NAME"`, for people. */
  name: string;
  words: string[];
  paths?: "file" | "directory";
  /** What tsbox is asked for more, which prints one a line. */
  from?: string[];
}

/** Names of what there is when they are asked for, by what stands for them in a declaration. */
const FROM: Record<string, string[]> = {
  CONTAINER: ["ps", "--all", "--format", "{{.Names}}"],
  IMAGE: ["images", "--format", "{{.Repository}}"],
  VOLUME: ["volume", "ls", "--quiet"],
  NETWORK: ["network", "ls", "--format", "{{.Name}}"],
};

/** Words that no declaration can list. */
const KNOWN: Record<string, () => string[]> = {
  "--attach": () => ["stdin", "stdout", "stderr"],
  "--stop-signal": () => ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL"],
  "--platform": () => ["linux/amd64", "linux/arm64"],
  "--network": () => ["none", "host"],
  "--restart": () => ["no", "always", "unless-stopped", "on-failure"],
  "--signal": () => ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL"],
  "--log-opt": () => ["max-size=", "max-file="],
  "--filter": () => ["dangling=", "label=", "reference=", "before=", "since=", "until="],
  "<FORMAT>": () => ["json", "table"],
  "--mount": () => ["type=bind,source=", "type=tmpfs,target=", "type=volume,source=", "type=image,source="],
  "--cap-add": () => capabilities(),
  "--cap-drop": () => capabilities(),
  "--ulimit": () => RLIMITS.map((name) => `${name.slice("RLIMIT_".length).toLowerCase()}=`),
  "--security-opt": () => [
    "seccomp=unconfined",
    "seccomp=",
    "landlock=default",
    "landlock=none",
    "systempaths=unconfined",
    "apparmor=unconfined",
    "label=disable",
    "no-new-privileges",
    "no-new-privileges=false",
  ],
};
const capabilities = () => ["ALL", ...CAPABILITIES.map((name) => name.slice("CAP_".length))];

/** A verb, and all below it. */
export function wordsOf(verb: Verb): VerbWords[] {
  const below = (verb.commands as Verb[]).filter((each) => each.path() !== verb.path());
  const names = verb.declared().registeredArguments.map((each) => each.name());
  const [argument] = names;
  const own: VerbWords = {
    path: verb.path(),
    summary: verb.summary() || verb.description(),
    flags: flagsOf(verb).map(flagWords),
    verbs: below.map((each) => ({ name: each.name(), summary: each.summary() })),
    argument: argument === undefined ? undefined : names.includes("COMMAND") ? "command" : valueOf(argument, []),
  };
  if (own.verbs.length > 0) own.argument = undefined;
  return [own, ...below.flatMap((each) => wordsOf(each))];
}

const flagsOf = (verb: Verb): readonly Option[] => verb.createHelp().visibleOptions(verb);

function flagWords(option: Option): FlagWords {
  const [, name] = /<(.+)>/.exec(option.flags) ?? [];
  return {
    names: [option.short, option.long].filter((each) => each !== undefined && each !== null),
    description: option.description,
    repeats: option.parseArg !== undefined,
    value: name === undefined ? undefined : valueOf(name, (KNOWN[option.long ?? ""] ?? KNOWN[`<${name}>`])?.() ?? []),
  };
}

function valueOf(name: string, known: string[]): Value {
  const parts = name.split("|");
  const words = [...known, ...parts.filter((part) => /^[a-z][a-z-]*$/.test(part))];
  if (parts.includes("DIR")) return { name, words, paths: "directory" };
  if (parts.some((part) => part === "FILE" || part.startsWith("SRC"))) return { name, words, paths: "file" };
  const from = FROM[name];
  return { name, words, ...(from ? { from } : {}) };
}
