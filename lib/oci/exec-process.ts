/** What a further process of a container is: as a file says, or the container's own with what was asked for. @module */
import type { StartableSpec } from "../plan/index.ts";
import type { CapabilitySets } from "../spec/index.ts";
import { checkAsked, parseProcess } from "./config.ts";
import type { Logger } from "./log.ts";
import type { ExecOptions } from "./runtime.ts";
import { environmentOf } from "./startable.ts";

type Process = StartableSpec["process"];

/** @throws TsboxError `invalid_option` */
export function execProcess(rootfs: string, own: Process, options: ExecOptions, log: Logger): Process {
  const asked =
    options.process === undefined
      ? checkAsked(changed(own, options), (warning) => log.warn(warning))
      : readProcess(options.process, log);
  return { ...asked, env: environmentOf(asked.env, asked.user.uid, rootfs) };
}

function readProcess(file: string, log: Logger): Process {
  const { readFileSync } = process.getBuiltinModule("node:fs");
  return parseProcess(readFileSync(file, "utf8"), (warning) => log.warn(warning));
}

function changed(own: Process, options: ExecOptions): Process {
  const { args, env, cwd, user, additionalGids, capabilities, noNewPrivileges, terminal } = options;
  const { selinuxLabel, apparmorProfile } = options;
  const { consoleSize: _, ...rest } = own;
  const gids = [...(user ? [] : (own.user.additionalGids ?? [])), ...additionalGids];
  return {
    ...rest,
    args,
    terminal,
    env: [...own.env.filter((variable) => user === undefined || !variable.startsWith("HOME=")), ...env],
    cwd: cwd ?? own.cwd,
    user: {
      ...own.user,
      ...(user && { uid: user.uid, gid: user.gid ?? own.user.gid }),
      additionalGids: gids,
    },
    ...(noNewPrivileges !== undefined && { noNewPrivileges }),
    ...(selinuxLabel !== undefined && { selinuxLabel }),
    ...(apparmorProfile !== undefined && { apparmorProfile }),
    ...(own.capabilities && { capabilities: withMore(own.capabilities, capabilities) }),
  };
}

/** Inheritable ones it gets only together with ambient ones, which it has where the container has some. */
function withMore(sets: CapabilitySets, names: readonly string[]): CapabilitySets {
  const more = (own: readonly string[] = []) => [...new Set([...own, ...names])];
  return {
    ...sets,
    bounding: more(sets.bounding),
    effective: more(sets.effective),
    permitted: more(sets.permitted),
    ...(sets.ambient &&
      sets.ambient.length > 0 && { inheritable: more(sets.inheritable), ambient: more(sets.ambient) }),
  };
}
