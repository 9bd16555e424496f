/**
 * A command in a sandbox, of which nothing stays: what `tsbox run` makes wherever it can. Of the engine, only what one
 * sandbox takes is loaded.
 * @module
 */
import { ownStream, spawnAlone, withImage } from "../sandbox/index.ts";
import type { RunOptions, SandboxProcess } from "../index.ts";
import type { RunFlags } from "./flags.ts";
import { tellOfPull } from "./pulling.ts";
import { exitStatus, explain, tellDenied, warn } from "./report.ts";
import { callersWorld, runRequest } from "./run-options.ts";

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

export async function runSandbox(words: string[], flags: RunFlags): Promise<number> {
  const { command, options } = runRequest(words, flags, callersWorld());
  if (flags.stopSignal !== undefined || flags.stopTimeout !== undefined) (await import("./stop.ts")).stopOf(flags);
  const join = flags.tty ? await terminals(flags, options) : undefined;
  // a root filesystem is what a developer has chosen, who may want the terminal to be one; an image expects what Docker gives
  if (options.image !== undefined) reopenable(options);
  let running: SandboxProcess | undefined;
  const start = () => {
    // before: whoever hears from the command may send a signal at once
    if (flags.sigProxy !== false) passSignalsOn(() => running, flags);
    return (running = spawnAlone(command, options));
  };
  const sandboxed = await spawn(words, start, options, flags);
  warn(sandboxed.warnings);
  await join?.(sandboxed);
  const result = sandboxed.result();
  if (options.stdout === "pipe" || options.stderr === "pipe")
    await (await import("./pass-on.ts")).passOn(sandboxed, result);
  const ending = await result;
  explain(ending.reason, flags);
  tellDenied(ending.denied ?? []);
  return exitStatus(ending);
}

/** The command can open `/dev/stdout` and `/dev/stderr`, whatever they are. */
function reopenable(options: RunOptions): void {
  if (options.stdout === "inherit") options.stdout = ownStream(1);
  if (options.stderr === "inherit") options.stderr = ownStream(2);
}

/** Pulls its image, where it is missing. */
async function spawn(
  [first = ""]: string[],
  work: () => SandboxProcess,
  options: RunOptions,
  { quiet }: RunFlags,
): Promise<SandboxProcess> {
  if (options.image === undefined) return work();
  const pulling = quiet ? undefined : tellOfPull();
  try {
    return await withImage(options, work, pulling?.onProgress);
  } catch (error) {
    throw (await import("./no-image.ts")).explained(error, first);
  } finally {
    await pulling?.finish();
  }
}

function passSignalsOn(running: () => SandboxProcess | undefined, flags: RunFlags): void {
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      const sandboxed = running();
      if (!sandboxed) return;
      const { StopSignal, StopTimeout } = sandboxed.image?.config.config ?? {};
      const seconds = flags.stopTimeout ?? (StopTimeout === undefined ? undefined : String(StopTimeout));
      const stopSignal = flags.stopSignal ?? StopSignal;
      if (signal !== "SIGTERM" || (stopSignal ?? seconds) === undefined) return sandboxed.kill(signal);
      void stop(sandboxed, { stopSignal, stopTimeout: seconds });
    });
  }
}

async function stop(sandboxed: SandboxProcess, flags: Pick<RunFlags, "stopSignal" | "stopTimeout">): Promise<void> {
  const { stopOf } = await import("./stop.ts");
  const { signal, timeoutMs } = stopOf(flags);
  sandboxed.kill(signal);
  if (timeoutMs !== undefined) setTimeout(() => sandboxed.kill("SIGKILL"), timeoutMs);
}

/** The command's terminal gets the size of the one that somebody sits at. @returns what joins the two */
async function terminals(flags: RunFlags, options: RunOptions): Promise<(sandboxed: SandboxProcess) => Promise<void>> {
  const { callersSize, checkTerminal, joinTerminals } = await import("./terminal.ts");
  const interactive = flags.interactive === true;
  if (interactive) checkTerminal();
  if (typeof options.terminal === "object") Object.assign(options.terminal, callersSize());
  return async (sandboxed) => void (await joinTerminals(sandboxed, interactive));
}
