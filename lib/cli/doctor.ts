/** `tsbox doctor`: what this host offers. @module */
import type { Check } from "../doctor/index.ts";
import { print } from "./print.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Check what this host offers, and say what would help";
const UNHEALTHY = 1;

export function addDoctor(tsbox: Verb): void {
  tsbox
    .command("doctor")
    .summary(SUMMARY)
    .description(`${SUMMARY}. Sandboxes are really made, as this user`)
    .action(async (directories: string[], { json }: { json?: boolean }) => {
      const [{ examine, isHealthy }, { absolute }] = await Promise.all([
        import("../doctor/index.ts"),
        import("../sandbox/index.ts"),
      ]);
      const checks = await examine(directories.length === 0 ? [absolute(".")] : directories);
      print(json ? `${JSON.stringify({ healthy: isHealthy(checks), checks }, null, 2)}\n` : report(checks));
      process.exit(isHealthy(checks) ? 0 : UNHEALTHY);
    })
    .declareLater((verb) => {
      verb.usage("[--json] [DIR...]").argument("[DIR...]", "Directories to be mounted in sandboxes (default .)");
      verb.option("--json", "Print the checks as JSON").helpOption("--help", "Print this help and quit");
      verb.addHelpText("after", '\nExit status: 0; 1 where something is "missing" that every sandbox needs.');
    });
}

/** A line a check, and the remedy below those that failed. */
export function report(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap((check, index) => {
    const { area, name, ok, required, found, hint } = check;
    const word = ok ? "ok" : required ? "missing" : "absent";
    const line = `  ${word.padEnd(8)} ${name.padEnd(width)}  ${found}`;
    const remedy = hint === undefined ? [] : [`${" ".repeat(11)}hint: ${hint}`];
    return [...(checks[index - 1]?.area === area ? [] : [area]), line, ...remedy];
  });
  const count = (fails: (check: Check) => boolean) => checks.filter((check) => !check.ok && fails(check)).length;
  const [missing, absent] = [count(({ required }) => required), count(({ required }) => !required)];
  const verdict = missing > 0 ? `${missing} missing: sandboxes cannot be made like this` : "sandboxes can be made";
  return `${[...lines, "", verdict + (absent > 0 ? `; ${absent} absent, which not every sandbox needs` : "")].join("\n")}\n`;
}
