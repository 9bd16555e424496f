/** Verbs that make processes: `create`, `run`, `start`, `exec`. @module */
import * as engine from "../../oci/index.ts";
import { UsageError, type Call, type Values } from "./flags.ts";

export async function create({ runtime, args: [id = ""], values }: Call): Promise<void> {
  await engine.create(runtime, id, createOptions(values));
}

export async function start({ runtime, args: [id = ""] }: Call): Promise<void> {
  await engine.start(runtime, id, startOptions());
}

/** @returns the exit status of the container's command */
export async function run({ runtime, args: [id = ""], values }: Call): Promise<number> {
  return engine.run(runtime, id, {
    ...createOptions(values),
    detach: values.flag("detach"),
    keep: values.flag("keep"),
    subreaper: !values.flag("no-subreaper"),
  });
}

/** @returns the exit status of the command */
export async function exec({ runtime, args: [id = "", ...args], values }: Call): Promise<number> {
  if (args.length === 0 && !values.text("process")) throw new UsageError("exec args cannot be empty");
  return engine.exec(runtime, id, execOptions(values, args));
}

const absolutePath = (text: string | undefined) => (text === undefined ? undefined : engine.absolute(text));

function processOptions(values: Values): engine.ProcessOptions {
  const preserveFds = values.number("preserve-fds") ?? 0;
  if (preserveFds < 0) throw new UsageError(`invalid value "${preserveFds}" for flag -preserve-fds: negative`);
  return {
    preserveFds,
    consoleSocket: absolutePath(values.text("console-socket")),
    pidfdSocket: absolutePath(values.text("pidfd-socket")),
    pidFile: absolutePath(values.text("pid-file")),
  };
}

function createOptions(values: Values): engine.CreateOptions {
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  return {
    ...processOptions(values),
    bundle: engine.absolute(values.text("bundle") ?? "."),
    pivot: !values.flag("no-pivot"),
    newKeyring: !values.flag("no-new-keyring"),
    // with another pid they are meant for somebody else, who did not unset it
    listenFds:
      Number(LISTEN_PID || process.pid) === process.pid && /^\d+$/.test(LISTEN_FDS ?? "") ? Number(LISTEN_FDS) : 0,
    ...startOptions(),
  };
}

function startOptions(): engine.StartOptions {
  return { notifySocket: process.env["NOTIFY_SOCKET"] || undefined };
}

function execOptions(values: Values, args: string[]): engine.ExecOptions {
  return {
    ...processOptions(values),
    args,
    detach: values.flag("detach"),
    env: values.list("env"),
    terminal: values.flag("tty"),
    additionalGids: values.list("additional-gids").map((text) => idOf("additional-gids", text)),
    capabilities: values.list("cap"),
    subCgroups: subCgroups(values.list("cgroup")),
    ignorePaused: values.flag("ignore-paused"),
    process: absolutePath(values.text("process")),
    cwd: values.text("cwd"),
    user: userOf(values.text("user")),
    noNewPrivileges: values.isSet("no-new-privs") ? values.flag("no-new-privs") : undefined,
    selinuxLabel: values.text("process-label"),
    apparmorProfile: values.text("apparmor"),
  };
}

const LARGEST_ID = 2 ** 32 - 2; // the one above means "leave it"

function idOf(flag: string, text: string): number {
  const id = /^\d+$/.test(text) ? Number(text) : NaN;
  if (id <= LARGEST_ID) return id;
  throw new UsageError(`invalid value ${JSON.stringify(text)} for flag -${flag}: 0 to ${LARGEST_ID}`);
}

function userOf(text: string | undefined): engine.ExecOptions["user"] {
  if (text === undefined) return undefined;
  const [uid = "", gid] = text.split(/:([^]*)/);
  return { uid: idOf("user", uid), ...(gid === undefined ? {} : { gid: idOf("user", gid) }) };
}

/** `cpu,memory:path`, or one path for all. */
function subCgroups(texts: string[]): Record<string, string> {
  const paths: Record<string, string> = {};
  for (const text of texts) {
    const [controllers, path] = text.split(/:([^]*)/);
    if (path === undefined) {
      if (texts.length > 1) throw new UsageError(`invalid --cgroup argument: ${text} (missing <controller>: prefix)`);
      return { "": text };
    }
    for (const controller of controllers?.split(",") ?? []) {
      if (controller === "") throw new UsageError(`invalid --cgroup argument: ${text} (empty <controller> prefix)`);
      if (controller in paths) {
        throw new UsageError(`invalid --cgroup argument(s): controller ${controller} specified multiple times`);
      }
      paths[controller] = path;
    }
  }
  return paths;
}
