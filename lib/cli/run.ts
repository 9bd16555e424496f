/**
 * `tsbox run`: a command in a sandbox, of which nothing stays, or in a container. A sandbox needs no database and no
 * supervisor, so it is made wherever nobody could tell the two apart.
 * @module
 */
import { declareOlder, declareRun, RUN_EXAMPLES, RUN_FLAGS, type ContainerFlags, type RunFlags } from "./flags.ts";
import { tellOfPull } from "./pulling.ts";
import { exitStatus, explain, tellDenied, warn } from "./report.ts";
import type { RunOptions, SandboxProcess } from "../index.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Run a command in a sandbox of its own, or in a container";
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

export function addRun(tsbox: Verb): void {
  tsbox
    .command("run")
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async (first: string, rest: string[], flags: ContainerFlags) => {
      const words = [first, ...rest];
      if (isSandbox(flags)) process.exit(await run(words, flags));
      process.exit(await (await import("./containers/run.ts")).runContainer(words, flags));
    })
    .declareLater((verb) => {
      declareOlder(verb);
      declareRun(verb, RUN_EXAMPLES);
    }, RUN_FLAGS);
}

/** What only a container has. */
const OF_CONTAINERS = [
  ...(["detach", "name", "restart", "cidfile", "label", "labelFile", "annotation", "detachKeys"] as const),
  ...(["healthCmd", "healthInterval", "healthTimeout", "healthRetries", "healthStartPeriod"] as const),
  ...(["healthStartInterval", "logDriver", "logOpt", "volumesFrom", "volumeDriver"] as const),
  ...(["addHost", "dns", "dnsSearch", "dnsOption", "dnsOpt", "expose"] as const),
  ...(["publish", "publishAll", "ip", "ip6", "macAddress", "networkAlias", "netAlias"] as const),
];

/** Whether all that is asked for goes with the command, and a sandbox has it. */
export function isSandbox(flags: ContainerFlags): boolean {
  if (flags.rm === false || (flags.rootfs === undefined && !flags.rm)) return false;
  if (OF_CONTAINERS.some((name) => flags[name] !== undefined && flags[name] !== false)) return false;
  const { network = flags.net, pid, ipc, rootfs, hostname } = flags;
  if (network?.some((name) => !/^(?:ns:|[\w.-]+$)/.test(name) || name === "default")) return false;
  if ([pid, ipc].some((sharing) => sharing?.startsWith("container:"))) return false;
  // what says so in /etc is a container's
  if (rootfs === undefined && (hostname !== undefined || network?.includes("host"))) return false;
  const hasVolume = flags.volume?.some((text) => !text.includes(":") || /^[^./~:]|:[^:]*\b[UzZ]\b[^:]*$/.test(text));
  return (
    !hasVolume &&
    !flags.mount?.some(
      (text) => !/(?:^|,)"?type=(?:bind|tmpfs)(?:"?,|"?$)/.test(text) || /(?:^|,)(?:[UuzZ]|chown|relabel)\b/.test(text),
    )
  );
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
  tellDenied(ending.denied ?? []);
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
  return async (sandboxed) => void (await joinTerminals(sandboxed, interactive));
}
