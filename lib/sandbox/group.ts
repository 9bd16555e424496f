/** The control group of a request, and the limits that the owner keeps itself. @module */
import type { TsboxError } from "../../syscalls/index.ts";
import { makeCgroup, type Counters } from "../cgroup/index.ts";
import type { Spec } from "../spec/index.ts";
import type { SandboxOptions } from "./options.ts";
import { parseDuration, parseSize } from "./parse.ts";

export const timeLimit = ({ limits }: SandboxOptions): number | undefined =>
  limits?.time === undefined ? undefined : parseDuration("use the time limit", limits.time);

export const cpuTimeLimit = ({ limits }: SandboxOptions): number | undefined =>
  limits?.cpuTime === undefined ? undefined : parseDuration("use the CPU time limit", limits.cpuTime);

const NO_WARNINGS: readonly string[] = Object.freeze([]);

/** @throws TsboxError `limit_unavailable` */
export function groupFor({ linux: { resources = {}, cgroupsPath: path } }: Spec, options: SandboxOptions) {
  const { limits } = options;
  const countCpu = cpuTimeLimit(options) !== undefined;
  if (!limits?.optional) return { cgroup: makeCgroup(resources, { path, countCpu }), warnings: NO_WARNINGS };
  // what has several files is told once
  const warnings = new Set<string>();
  const leaveOut = ({ message, hint }: TsboxError) => warnings.add(hint ? `${message}: ${hint}` : message);
  const cgroup = makeCgroup(resources, { path, countCpu, leaveOut });
  return { cgroup, warnings: [...warnings] };
}

/** What others had run into before a process began is not its own. */
export const since = (before: Counters, now: Counters): Counters => ({
  ...now,
  oomKills: now.oomKills - before.oomKills,
  pidsDenied: now.pidsDenied - before.pidsDenied,
});

export const outputLimit = ({ limits }: SandboxOptions): number =>
  limits?.output === undefined ? Infinity : parseSize("use the output limit", limits.output);
