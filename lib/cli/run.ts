/** `tsbox run`: a command in a sandbox of its own. @module */
import { declareRun, RUN_FLAGS, type RunFlags } from "./flags.ts";
import type { Progress } from "./images/progress.ts";
import { exitStatus, explain, warn } from "./report.ts";
import type { PullProgress } from "../sandbox/index.ts";
import type { RunOptions, SandboxProcess } from "../index.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Run a command in a sandbox of its own";
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

export function addRun(tsbox: Verb): void {
  tsbox
    .command("run")
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async (first: string, rest: string[], flags: RunFlags) => {
      process.exit(await run([first, ...rest], flags));
    })
    .declareLater(declareRun, RUN_FLAGS);
}

async function run(words: string[], flags: RunFlags): Promise<number> {
  const [{ Sandbox }, { runRequest, callersWorld }] = await Promise.all([
    import("../sandbox/index.ts"),
    import("./run-options.ts"),
  ]);
  const { command, options } = runRequest(words, flags, callersWorld());
  if (flags.stopSignal !== undefined || flags.stopTimeout !== undefined) (await import("./stop.ts")).stopOf(flags);
  const join = flags.tty ? await terminals(flags, options) : undefined;
  const sandboxed = await spawn(words, () => Sandbox.spawn(command, options), options, flags);
  warn(sandboxed.warnings);
  if (flags.sigProxy !== false) passSignalsOn(sandboxed, flags);
  await join?.(sandboxed);
  const ending = await sandboxed.result();
  explain(ending.reason, flags);
  return exitStatus(ending);
}

/** Pulls its image, where it is missing. */
async function spawn(
  [first = ""]: string[],
  work: () => SandboxProcess,
  options: RunOptions,
  { quiet }: RunFlags,
): Promise<SandboxProcess> {
  if (options.image === undefined) return work();
  const { withImage } = await import("../sandbox/index.ts");
  const pulling = quiet ? undefined : tellOfPull();
  try {
    return await withImage(options, work, pulling?.onProgress);
  } catch (error) {
    throw (await import("./no-image.ts")).explained(error, first);
  } finally {
    await pulling?.finish();
  }
}

/** On stderr: stdout is the command's. What tells is loaded when there is something to tell. */
function tellOfPull(): { onProgress: PullProgress; finish(): Promise<void> } {
  let loaded: Promise<Progress> | undefined;
  return {
    onProgress(event) {
      loaded ??= import("./images/progress.ts").then(({ progressOn }) => progressOn("pull", 2));
      void loaded.then((progress) => {
        if (event.type === "resolving") progress.say(`Pulling ${event.reference}`);
        progress.onProgress(event);
      });
    },
    finish: async () => (await loaded)?.finish(),
  };
}

function passSignalsOn(sandboxed: SandboxProcess, flags: RunFlags): void {
  const { StopSignal, StopTimeout } = sandboxed.image?.config.config ?? {};
  const seconds = flags.stopTimeout ?? (StopTimeout === undefined ? undefined : String(StopTimeout));
  const stopsPlainly = (flags.stopSignal ?? StopSignal ?? seconds) === undefined;
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      if (signal !== "SIGTERM" || stopsPlainly) return sandboxed.kill(signal);
      void stop(sandboxed, { stopSignal: flags.stopSignal ?? StopSignal, stopTimeout: seconds });
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
  return (sandboxed) => joinTerminals(sandboxed, interactive);
}
