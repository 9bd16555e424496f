/** `tsbox plan`: what a command would do, without doing it. @module */
import { declareRun, PLAN_EXAMPLES, SANDBOX_FLAGS, type RunFlags } from "./flags.ts";
import { print } from "./print.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Print the system calls of a command, and run nothing";

export function addPlan(tsbox: Verb): void {
  const plan = tsbox.command("plan").usage("COMMAND").summary(SUMMARY).description(SUMMARY);
  plan
    .command("run")
    .summary('Plan what "tsbox run" would do')
    .description('Print the system calls of "tsbox run" one per line, each step with its reason. Needs no root')
    .action(async (first: string, args: string[], flags: RunFlags & { spec?: boolean }) => {
      const [{ Sandbox }, { runRequest, callersWorld }] = await Promise.all([
        import("../sandbox/index.ts"),
        import("./run-options.ts"),
      ]);
      const { command: words, options } = runRequest([first, ...args], flags, callersWorld());
      print(flags.spec ? `${JSON.stringify(Sandbox.spec(words, options), null, 2)}\n` : Sandbox.plan(words, options));
      process.exit(0);
    })
    .declareLater((verb) => declareRun(verb, PLAN_EXAMPLES), {
      "Output:": [["--spec", "Print the OCI runtime spec (config.json) instead"]],
      ...SANDBOX_FLAGS,
    });
}
