/** `tsbox run`: a command in a sandbox of its own. @module */
import { declareRun, RUN_FLAGS, type RunFlags } from "./flags.ts";
import { exitStatus, explain, warn } from "./report.ts";
import type { RunOptions, SandboxProcess } from "../index.ts";
import type { Stop } from "./stop.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Run a command in a sandbox of its own";
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

export function addRun(tsbox: Verb): void {
  tsbox
    .command("run")
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async (command: string, args: string[], flags: RunFlags) => {
      process.exit(await run([command, ...args], flags));
    })
    .declareLater(declareRun, RUN_FLAGS);
}

async function run(command: string[], flags: RunFlags): Promise<number> {
  const [{ Sandbox }, { runOptions, callersWorld }] = await Promise.all([
    import("../index.ts"),
    import("./run-options.ts"),
  ]);
  const options = runOptions(flags, callersWorld());
  const stops = flags.stopSignal !== undefined || flags.stopTimeout !== undefined;
  const stop = stops ? (await import("./stop.ts")).stopOf(flags) : undefined;
  const join = flags.tty ? await terminals(flags, options) : undefined;
  const sandboxed = Sandbox.spawn(command, options);
  warn(sandboxed.warnings);
  if (flags.sigProxy !== false) passSignalsOn(sandboxed, stop);
  await join?.(sandboxed);
  const ending = await sandboxed.result();
  explain(ending.reason, flags);
  return exitStatus(ending);
}

function passSignalsOn(sandboxed: SandboxProcess, stop?: Stop): void {
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      if (signal !== "SIGTERM" || !stop) return sandboxed.kill(signal);
      sandboxed.kill(stop.signal);
      if (stop.timeoutMs !== undefined) setTimeout(() => sandboxed.kill("SIGKILL"), stop.timeoutMs);
    });
  }
}

/** The command's terminal gets the size of the one that somebody sits at. @returns what joins the two */
async function terminals(flags: RunFlags, options: RunOptions): Promise<(sandboxed: SandboxProcess) => Promise<void>> {
  const { callersSize, checkTerminal, joinTerminals } = await import("./terminal.ts");
  const interactive = flags.interactive === true;
  if (interactive) checkTerminal();
  if (typeof options.terminal === "object") Object.assign(options.terminal, callersSize());
  return (sandboxed) => joinTerminals(sandboxed, interactive);
}
