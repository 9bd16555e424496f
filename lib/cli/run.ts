/** `tsbox run`: a command in a sandbox of its own. @module */
import { declareRun, RUN_FLAGS, type RunFlags } from "./flags.ts";
import { exitStatus, explain } from "./report.ts";
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
  const sandboxed = Sandbox.spawn(command, runOptions(flags, callersWorld()));
  if (flags.sigProxy !== false) for (const signal of FORWARDED) process.on(signal, () => sandboxed.kill(signal));
  const ending = await sandboxed.result();
  explain(ending.reason, flags);
  return exitStatus(ending);
}
