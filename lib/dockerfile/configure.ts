/**
 * What an instruction makes of an image's config. Pure; its values are expanded already.
 * @module
 * @see https://docs.docker.com/reference/dockerfile/
 */
import { signalNumber } from "../../syscalls/index.ts";
import type { ContainerConfig, Healthcheck } from "../image/index.ts";
import type { Command, HealthCheck, Pair } from "./instruction.ts";

/** Instructions that change nothing but the config. */
export type Setting =
  | { name: "ENV" | "LABEL"; pairs: readonly Pair[] }
  | { name: "WORKDIR" | "USER" | "STOPSIGNAL"; value: string }
  | { name: "VOLUME" | "EXPOSE"; values: readonly string[] }
  | { name: "CMD" | "ENTRYPOINT"; command: Command }
  | { name: "SHELL"; args: readonly string[] }
  | { name: "HEALTHCHECK"; check: HealthCheck }
  | { name: "ONBUILD"; trigger: string };

export const DEFAULT_SHELL: readonly string[] = ["/bin/sh", "-c"];
const NANOSECONDS = 1_000_000;

/** @returns a new config. @throws SyntaxError for a value that nothing can be made of */
export function configure(config: ContainerConfig, setting: Setting): ContainerConfig {
  switch (setting.name) {
    case "ENV":
      return { ...config, Env: withVariables(config.Env ?? [], setting.pairs) };
    case "LABEL":
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(setting.pairs) } };
    case "WORKDIR":
      return { ...config, WorkingDir: directoryFrom(config.WorkingDir, setting.value) };
    case "USER":
      // empty, as a variable may be, it is root
      return { ...config, User: setting.value === "" ? "" : oneWord(setting.value) };
    case "STOPSIGNAL":
      return { ...config, StopSignal: signalOf(setting.value) };
    case "VOLUME":
      return { ...config, Volumes: { ...config.Volumes, ...keyed(volumesOf(setting.values)) } };
    case "EXPOSE":
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...keyed(setting.values.flatMap(portsOf)) } };
    case "CMD":
      return { ...config, Cmd: wordsOf(setting.command, config) };
    case "ENTRYPOINT":
      return { ...config, Entrypoint: wordsOf(setting.command, config) };
    case "SHELL":
      return { ...config, Shell: [...setting.args] };
    case "HEALTHCHECK":
      return { ...config, Healthcheck: healthcheckOf(setting.check) };
    case "ONBUILD":
      return { ...config, OnBuild: [...(config.OnBuild ?? []), setting.trigger] };
  }
}

/** One that is there keeps its place. */
export function withVariables(env: readonly string[], pairs: readonly Pair[]): string[] {
  const lines = new Map(env.map((line) => [line.split("=", 1)[0] as string, line]));
  for (const [name, value] of pairs) lines.set(name, `${name}=${value}`);
  return [...lines.values()];
}

/** `..` does not lead above the root. */
export function directoryFrom(from: string | undefined, path: string): string {
  const parts: string[] = [];
  for (const part of `${path.startsWith("/") ? "" : (from ?? "")}/${path}`.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** What is executed: a line by the shell of the config. */
export const wordsOf = (command: Command, { Shell }: ContainerConfig): string[] =>
  command.form === "exec" ? [...command.args] : [...(Shell ?? DEFAULT_SHELL), command.text];

function oneWord(text: string): string {
  if (!/^\S+$/.test(text)) throw new SyntaxError("exactly one word is needed");
  return text;
}

function signalOf(text: string): string {
  try {
    signalNumber(/^\d+$/.test(text) ? Number(text) : text);
  } catch {
    throw new SyntaxError(`${JSON.stringify(text)} is no signal`);
  }
  return text;
}

const keyed = (names: readonly string[]): Record<string, object> => Object.fromEntries(names.map((name) => [name, {}]));

function volumesOf(paths: readonly string[]): readonly string[] {
  if (paths.some((path) => path.trim() === "")) throw new SyntaxError("an empty path");
  return paths;
}

/** `80`, `53/udp`, `8000-8010/tcp`; `127.0.0.1:8080:80` is a way to write 80. */
function portsOf(word: string): string[] {
  const parts = word.split(":");
  const [last = "", host = "", ...address] = parts.toReversed();
  const [ports = "", protocol = "tcp", ...more] = last.split("/");
  const [low, high] = rangeOf(ports);
  const [hostLow, hostHigh] = host === "" ? [low, high] : rangeOf(host);
  const isMapped = high - low === hostHigh - hostLow || (high === low && hostHigh >= hostLow);
  if (!(low >= 1 && isMapped && more.length === 0 && /^(?:tcp|udp|sctp)$/i.test(protocol) && isAddress(address)))
    throw new SyntaxError(`${JSON.stringify(word)} is not a port`);
  return Array.from({ length: high - low + 1 }, (_, at) => `${low + at}/${protocol.toLowerCase()}`);
}

/** @returns NaN for what is none */
function rangeOf(text: string): [low: number, high: number] {
  const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [low, high] = [Number(first), Number(last)];
  return first === "" || high > 65535 || high < low ? [Number.NaN, Number.NaN] : [low, high];
}

/** @param parts the last one first */
function isAddress(parts: readonly string[]): boolean {
  const address = parts.toReversed().join(":");
  return address === "" || process.getBuiltinModule("node:net").isIP(address.replace(/^\[(.*)\]$/, "$1")) !== 0;
}

function healthcheckOf(check: HealthCheck): Healthcheck {
  const { test, intervalMs, timeoutMs, startPeriodMs, startIntervalMs, retries } = check;
  if (!test) return { Test: ["NONE"] };
  const times = {
    Interval: intervalMs,
    Timeout: timeoutMs,
    StartPeriod: startPeriodMs,
    StartInterval: startIntervalMs,
  };
  const given = Object.entries(times).flatMap(([name, ms]) => (ms ? [[name, ms * NANOSECONDS]] : []));
  return {
    Test: test.form === "exec" ? ["CMD", ...test.args] : ["CMD-SHELL", test.text],
    ...Object.fromEntries(given),
    ...(retries ? { Retries: retries } : {}),
  };
}
