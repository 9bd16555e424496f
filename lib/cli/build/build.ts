/** `tsbox build`: an image, of a Dockerfile. @module @see https://docs.docker.com/reference/cli/docker/buildx/build/ */
import type { BuildOptions, BuildResult, Finding, PlannedStep } from "../../build/index.ts";
import { aligned } from "../images/table.ts";
import { declare, type Add } from "../images/declare.ts";
import { REFUSED, safely } from "../images/with-images.ts";
import { print } from "../print.ts";
import { safeWord } from "../safe-text.ts";
import { contextOf } from "./context.ts";
import { BUILD_FLAGS, type BuildFlags } from "./flags.ts";
import { optionsOf } from "./options.ts";
import { progressOf } from "./progress.ts";
import { UsageError } from "../report.ts";

const STDOUT = 1;

/** What they mean is loaded by those who have them. */
const RUN_FLAGS = [
  ...(["memory", "memorySwap", "cpuShares", "cpuPeriod", "cpuQuota", "cpusetCpus", "cpusetMems"] as const),
  ...(["shmSize", "ulimit", "cgroupParent", "securityOpt", "isolation"] as const),
];

export const addBuild: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Build an image from a Dockerfile",
      usage: "[FLAGS] PATH|URL|-",
      words: ["<PATH|URL|->"],
      flags: BUILD_FLAGS,
    },
    (context: string, flags: BuildFlags) => safely((signal) => build(context, flags, signal)),
  );

async function build(path: string, flags: BuildFlags, signal: AbortSignal): Promise<number | void> {
  const options = {
    ...optionsOf(flags, stdoutStream),
    ...(RUN_FLAGS.some((name) => flags[name] !== undefined)
      ? (await import("./run-settings.ts")).runSettingsOf(flags)
      : {}),
    ...(await contextOf(path, flags.file)),
    signal,
  };
  checkFiles(flags, options.outputs);
  const { Tsbox } = await import("../../engine/index.ts");
  using engine = new Tsbox();
  if (flags.check) return tellFindings(await engine.checkBuild(options), flags.file ?? "Dockerfile");
  if (flags.plan) return print(planText(await engine.planBuild(options)));
  removeOld(flags);
  const progress = progressOf(flags.quiet ? "quiet" : flags.progress);
  let result: BuildResult;
  try {
    result = await engine.build({ ...options, onEvent: (event) => progress.onEvent(event) });
  } finally {
    progress.finish();
  }
  const { outputs } = options;
  // an archive may be what stdout is for
  const isPrinted = !outputs || (flags.quiet === true && outputs.some(({ type }) => type === "image"));
  tell(result, flags, isPrinted);
}

/** @throws UsageError for what nothing would be written to, or could not be when all else is done */
function checkFiles({ iidfile, metadataFile }: BuildFlags, outputs: BuildOptions["outputs"]): void {
  const { statSync } = process.getBuiltinModule("node:fs");
  const { dirname } = process.getBuiltinModule("node:path");
  for (const path of [iidfile, metadataFile])
    if (path !== undefined && !statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory())
      throw new UsageError(`write ${JSON.stringify(path)}: there is no directory ${dirname(path)}`, "make it first");
  if (iidfile !== undefined && outputs?.every(({ type }) => type === "local" || type === "tar"))
    throw new UsageError("write the id of an image: none is made", "--load makes one as well");
}

/** Of an earlier build: whoever reads them after one that fails would take them for its own. */
function removeOld({ iidfile, metadataFile }: BuildFlags): void {
  const { lstatSync, rmSync } = process.getBuiltinModule("node:fs");
  for (const path of [iidfile, metadataFile])
    if (path !== undefined && lstatSync(path, { throwIfNoEntry: false })?.isFile()) rmSync(path);
}

function tell(result: BuildResult, { iidfile, metadataFile, tag = [] }: BuildFlags, isPrinted: boolean): void {
  const { writeFileSync } = process.getBuiltinModule("node:fs");
  if (iidfile !== undefined && result.id !== undefined) writeFileSync(iidfile, result.id);
  if (metadataFile !== undefined) {
    const metadata = {
      ...(result.digest === undefined ? {} : { "containerimage.digest": result.digest }),
      ...(result.id === undefined ? {} : { "containerimage.config.digest": result.id }),
      ...(tag.length > 0 ? { "image.name": tag.join(",") } : {}),
    };
    writeFileSync(metadataFile, `${JSON.stringify(metadata, undefined, 2)}\n`);
  }
  if (result.id !== undefined && isPrinted) print(`${result.id}\n`);
}

/** A line each. @returns the status: none is success */
function tellFindings(findings: readonly Finding[], file: string): number {
  for (const { rule, message, line } of findings) print(`${safeWord(`${file}:${line}: ${rule}: ${message}`)}\n`);
  return findings.length > 0 ? REFUSED : 0;
}

/** Each step, what it comes after, and whether it is there already. */
function planText(steps: readonly PlannedStep[]): string {
  const rows = steps.map(({ step, title, after, cached, line }) => [
    `#${step + 1}`,
    cached ? "cached" : "",
    after.map((each) => `#${each + 1}`).join(" "),
    line === undefined ? "" : String(line),
    safeWord(title),
  ]);
  return aligned(`${[["STEP", "CACHE", "AFTER", "LINE", "WHAT"], ...rows].map((row) => row.join("\t")).join("\n")}\n`);
}

function stdoutStream(): WritableStream<Uint8Array> {
  return new WritableStream({ write: (piece) => print(piece, STDOUT) });
}
