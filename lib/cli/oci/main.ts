/**
 * `tsbox oci`, and what a link named `tsbox-oci` is: the runtime that engines call, with the words, messages and exit
 * statuses of runc.
 * @module
 */
import { absolute, defaultRoot, isHostRoot, Log, type LogFormat, type Runtime } from "../../oci/index.ts";
import { parseFlags, UsageError, type Flag, type Values } from "./flags.ts";
import { GLOBAL_FLAGS, verbOf, type Verb } from "./verbs.ts";

const FAILED = 1;
const HELP: Flag = ["help, h", "flag", "print this help"];

/** @param program as it was called: `"tsbox-oci"`, `"tsbox oci"` @returns the exit status */
export async function oci(program: string, words: string[]): Promise<number> {
  let log: Log | undefined;
  let failed = FAILED;
  try {
    const { values, args } = parseFlags(words, GLOBAL_FLAGS, true);
    if (values.flag("version")) return (await import("./version.ts")).printVersion(program);
    log = logOf(values);
    const [name, ...rest] = args;
    if (name === undefined || values.flag("help")) return await help(program, name);
    const verb = verbOf(name);
    if (!verb) return await help(program, name === "help" || name === "h" ? rest[0] : name);
    failed = verb.failed ?? FAILED;
    const looked = verb.isRefused ? rest.filter((word) => /^--?h(elp)?$/.test(word)) : rest;
    const parsed = parseFlags(looked, [...verb.flags, HELP], verb.stopAtFirst === true);
    if (parsed.values.flag("help")) return await help(program, name);
    checkCount(`${program}: "${name}"`, verb, parsed.args.length);
    return (await verb.run({ ...parsed, runtime: runtimeOf(values, log) })) ?? 0;
  } catch (error) {
    const { explain } = await import("./report.ts");
    (log ?? new Log(undefined, "text", false)).error(explain(error));
    return failed;
  }
}

async function help(program: string, verb: string | undefined): Promise<number> {
  return (await import("./help.ts")).printHelp(program, verb);
}

function logOf(values: Values): Log {
  const format = values.text("log-format") ?? "text";
  if (format !== "text" && format !== "json") throw new UsageError(`invalid log-format: ${format}`);
  return new Log(values.text("log"), format satisfies LogFormat, values.flag("debug"));
}

function runtimeOf(values: Values, log: Log): Runtime {
  if (values.isSet("criu")) log.warn("--criu is ignored: there are no checkpoints");
  const root = absolute(values.isSet("root") ? (values.text("root") ?? "/") : defaultRoot(process.env));
  if (root === "/") throw new UsageError("option --root argument should not be set to /");
  return {
    root,
    rootIsDefault: !values.isSet("root"),
    ...cgroupManagerOf(values),
    rootless: rootlessOf(values.text("rootless") ?? "auto"),
    log,
  };
}

/** By runc's flag or by crun's, which podman knows. */
function cgroupManagerOf(values: Values): Pick<Runtime, "systemdCgroup" | "noCgroup"> {
  const manager = values.text("cgroup-manager") ?? "cgroupfs";
  if (!["cgroupfs", "systemd", "disabled"].includes(manager))
    throw new UsageError(
      `invalid value ${JSON.stringify(manager)} for flag -cgroup-manager: cgroupfs, systemd or disabled`,
    );
  const systemdCgroup = values.flag("systemd-cgroup") || manager === "systemd";
  return manager === "disabled" ? { systemdCgroup: false, noCgroup: true } : { systemdCgroup };
}

function rootlessOf(text: string): boolean {
  if (text.toLowerCase() === "auto") return !isHostRoot();
  const truth = /^(?:(1|t|true)|0|f|false)$/i.exec(text);
  if (!truth) throw new UsageError(`invalid value ${JSON.stringify(text)} for flag -rootless: true, false or auto`);
  return truth[1] !== undefined;
}

function checkCount(verb: string, { least, most }: Verb, count: number): void {
  if (count >= least && count <= most) return;
  const how = least === most ? "exactly" : count < least ? "a minimum of" : "a maximum of";
  throw new UsageError(`${verb} requires ${how} ${count < least ? least : most} argument(s)`);
}
