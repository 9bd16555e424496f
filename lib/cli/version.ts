/** `tsbox version`: what a report of a problem has to name. @module */
import about from "../../package.json" with { type: "json" };
import { print } from "./print.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Print the versions of tsbox and of what it runs on";

interface VersionFlags {
  json?: boolean;
  format?: string;
}

export function addVersion(tsbox: Verb): void {
  tsbox
    .command("version")
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async ({ json, format }: VersionFlags) => {
      const { arch, release } = await import("node:os");
      const versions = { tsbox: about.version, bun: Bun.version, linux: release(), architecture: arch() };
      const lines = Object.entries(versions).map(([name, value]) => `${name.padEnd(13)}${value}\n`);
      if (format) return await printFormatted(format, versions);
      print(json ? `${JSON.stringify(versions, null, 2)}\n` : lines.join(""));
      process.exit(0);
    })
    .declareLater((verb) => {
      verb
        .usage("[--json | --format FORMAT]")
        .option("--json", "Print them as JSON")
        .option("-f, --format <FORMAT>", 'A template such as "{{.Server.Version}}", or "json"')
        .helpOption("--help", "Print this help and quit");
    });
}

/** In Docker's words; there is no server, and so what it would be is the same. */
async function printFormatted(format: string, versions: { tsbox: string; linux: string; architecture: string }) {
  const { safely } = await import("./images/with-images.ts");
  const { rendered } = await import("./images/rows.ts");
  await safely(async () => {
    const Arch = versions.architecture === "x64" ? "amd64" : versions.architecture;
    const own = { Version: versions.tsbox, Os: "linux", Arch, KernelVersion: versions.linux };
    const known = { Client: own, Server: own };
    const hint = "what there is: .Client and .Server, with .Version .Os .Arch .KernelVersion";
    print(rendered(format === "json" ? "{{json .}}" : format, hint, (line) => `${line(known)}\n`));
  });
}
