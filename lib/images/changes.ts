/**
 * Instructions of a Dockerfile that change an image's config: what `--change` of `import` and `commit` takes.
 * @module
 * @see https://docs.docker.com/reference/dockerfile/
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import type { ContainerConfig } from "../image/index.ts";
import { healthcheckOf } from "./healthcheck.ts";

type Instruction = (config: ContainerConfig, words: string, expand: Expand) => void;
type Expand = (text: string) => string;

const invalid = (change: string, why: string, hint?: string) =>
  new TsboxError(`change ${show(change)}: ${why}`, { code: "invalid_option", ...(hint === undefined ? {} : { hint }) });

/** @returns a new config. @throws TsboxError `invalid_option` */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  const changed = structuredClone(config);
  for (const change of changes) {
    const [, name = "", words = ""] = /^\s*([A-Za-z]+)\s+(.*?)\s*$/s.exec(change) ?? [];
    const instruction = INSTRUCTIONS[name.toUpperCase()];
    if (!instruction)
      throw invalid(change, "not an instruction that can be applied", Object.keys(INSTRUCTIONS).join(" "));
    try {
      instruction(changed, words, (text) => expandVariables(text, changed.Env ?? []));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw invalid(change, error.message);
    }
  }
  return changed;
}

const INSTRUCTIONS: Record<string, Instruction> = {
  CMD: (config, words) => void (config.Cmd = commandOf(words, config)),
  ENTRYPOINT: (config, words) => {
    config.Entrypoint = commandOf(words, config);
    // the command was that of another entry point
    delete config.Cmd;
  },
  ENV: (config, words, expand) => {
    const added = new Map((config.Env ?? []).map((line) => [line.split("=", 1)[0] as string, line]));
    for (const [key, value] of pairsOf(words, expand)) added.set(key, `${key}=${value}`);
    config.Env = [...added.values()];
  },
  EXPOSE: (config, words, expand) => {
    config.ExposedPorts = { ...config.ExposedPorts };
    for (const word of wordsOf(expand(words))) for (const port of portsOf(word)) config.ExposedPorts[port] = {};
  },
  HEALTHCHECK: (config, words) => void (config.Healthcheck = healthcheckOf(words, jsonWords)),
  LABEL: (config, words, expand) => {
    config.Labels = { ...config.Labels, ...Object.fromEntries(pairsOf(words, expand)) };
  },
  ONBUILD: (config, words) => {
    const name = words.split(/\s/, 1)[0]?.toUpperCase() ?? "";
    if (["ONBUILD", "FROM", "MAINTAINER"].includes(name)) throw new SyntaxError(`${name} is not allowed in ONBUILD`);
    config.OnBuild = [...(config.OnBuild ?? []), words];
  },
  STOPSIGNAL: (config, words, expand) => void (config.StopSignal = oneWord(expand(words))),
  USER: (config, words, expand) => void (config.User = oneWord(expand(words))),
  VOLUME: (config, words, expand) => {
    const paths = jsonWords(words) ?? wordsOf(expand(words));
    if (paths.some((path) => path.trim() === "")) throw new SyntaxError("an empty path");
    config.Volumes = { ...config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) };
  },
  WORKDIR: (config, words, expand) => {
    const path = expand(words);
    const from = path.startsWith("/") ? "" : (config.WorkingDir ?? "");
    const parts: string[] = [];
    for (const part of `${from}/${path}`.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    config.WorkingDir = `/${parts.join("/")}`;
  },
};

/** A JSON array of words, or a line for the shell. */
function commandOf(words: string, config: ContainerConfig): string[] {
  if (words === "") throw new SyntaxError("no command");
  return jsonWords(words) ?? [...(config.Shell ?? ["/bin/sh", "-c"]), words];
}

function jsonWords(words: string): string[] | undefined {
  if (!words.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(words);
    if (Array.isArray(value) && value.every((word) => typeof word === "string")) return value;
  } catch {
    // Docker takes it for a line of shell as well
  }
  return undefined;
}

function oneWord(words: string): string {
  if (!/^\S+$/.test(words)) throw new SyntaxError("exactly one word is needed");
  return words;
}

/** `80`, `53/udp`, `8000-8010/tcp` */
function portsOf(word: string): string[] {
  const [, first = "", last = first, protocol = "tcp"] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word) ?? [];
  const [low, high] = [Number(first), Number(last)];
  if (first === "" || low < 1 || high > 65535 || high < low) throw new SyntaxError(`${show(word)} is not a port`);
  return Array.from({ length: high - low + 1 }, (_, at) => `${low + at}/${protocol.toLowerCase()}`);
}

/** `key=value key="va lue"`, or, as it was long ago, `key value`. */
function pairsOf(words: string, expand: Expand): [string, string][] {
  const parts = wordsOf(words, false);
  const first = parts[0] ?? "";
  if (first === "") throw new SyntaxError("no name");
  if (!first.includes("=")) {
    const value = words.slice(first.length).trim();
    if (value === "") throw new SyntaxError(`${show(first)} has no value`);
    return [[unquote(first, expand), unquote(value, expand)]];
  }
  return parts.map((part) => {
    const at = part.indexOf("=");
    if (at <= 0) throw new SyntaxError(`${show(part)} is not of the form name=value`);
    return [unquote(part.slice(0, at), expand), unquote(part.slice(at + 1), expand)];
  });
}

const WORD = /(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\\])+/gs;

function wordsOf(text: string, plain = true): string[] {
  const words = text.match(WORD) ?? [];
  if (words.join("").length !== text.replace(/\s/g, "").length && text.replace(WORD, "").trim() !== "")
    throw new SyntaxError("a quote that does not end");
  return plain ? words.map((word) => unquote(word, (part) => part)) : words;
}

/** Without quotes and backslashes; variables are replaced, but not between single quotes. */
function unquote(text: string, expand: Expand): string {
  const part = /'([^']*)'|\\(.)|((?:[^'\\"]|\\\$)+)|"/gs;
  return text.replace(part, (match, single?: string, escaped?: string, plain?: string) => {
    if (match === '"') return "";
    return single ?? escaped ?? expand(plain as string);
  });
}

/** `$NAME`, `${NAME}`, `${NAME:-otherwise}`, `${NAME:+instead}` */
function expandVariables(text: string, env: readonly string[]): string {
  const valueOf = (name: string) => env.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
  const variable = /\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})/g;
  return text.replace(variable, (_, plain?: string, name?: string, operator?: string, word = "") => {
    const value = valueOf((plain ?? name) as string) ?? "";
    if (operator === "+") return value === "" ? "" : word;
    return value === "" && operator === "-" ? word : value;
  });
}
