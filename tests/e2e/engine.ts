/**
 * Whom the cases are put to: `ENGINE=tsbox` (the default), `podman` or `docker`. Each keeps all it has in a directory of
 * the run's own; podman and dockerd moreover live in a mount namespace that goes with them.
 * @module
 */
import { existsSync, readdirSync, readlinkSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { asRoot } from "../support/machine.ts";
import { eventually, processes } from "../support/processes.ts";
import type { Folder } from "../support/rootfs.ts";

export type EngineName = "tsbox" | "podman" | "docker";

export interface Engine extends AsyncDisposable {
  name: EngineName;
  /** What is executed for words of a command line, in this directory. */
  command(words: string[], cwd: string): string[];
  env: Record<string, string | undefined>;
  /** How a container is removed at once, whatever it does. */
  remove: string[];
  /** Its exit status where it refuses something, which is 1 for Docker, but of `run`. */
  refused: number;
}

const NAMES: readonly EngineName[] = ["tsbox", "podman", "docker"];
const GROUP = `tsbox-e2e-${process.pid}`;
const CGROUPS = "/sys/fs/cgroup";
const HYBRID = `${CGROUPS}/unified`;

export function engineName(): EngineName {
  const name = process.env["ENGINE"] ?? "tsbox";
  const known = NAMES.find((each) => each === name);
  if (known === undefined) throw new Error(`ENGINE=${name}: it is one of ${NAMES.join(", ")}`);
  return known;
}

/** Why the engine that is asked for cannot be had here. */
export function engineMissing(): string | undefined {
  const name = engineName();
  if (name === "tsbox") return undefined;
  if (!asRoot) return `${name} is asked as root only`;
  const programs = name === "podman" ? ["podman", "runc"] : ["docker", "dockerd", "containerd"];
  const missing = [...programs, "unshare", "nsenter"].find((program) => Bun.which(program) === null);
  return missing && `${missing} is not installed`;
}

export function startEngine(folder: Folder): Promise<Engine> {
  const starts = { tsbox: startTsbox, podman: startPodman, docker: startDocker };
  return starts[engineName()](folder);
}

const ROOT = join(import.meta.dir, "../..");
const BINARY = join(ROOT, "dist/tsbox");

/** Whether the binary has been compiled since the sources were changed. */
function isUpToDate(): boolean {
  if (!existsSync(BINARY)) return false;
  const compiled = statSync(BINARY).mtimeMs;
  return ["lib", "syscalls", "wasm"].every((name) =>
    readdirSync(join(ROOT, name), { recursive: true, encoding: "utf8" }).every(
      (path) => statSync(join(ROOT, name, path)).mtimeMs <= compiled,
    ),
  );
}

/** The binary, which starts sooner; the sources, where they are newer than that. `TSBOX` names another binary. */
async function startTsbox(folder: Folder): Promise<Engine> {
  const binary = process.env["TSBOX"] ?? (isUpToDate() ? BINARY : undefined);
  const program = binary ? [binary] : [process.execPath, join(ROOT, "lib/cli/main.ts")];
  const env = {
    PATH: process.env["PATH"],
    HOME: folder.path,
    XDG_RUNTIME_DIR: process.env["XDG_RUNTIME_DIR"],
    DBUS_SESSION_BUS_ADDRESS: process.env["DBUS_SESSION_BUS_ADDRESS"],
    TSBOX_ROOT: join(folder.path, "store"),
  };
  return {
    name: "tsbox",
    command: (words) => [...program, ...words],
    env,
    remove: ["rm", "--force", "--volumes"],
    refused: 1,
    async [Symbol.asyncDispose]() {
      // supervisors that could not be ended in any better way; what they leave is found by the next command
      const left = usersOf(folder.path);
      for (const pid of left) process.kill(pid, "SIGKILL");
      if (left.length > 0) Bun.spawnSync([...program, "container", "prune", "--force"], { env });
    },
  };
}

/** Processes that have something open in a directory, but for this one. */
function usersOf(path: string): number[] {
  return processes().flatMap(({ pid }) => {
    try {
      const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
      return pid !== process.pid && open.some((target) => target.startsWith(`${path}/`)) ? [pid] : [];
    } catch {
      return []; // it has ended, or is somebody else's
    }
  });
}

async function startPodman(folder: Folder): Promise<Engine> {
  const within = (place: string) => join(folder.path, "podman", place);
  const settings = folder.write(
    "podman/containers.conf",
    `[containers]
default_ulimits = []
netns = "none"
log_driver = "k8s-file"
[engine]
lock_type = "file"
events_logger = "file"
cgroup_manager = "cgroupfs"
runtime = "runc"
`,
  );
  const apart = await startApart(["sleep", "infinity"]);
  const places = ["--root", within("root"), "--runroot", within("run"), "--tmpdir", within("tmp")];
  return {
    name: "podman",
    command: (words, cwd) => apart.inside(cwd, ["podman", ...places, "--storage-driver", "overlay", ...below(words)]),
    env: {
      PATH: process.env["PATH"],
      HOME: folder.path,
      TMPDIR: folder.path,
      XDG_RUNTIME_DIR: within(""),
      CONTAINERS_CONF: settings,
      PODMAN_IGNORE_CGROUPSV1_WARNING: "1",
    },
    remove: ["rm", "--force", "--time", "0", "--volumes"],
    refused: 125,
    [Symbol.asyncDispose]: () => apart.end(),
  };
}

/** Its containers are in control groups of this run's. */
function below(words: string[]): string[] {
  const at = words[0] === "container" ? 1 : 0;
  if (words[at] !== "run" && words[at] !== "create") return words;
  return [...words.slice(0, at + 1), "--cgroup-parent", `/${GROUP}`, ...words.slice(at + 1)];
}

async function startDocker(folder: Folder): Promise<Engine> {
  const within = (place: string) => join(folder.path, "docker", place);
  folder.directory("docker");
  const host = `unix://${within("docker.sock")}`;
  const daemon = await startApart(
    ["dockerd", "--host", host, "--data-root", within("data"), "--exec-root", within("exec")].concat(
      ["--pidfile", within("pid"), "--storage-driver", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs"],
      ["--cgroup-parent", `/${GROUP}`, "--bridge", "none", "--iptables=false", "--ip6tables=false"],
      ["--shutdown-timeout", "0"],
    ),
  );
  const env = { PATH: process.env["PATH"], HOME: folder.path, DOCKER_HOST: host, DOCKER_CLI_HINTS: "false" };
  const answers = () => Bun.spawnSync(["docker", "version"], { env }).exitCode === 0;
  if (!(await eventually(answers, 30_000))) {
    await daemon.end();
    throw new Error("dockerd does not answer");
  }
  return {
    name: "docker",
    command: (words) => ["docker", ...words],
    env,
    remove: ["rm", "--force", "--volumes"],
    refused: 1,
    [Symbol.asyncDispose]: () => daemon.end(),
  };
}

/**
 * A process in a mount namespace of its own, with a `/run` of its own and without the v2 tree of a machine that has both
 * versions. What others join it for goes with the namespace, mounts and all.
 */
async function startApart(command: string[]) {
  const cover = existsSync(HYBRID) ? `mount -t tmpfs tmpfs ${HYBRID} && ` : "";
  const script = `${cover}mount -t tmpfs -o mode=755 tmpfs /run && echo ready && exec "$@" >/dev/null 2>&1`;
  const child = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", ...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  if (new TextDecoder().decode(value) !== "ready\n") throw new Error("unshare: no mount namespace");
  return {
    // a directory that was opened outside has no path inside
    inside: (cwd: string, words: string[]) =>
      ["nsenter", `--mount=/proc/${child.pid}/ns/mnt`, "sh", "-c", 'cd "$0" && exec "$@"', cwd].concat(words),
    async end() {
      child.kill();
      await child.exited;
      for (const path of groupsLeft()) await eventually(() => removeGroups(path));
    },
  };
}

const groupsLeft = (): string[] =>
  [CGROUPS, ...readdirSync(CGROUPS).map((controller) => join(CGROUPS, controller))]
    .map((place) => join(place, GROUP))
    .filter((path) => existsSync(path));

/** With those below it. @returns whether it is gone */
function removeGroups(path: string): boolean {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true }))
      if (entry.isDirectory()) removeGroups(join(path, entry.name));
    rmdirSync(path);
    return true;
  } catch {
    return !existsSync(path); // whoever was in it is about to end
  }
}
