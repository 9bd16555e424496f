/**
 * `tsbox run`: a command in a sandbox, of which nothing stays, or in a container. A sandbox needs no database and no
 * supervisor, so it is made wherever nobody could tell the two apart.
 * @module
 */
import { declareOlder, declareRun, RUN_EXAMPLES, RUN_FLAGS, type ContainerFlags } from "./flags.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Run a command in a sandbox of its own, or in a container";

export function addRun(tsbox: Verb): void {
  tsbox
    .command("run")
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async (first: string, rest: string[], flags: ContainerFlags) => {
      const words = [first, ...rest];
      if (isSandbox(flags)) process.exit(await (await import("./run-sandbox.ts")).runSandbox(words, flags));
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
