/** `tsbox version`: what a report of a problem has to name. @module */
import about from "../../package.json" with { type: "json" };
import { print } from "./print.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Print the versions of tsbox and of what it runs on";

export function addVersion(tsbox: Verb): void {
  tsbox
    .command("version")
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async ({ json }: { json?: boolean }) => {
      const { arch, release } = await import("node:os");
      const versions = { tsbox: about.version, bun: Bun.version, linux: release(), architecture: arch() };
      const lines = Object.entries(versions).map(([name, value]) => `${name.padEnd(13)}${value}\n`);
      print(json ? `${JSON.stringify(versions, null, 2)}\n` : lines.join(""));
      process.exit(0);
    })
    .declareLater((verb) => {
      verb.usage("[--json]").option("--json", "Print them as JSON").helpOption("--help", "Print this help and quit");
    });
}
