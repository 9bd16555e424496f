/** What `--debug` tells of a process that is made. Some words are runc's: by them, suites and people find the moment. @module */
import { cpuMask, isAsked, type StartableSpec } from "../plan/index.ts";
import { seccompFlags } from "../seccomp/index.ts";
import type { Plan } from "../../syscalls/index.ts";
import type { Logger } from "./log.ts";

/** Before it is made: every step, and what its filter is loaded with. */
export function tracePlan(log: Logger, plan: Plan, spec: StartableSpec): void {
  const { seccomp } = spec.linux;
  log.debug(`nsexec container setup: ${plan.length} steps`);
  if (seccomp) log.debug(`seccomp filter flags: ${seccompFlags(seccomp, isAsked(spec))}`);
  for (const { action } of plan) log.debug(`step: ${action}`);
}

/** What is joined runs on these CPUs before. */
export function traceAffinity(log: Logger, list: string | undefined): void {
  if (list === undefined) return;
  const mask = cpuMask(list).data.toReversed().toHex().replace(/^0+/, "");
  log.debug(`nsexec: affinity: 0x${mask}`);
}

export const traceChild = (log: Logger, pid: number): void =>
  log.debug(`child process in init(): it is process ${pid}`);

/** A container's first process waits to be started. */
export const traceReady = (log: Logger): void => log.debug("init: closing the pipe to signal completion");

/** A process is in the container. */
export const traceJoined = (log: Logger, args: readonly string[]): void =>
  log.debug(`setns_init: about to exec ${JSON.stringify(args)}`);
