/**
 * Instructions of a Dockerfile that change an image's config: what `--change` of `import` and `commit` takes.
 * @module
 * @see https://docs.docker.com/reference/dockerfile/
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import { configure, expandInstruction, parseInstruction, type Setting } from "../dockerfile/index.ts";
import type { ContainerConfig } from "../image/index.ts";

const NAMES = [
  "CMD",
  "ENTRYPOINT",
  "ENV",
  "EXPOSE",
  "HEALTHCHECK",
  "LABEL",
  "ONBUILD",
  "STOPSIGNAL",
  "USER",
  "VOLUME",
  "WORKDIR",
] as const;

/** @returns a new config. @throws TsboxError `invalid_option` */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  return changes.reduce(changed, structuredClone(config));
}

function changed(config: ContainerConfig, change: string): ContainerConfig {
  try {
    const setting = settingOf(change, config);
    // the command was that of another entry point
    const { Cmd: _, ...others } = config;
    return configure(setting.name === "ENTRYPOINT" ? others : config, setting);
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid(change, error.message);
    if (!(error instanceof TsboxError) || error.code !== "dockerfile_invalid") throw error;
    throw invalid(change, error.message.replace(/^[^:]*:\d+:\d+: /, ""), error.hint);
  }
}

/** @throws TsboxError `dockerfile_invalid`, `invalid_option` for one that changes files */
function settingOf(change: string, { Env = [] }: ContainerConfig): Setting {
  const name = /^\s*([A-Za-z]+)/.exec(change)?.[1]?.toUpperCase();
  if (!NAMES.some((each) => each === name))
    throw invalid(change, "not an instruction that can be applied", NAMES.join(" "));
  const valueOf = (variable: string) => Env.find((line) => line.startsWith(`${variable}=`))?.slice(variable.length + 1);
  const within = { file: "change", escape: "\\" as const };
  return expandInstruction(parseInstruction(change, within.file), valueOf, within) as Setting;
}

const invalid = (change: string, why: string, hint?: string) =>
  new TsboxError(`change ${show(change)}: ${why}`, { code: "invalid_option", ...(hint === undefined ? {} : { hint }) });
