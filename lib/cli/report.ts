/**
 * Exit statuses and error messages, as `docker run` has them.
 * @module
 * @see https://docs.docker.com/engine/containers/run/#exit-status
 */
import type { DeniedEntry, Reason } from "../index.ts";
import { print } from "./print.ts";
import { safeText } from "./safe-text.ts";

/** The command ran longer than `--timeout`, or used more than `--cpu-time`; the number of timeout(1). */
export const TIMED_OUT = 124;
/** tsbox itself failed. */
export const FAILED = 125;
/** What the command is run by, or as, is not as it was asked for. */
export const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/** The command line was not understood. */
export class UsageError extends Error {
  readonly hint: string;
  /** Docker's: 1 where a word is missing, is one too many, or names no command. */
  readonly status: number;

  constructor(message: string, hint: string, status = FAILED) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

/** How a command ended. */
export interface Ending {
  exitCode: number | null;
  signalCode: string | null;
  reason: Reason;
}

export function exitStatus({ exitCode, signalCode, reason }: Ending): number {
  if (reason === "timeout" || reason === "cpu-time") return TIMED_OUT;
  if (reason === "oom") return 128 + 9;
  return exitCode ?? 128 + signalNumber(signalCode ?? "SIGKILL");
}

function signalNumber(name: string): number {
  // a real-time signal is written as its number
  return (
    process.getBuiltinModule("node:os").constants.signals[name as NodeJS.Signals] ??
    Number(/^SIG(\d+)$/.exec(name)?.[1] ?? 0)
  );
}

/** What the person who typed the command has to be told about its end, if anything. */
export function explain(reason: Reason, flags: { timeout?: string; cpuTime?: string; memory?: string }): void {
  if (reason === "timeout") complain(`killed after ${flags.timeout} (--timeout)`);
  if (reason === "cpu-time") complain(`killed after ${flags.cpuTime} of CPU time (--cpu-time)`);
  if (reason === "oom") complain(flags.memory === undefined ? "out of memory" : `out of memory (-m ${flags.memory})`);
  if (reason === "pids") complain("out of processes", "raise --pids-limit");
  if (reason === "network") complain("all of its traffic is used", "raise --traffic");
  if (reason === "disk") complain("no place left for files", "raise --disk");
  if (reason === "seccomp")
    complain("killed by the seccomp filter", "--security-opt seccomp=FILE.json allows other system calls");
}

/** Tells of limits that were left out. */
export function warn(warnings: readonly string[]): void {
  for (const warning of warnings) complain(`warning: ${warning}`);
}

const MAX_TOLD = 5;

/** Tells what a network policy did not let through: a program that could not connect seldom says where to. */
export function tellDenied(denied: readonly DeniedEntry[]): void {
  for (const { protocol, host, ip, port, rule } of denied.slice(-MAX_TOLD)) {
    const address = ip?.includes(":") ? `[${ip}]` : ip;
    const where = [host, address && `${address}:${port}`].filter((part) => part !== undefined).join(", ");
    complain(`denied ${protocol === "dns" ? "the name" : protocol} ${where} (${rule})`);
  }
  if (denied.length > MAX_TOLD) complain(`denied ${denied.length - MAX_TOLD} more before`);
}

/** Prints why tsbox could not do what it was asked. @returns its exit status */
export function reportFailure(error: unknown): number {
  const { name, message, code, hint, stack } = error as Error & { code?: string; hint?: string };
  const ofTheSystem = /^E[A-Z0-9]+$/.test(code ?? ""); // a full disk, ...
  if (error instanceof UsageError || name === "TsboxError" || ofTheSystem) complain(message, hint);
  else complain(`internal error: ${stack ?? String(error)}`, "this is a bug in tsbox; please report it");
  if (error instanceof UsageError) return error.status;
  if (code === "command_not_found") return NOT_FOUND;
  return code === "command_not_executable" || code === "argument_too_long" ? NOT_EXECUTABLE : FAILED;
}

/** On stderr. */
export function complain(message: string, hint?: string): void {
  try {
    // what registries and images say may be in it
    print(safeText(`tsbox: ${message}\n${hint ? `  hint: ${hint}\n` : ""}`), 2);
  } catch {
    // nobody reads the errors; the exit status still tells
  }
}
