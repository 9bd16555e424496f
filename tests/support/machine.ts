/** What this machine lets the tests do, and tests that say why they were skipped. @module */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "bun:test";

export const asRoot = process.geteuid?.() === 0;
/** The User-Mode-Linux guest starts processes about ten times as slowly. */
export const inGuest = process.env["TSBOX_GUEST"] === "1";
/** Times that a test waits at least, or bounds that it sets, in the guest. */
export const SLOW = inGuest ? 10 : 1;

const userNamespaces = asRoot || Bun.spawnSync(["unshare", "--user", "true"], { stderr: "ignore" }).exitCode === 0;

// each is a reason, or undefined where there is none to skip
export const noSandbox = userNamespaces ? undefined : "this user may not make user namespaces";
export const noBusybox = noSandbox ?? (existsSync("/bin/busybox") ? undefined : "busybox-static is not installed");
export const noLimits = noBusybox ?? (asRoot || delegated() ? undefined : "limits need root or a delegated cgroup");
export const withLimits = noBusybox ?? (noLimits === undefined ? "limits are possible here" : undefined);
export const notRoot = noBusybox ?? (asRoot ? undefined : "needs root");
export const notUser = noBusybox ?? (asRoot ? "about ordinary users" : undefined);

/** What networks ask of the kernel. */
type OfNetworks = "filter" | "connections" | "bridge" | "macvlan" | "ipvlan" | "bandwidth";
let lacking: Partial<Record<OfNetworks, string>> | undefined;

/**
 * Why there can be no networks here, or none with these: tried in a network namespace of its own, once, and only by the
 * tests that ask.
 */
export function noNetworks(...more: OfNetworks[]): string | undefined {
  if (noSandbox !== undefined) return noSandbox;
  lacking ??= tryNetworks();
  const missing = (["bridge", "filter", ...more] as const).find((each) => lacking?.[each] !== undefined);
  return missing && `the kernel has no ${missing} for networks: ${lacking[missing]}`;
}

function tryNetworks(): NonNullable<typeof lacking> {
  const user = asRoot ? [] : ["--user", "--map-root-user"];
  const script = join(import.meta.dirname, "try-networks.ts");
  const { stdout, stderr } = Bun.spawnSync(["unshare", "--net", ...user, process.execPath, script], { stderr: "pipe" });
  if (stdout.length === 0) throw new Error(`try what networks need: ${stderr}`);
  return JSON.parse(stdout.toString()) as NonNullable<typeof lacking>;
}

/** Whether the own cgroup of version 2, or one above it, may be written to. */
function delegated(): boolean {
  const path = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  const mount = "/sys/fs/cgroup";
  if (path === undefined || !existsSync(`${mount}/cgroup.controllers`)) return false;
  for (let directory = mount + path; directory.startsWith(mount); directory = dirname(directory)) {
    if (isWritable(directory)) return true;
  }
  return false;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs where the reason is undefined; elsewhere it is reported as skipped, with the reason. */
export function testUnless(reason: string | undefined, name: string, body: () => unknown, timeoutMs?: number): void {
  const title = reason === undefined ? name : `${name} (skipped: ${reason})`;
  test.skipIf(reason !== undefined)(title, async () => void (await body()), timeoutMs);
}
