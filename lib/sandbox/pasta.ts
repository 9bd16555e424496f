/**
 * Somebody else's way out: pasta, a program that is a router for one network namespace. It knows no policies, and is there
 * for those who want the addresses of the host inside, or ICMP.
 * @module
 * @see pasta(1), https://passt.top
 */
import * as sys from "../../syscalls/index.ts";
import { effectiveUid, Netlink, TsboxError } from "../../syscalls/index.ts";
import { inNetwork, Links } from "../netlink/index.ts";
import type { NetworkSocketName } from "../plan/index.ts";
import { RESOLVER_ADDRESS } from "../policy/index.ts";
import { invalid } from "../options/index.ts";

/** `NS_GET_USERNS`: whose a namespace is. @see ioctl_nsfs(2) */
const NS_GET_USERNS = 0xb701;
const [LOOK_MS, PATIENCE_MS] = [5, 10_000];
const MAX_TOLD = 2000;

/** @throws TsboxError `invalid_option` for root, as whom it does not run */
export function checkPasta(): void {
  if (effectiveUid() === 0)
    throw invalid('use the network "pasta" as root: it gives up the rights that it would need', "network: {}");
}

/**
 * Once the namespace has a way out.
 * @param sockets of it, which are taken over @returns what ends it
 * @throws TsboxError `unsupported` where it is not installed, or says why it cannot
 */
export async function startPasta(sockets: Record<NetworkSocketName, number>): Promise<() => void> {
  using opened = new sys.Descriptors();
  for (const fd of Object.values(sockets)) opened.add(fd);
  const network = sys.networkOf(sockets.tcp4);
  const user = sys.syscall("find whose the network namespace is", "ioctl", network, NS_GET_USERNS);
  const run = spawn(network, user);
  const end = () => {
    run.end();
    for (const fd of [network, user]) sys.close(fd);
  };
  try {
    const until = performance.now() + PATIENCE_MS;
    while (!hasWay(sockets.route)) {
      if (run.failure() || performance.now() > until) throw explained(run.failure() ?? "it takes too long");
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return end;
  } catch (error) {
    end();
    throw error;
  }
}

function hasWay(route: number): boolean {
  const netlink = () => new Netlink("route", sys.keptDescriptor(route, 3));
  return inNetwork({ descriptor: -1, netlink, set: () => -1, socket: () => -1 }, () => {
    using links = new Links();
    return links.hasDefaultRoute();
  });
}

/** pasta would stay in the namespace, and keep it, when this program is killed: its end of a pipe tells. */
const SCRIPT = 'exec 5<&0; pasta "$@" 5<&- & p=$!; { read _ <&5; kill -9 $p; } & wait $p; s=$?; kill $! 2>&-; exit $s';

function spawn(network: number, user: number): { end(): void; failure(): string | undefined } {
  const { spawn: begin } = process.getBuiltinModule("node:child_process");
  // nothing that the host has at its loopback, and no ports either way
  const closed = ["--no-map-gw", ..."tuTU".split("").flatMap((flag) => [`-${flag}`, "none"])];
  const where = ["--netns", "/proc/self/fd/3", "--userns", "/proc/self/fd/4"];
  const words = ["--foreground", "--quiet", "--config-net", ...closed, "--dns-forward", RESOLVER_ADDRESS, ...where];
  const child = begin("/bin/sh", ["-c", SCRIPT, "sh", ...words], { stdio: ["pipe", "ignore", "pipe", network, user] });
  let [told, failure]: [string, string | undefined] = ["", undefined];
  child.stderr?.on("data", (chunk: Uint8Array) => {
    if (told.length < MAX_TOLD) told += new TextDecoder().decode(chunk);
  });
  child.on("error", (error: Error) => (failure = error.message));
  child.on("close", (status) => (failure ??= status === 127 ? NOT_THERE : (lastLine(told) ?? "it has ended")));
  // a box that nobody waits for does not keep a script from ending
  child.unref();
  for (const stream of [child.stdin, child.stderr]) (stream as unknown as { unref?(): void }).unref?.();
  return { end: () => void child.stdin?.end(), failure: () => failure };
}

const NOT_THERE = "it is not installed";
const lastLine = (text: string): string | undefined =>
  text
    .split("\n")
    .findLast((line) => line.trim() !== "" && !/bytes to syslog/.test(line))
    ?.trim();

const explained = (why: string) =>
  new TsboxError(`use the network "pasta": ${why}`, {
    code: "unsupported",
    hint:
      why === NOT_THERE ? 'the package "passt" has it; network: {} needs none' : "/dev/net/tun has to be everybody's",
  });
