/**
 * What an image says of the processes of its sandboxes, under what callers say: Docker's rules.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/config.md,
 *   https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact
 */
import { absolute, signalNumber, TsboxError, show } from "../../syscalls/index.ts";
import type { ContainerConfig } from "../image/index.ts";
import { checkArray, checkObject, checkText } from "../options/index.ts";
import type { RunOptions } from "./options.ts";
import type { Request } from "./stacked-root.ts";

/**
 * @param command of a run; an entry point that is asked for drops the image's command, as well as its entry point
 * @throws TsboxError `image_invalid`, `invalid_option`
 */
export function configured(
  command: string[],
  asked: RunOptions,
  config: ContainerConfig,
): { command: string[]; options: Request } {
  checkStopSignal(config);
  const { image: _, entrypoint, ...options } = asked;
  if (options.env !== undefined) checkObject("environment", options.env, 'names and values: { LANG: "C" }');
  const { Entrypoint = [], Cmd = [] } = config;
  return {
    command:
      entrypoint === undefined
        ? [...Entrypoint, ...(command.length > 0 ? command : Cmd)]
        : [...entrypointOf(entrypoint), ...command],
    options: {
      ...options,
      env: { ...environmentOf(config), ...options.env },
      user: options.user ?? userOf(config),
      cwd: options.cwd ?? absolute(config.WorkingDir ?? "/", "/"),
    },
  };
}

/** The config of an image that is made of a sandbox: as that was run, whose options have gone through {@link configured}. */
export function configAsRun({ env = {}, user, cwd }: Request, config: ContainerConfig): ContainerConfig {
  const { Env, User, WorkingDir, ...rest } = config;
  const words = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const isSameUser = user === undefined || user === userOf(config);
  const isSamePlace = cwd === undefined || cwd === absolute(WorkingDir ?? "/", "/");
  return {
    ...rest,
    ...(words.length > 0 || Env !== undefined ? { Env: words } : {}),
    ...(isSameUser ? (User === undefined ? {} : { User }) : { User: user }),
    ...(isSamePlace ? (WorkingDir === undefined ? {} : { WorkingDir }) : { WorkingDir: cwd }),
  };
}

/** `""` takes the image's away. */
function entrypointOf(entrypoint: unknown): string[] {
  if (entrypoint === "") return [];
  if (typeof entrypoint === "string") return [entrypoint];
  return checkArray("entry point", entrypoint).map((word) => checkText("entry point", word));
}

function checkStopSignal({ StopSignal }: ContainerConfig): void {
  if (StopSignal === undefined) return;
  try {
    signalNumber(/^\d+$/.test(StopSignal) ? Number(StopSignal) : StopSignal);
  } catch (cause) {
    throw invalidImage(`its stop signal ${show(StopSignal)} is none`, cause);
  }
}

/** Words without a name are no variables, and set none. */
function environmentOf({ Env = [] }: ContainerConfig): Record<string, string> {
  const env = Object.create(null) as Record<string, string>;
  for (const word of Env) {
    const equals = word.indexOf("=");
    if (equals > 0) env[word.slice(0, equals)] = word.slice(equals + 1);
  }
  return env;
}

/** `"app:"` and `":staff"` are in use: nothing is said there, which is root. */
function userOf({ User = "" }: ContainerConfig): string {
  const [user, group] = User.split(":");
  return group ? `${user || "0"}:${group}` : user || "0";
}

/**
 * Directories that are for what is kept apart from the image.
 * @throws TsboxError `image_invalid`
 */
export function volumesOf({ Volumes = {} }: ContainerConfig): string[] {
  return Object.keys(Volumes).map((volume) => {
    const path = absolute(volume, "/");
    if (!volume.startsWith("/") || path === "/") throw invalidImage(`its volume ${show(volume)} is not below "/"`);
    return path;
  });
}

const invalidImage = (why: string, cause?: unknown) =>
  new TsboxError(`use the image: ${why}`, { code: "image_invalid", cause });
