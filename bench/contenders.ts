/** What is compared: sandboxes of this project, bare processes, and bwrap. @module */
import { existsSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Sandbox } from "../lib/index.ts";
import { compileSeccomp, defaultProfile } from "../lib/seccomp/index.ts";
import { ARCH } from "../syscalls/index.ts";
import type { RunOptions } from "../lib/index.ts";
import type { Contender, Rounds, Samples } from "./measure.ts";
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

interface SpawnedOptions {
  env?: Record<string, string | undefined>;
  /** Its descriptor 3. */
  third?: () => Bun.BunFile;
}

/** A process of `Bun.spawn`, its output collected as `Sandbox.run` does it. */
export const spawned = (name: string, command: string[], more: SpawnedOptions = {}): Contender => ({
  name,
  async run() {
    const third = more.third ? [more.third()] : [];
    const child = Bun.spawn(command, {
      // not /dev/null, as a Blob without bytes would be: older crun gives it to the container's root
      stdio: [Bun.file(import.meta.path), "pipe", "pipe", ...third],
      ...(more.env ? { env: more.env } : {}),
    });
    const texts = [child.stdout, child.stderr].map((stream) => new Response(stream as ReadableStream).text());
    const [[, stderr], exitCode] = await Promise.all([Promise.all(texts), child.exited]);
    if (exitCode !== 0) throw new Error(`${name}: exit status ${exitCode}: ${stderr}`);
  },
});

export const bare = (rootfs: string): Contender => spawned("Bun.spawn", [rootfs + TRUE]);

/** What a sandbox of this project has by default, as far as bwrap can do it. */
const bwrapFlags = [
  ..."--unshare-all --hostname tsbox --die-with-parent --new-session --cap-drop ALL --clearenv".split(" "),
  ..."--proc /proc --dev /dev --mqueue /dev/mqueue --ro-bind /sys /sys --tmpfs /tmp --seccomp 3".split(" "),
];

/** With the same filter as ours. Undefined where it is not installed. */
export function bwrap(rootfs: string): Contender | undefined {
  const path = installed("bwrap");
  if (path === undefined) return undefined;
  const filter = join(rootfs, "../", `${basename(rootfs)}.bpf`);
  writeFileSync(filter, compileSeccomp(defaultProfile([], ARCH), ARCH));
  process.once("exit", () => rmSync(filter, { force: true }));
  return spawned("bwrap", [path, "--ro-bind", rootfs, "/", ...bwrapFlags, TRUE], { third: () => Bun.file(filter) });
}

/** The path of a program; where there is none, it says so. */
export function installed(name: string): string | undefined {
  const path = Bun.which(name);
  if (path === null) console.log(`${name}: not installed, left out\n`);
  return path ?? undefined;
}

const HYBRID = "/sys/fs/cgroup/unified";

/**
 * What a program of the benchmark measures in a mount namespace of its own, with a `/run` of its own and without the v2
 * tree of a machine that has both versions. Its arguments are the rounds, and its last line the samples as JSON.
 */
export async function apart(program: string, { warmUp, count, idleMs = 0 }: Rounds): Promise<Samples[]> {
  const cover = existsSync(HYBRID) ? `mount -t tmpfs tmpfs ${HYBRID} && ` : "";
  const child = Bun.spawn(
    ["unshare", "--mount", "--propagation", "private", "sh", "-c"].concat(
      [`${cover}mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"`, "sh", process.execPath, program],
      [warmUp, count, idleMs].map(String),
    ),
    { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  );
  const [text, status] = await Promise.all([child.stdout.text(), child.exited]);
  if (status !== 0) throw new Error(`${basename(program)}: exit status ${status}`);
  const lines = text.trim().split("\n");
  for (const line of lines.slice(0, -1)) console.log(line); // who is missing
  return JSON.parse(lines.at(-1) ?? "[]") as Samples[];
}

/** What podman leaves of the cgroup that its containers were put below. */
export function removePodmanGroups(parent: string): void {
  for (const controller of readdirSync("/sys/fs/cgroup")) {
    // the cover is not a cgroup, and goes with the mount namespace
    if (controller === "unified") continue;
    for (const group of [`${parent}/conmon`, parent]) removeGroup(join("/sys/fs/cgroup", controller, group));
  }
}

/** Whatever was in it is about to end. */
function removeGroup(path: string): void {
  for (let turn = 0; existsSync(path); turn++) {
    try {
      rmdirSync(path);
    } catch (error) {
      if (turn > 100) throw error;
      Bun.sleepSync(10);
    }
  }
}
