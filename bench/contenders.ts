/** What is compared: sandboxes of this project, bare processes, and bwrap. @module */
import { Sandbox } from "../lib/index.ts";
import type { RunOptions } from "../lib/index.ts";
import type { Contender } from "./measure.ts";
import { TRUE } from "./rootfs.ts";

export const LIMITS = { memory: "256mb", cpus: 0.5, pids: 100 };

/** All namespaces but network, seccomp, no_new_privs, few capabilities: the defaults. */
export const hostNetwork = (rootfs: string): RunOptions => ({ rootfs, network: "host", security: { readOnly: true } });

/** All namespaces, limits, and a tmpfs, as bwrap below has it. */
export const ownNetwork = (rootfs: string): RunOptions => ({
  rootfs,
  security: { readOnly: true },
  mounts: [{ type: "tmpfs", target: "/tmp" }],
  limits: LIMITS,
});

export const sandboxed = (name: string, options: RunOptions): Contender => ({
  name,
  async run() {
    const { exitCode, stderr } = await Sandbox.run([TRUE], options);
    if (exitCode !== 0) throw new Error(`${name}: exit status ${exitCode}: ${stderr}`);
  },
});

/** A process of `Bun.spawn`, its output collected as `Sandbox.run` does it. */
export const spawned = (name: string, command: string[]): Contender => ({
  name,
  async run() {
    const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (exitCode !== 0) throw new Error(`${name}: exit status ${exitCode}: ${stderr}`);
  },
});

export const bare = (rootfs: string): Contender => spawned("Bun.spawn", [rootfs + TRUE]);

const bwrapFlags = "--unshare-all --die-with-parent --new-session --proc /proc --dev /dev --tmpfs /tmp";

/** Undefined where it is not installed. */
export function bwrap(rootfs: string): Contender | undefined {
  const path = installed("bwrap");
  if (path === undefined) return undefined;
  return spawned("bwrap", [path, "--ro-bind", rootfs, "/", ...bwrapFlags.split(" "), TRUE]);
}

/** The path of a program; where there is none, it says so. */
export function installed(name: string): string | undefined {
  const path = Bun.which(name);
  if (path === null) console.log(`${name}: not installed, left out\n`);
  return path ?? undefined;
}
