/**
 * Debian's own runtimes and engine: bundles of tsbox under runc and crun, theirs under tsbox, and tsbox below podman.
 * @module
 */
import { afterAll, describe, expect } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asRoot, inGuest, noBusybox, testUnless } from "./support/machine.ts";
import { MAIN } from "./support/oci.ts";
import { adoptOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
adoptOrphans();
afterAll(() => [folder, rootfs].forEach((each) => each.remove()));

const [SHOULD_BE_QUICK_MS, HYBRID] = [30_000, "/sys/fs/cgroup/unified"];
const needsRoot = noBusybox ?? (asRoot ? undefined : "needs root");
const missing = (program: string) => (Bun.which(program) ? undefined : `${program} is not installed`);

const state = (name: string) => join(folder.path, `state-${name}`);
/** The state is in this folder whoever calls: podman's clean-up forgets `--runtime-flag`. */
const line = `exec -a tsbox-oci ${process.execPath} ${MAIN} --root ${state("tsbox")} "$@"`;
const tsbox = folder.write("tsbox-oci", `#!/bin/bash\n${line}\n`, 0o755);

interface Result {
  status: number;
  stdout: string;
  stderr: string;
}

function call(words: string[], cwd = folder.path, env: Record<string, string> = {}): Result {
  const { exitCode, stdout, stderr } = Bun.spawnSync(words, {
    cwd,
    env: { PATH: process.env["PATH"], ...env },
    // not /dev/null, which older crun gives to the container's root
    stdio: [new Blob([]), "pipe", "pipe"],
    timeout: SHOULD_BE_QUICK_MS,
  });
  return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** Each with a state of its own. crun refuses both versions of cgroups at once, so it is shown one of them. */
function runtime(name: string): (cwd: string, ...words: string[]) => Result {
  const program = name === "tsbox" ? [tsbox] : [name, "--root", state(name)];
  const hidden = ["unshare", "--mount", "sh", "-c", `mount -t tmpfs none ${HYBRID}; exec "$@"`, "sh"];
  const before = name === "crun" && existsSync(HYBRID) ? hidden : [];
  return (cwd, ...words) => call([...before, ...program, ...words], cwd);
}

interface Config {
  process: { args: string[]; terminal: boolean };
  root: { path: string };
  [key: string]: unknown;
}

/** A bundle with the config that a runtime writes, but for what it runs. */
function bundleOf(writer: string, args: string[], ociVersion: string): string {
  const bundle = folder.directory(`bundle-${writer}`);
  if (!existsSync(join(bundle, "rootfs"))) symlinkSync(rootfs.path, join(bundle, "rootfs"));
  const file = join(bundle, "config.json");
  if (!existsSync(file)) expect(runtime(writer)(bundle, "spec")).toEqual({ status: 0, stdout: "", stderr: "" });
  const config = JSON.parse(readFileSync(file, "utf8")) as Config;
  config.root.path = rootfs.path;
  config["ociVersion"] = ociVersion;
  Object.assign(config.process, { args, terminal: false });
  writeFileSync(file, JSON.stringify(config));
  return bundle;
}

describe("the config that", () => {
  const pairs = [
    ["tsbox", "runc"],
    ["tsbox", "crun"],
    ["runc", "tsbox"],
    ["crun", "tsbox"],
  ] as const;
  for (const [writer, reader] of pairs) {
    const reason = needsRoot ?? missing(writer === "tsbox" ? reader : writer);
    testUnless(reason, `${writer} writes runs under ${reader}`, () => {
      const look = "hostname; echo $$; ls /sys/class/net; touch /x 2>&1; cat /proc/timer_list | wc -c; exit 3";
      // the crun of Debian 12 runs nothing later
      const bundle = bundleOf(writer, ["/bin/sh", "-c", look], "1.0.2");
      const { status, stdout } = runtime(reader)(bundle, "run", `c-${writer}`);
      const name = (JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as { hostname: string }).hostname;
      expect([stdout.trim().split("\n"), status]).toEqual([
        [name, "1", "lo", "touch: /x: Read-only file system", "0"],
        3,
      ]);
      expect(readdirSync(state(reader))).toEqual([]);
    });
  }
});

const PARENT = `/tsbox-test-${process.pid}`;

/** Locks are files, so that nothing is in /dev/shm; root may lack the right to raise limits, which podman does. */
const settings = folder.write(
  "containers.conf",
  `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
lock_type = "file"
runtime_supports_json = ["tsbox-oci"]
[engine.runtimes]
tsbox-oci = ["${tsbox}"]
`,
);

const podman = (...words: string[]) => podmanWith("tsbox-oci", ...words);

function podmanWith(name: string, ...words: string[]): Result {
  const within = (place: string) => join(folder.path, "podman", place);
  const places = ["--root", within("root"), "--runroot", within("run"), "--tmpdir", within("tmp")];
  const drivers = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"];
  const env = { CONTAINERS_CONF: settings, HOME: folder.path, TMPDIR: folder.path, XDG_RUNTIME_DIR: within("") };
  const quiet = { PODMAN_IGNORE_CGROUPSV1_WARNING: "1" };
  return call(["podman", ...places, ...drivers, "--runtime", name, ...words], "/", { ...env, ...quiet });
}

/** Neither network nor image, and a control group that goes when all is over. */
const OWN = ["--network", "none", "--cgroups", "no-conmon", "--cgroup-parent", PARENT];
const run = (...words: string[]) => podman("run", ...OWN, ...words);
const ROOTFS = ["--rootfs", rootfs.path];

const noPodman =
  needsRoot ?? missing("podman") ?? missing("runc") ?? (inGuest ? "the guest has no podman" : unusable());

/** Not even with the runtime that it is made for. */
function unusable(): string | undefined {
  const { status, stderr } = podmanWith("runc", "run", ...OWN, "--rm", ...ROOTFS, "/bin/true");
  return status === 0 ? undefined : `podman cannot run: ${stderr.trim().split("\n").at(-1)}`;
}

function groupsLeft(): string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").matchAll(/^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2? /gm);
  return [...mounts].map(([, mount]) => `${mount}${PARENT}`).filter((path) => existsSync(path));
}

describe("below podman", () => {
  afterAll(() => {
    if (noPodman !== undefined) return;
    podman("rm", "--all", "--force", "--time", "0");
    for (const path of groupsLeft()) rmdirSync(path);
  });

  testUnless(noPodman, "a command has its output, its exit status and its limits", () => {
    expect(run("--rm", ...ROOTFS, "/bin/sh", "-c", "echo out; echo err >&2; exit 7")).toEqual({
      status: 7,
      stdout: "out\n",
      stderr: "err\n",
    });
    const limits = run(
      "--rm",
      "--pids-limit",
      "17",
      "--user",
      "1000:1000",
      ...ROOTFS,
      "/bin/sh",
      "-c",
      "id -u; echo $$",
    );
    expect(limits).toEqual({ status: 0, stdout: "1000\n1\n", stderr: "" });
  });

  testUnless(noPodman, "what cannot be executed has the exit statuses of podman", () => {
    const absent = run("--rm", ...ROOTFS, "/no/such/command");
    expect([absent.status, absent.stderr]).toEqual([
      127,
      expect.stringContaining("OCI runtime attempted to invoke a command that was not found"),
    ]);
    const denied = run("--rm", ...ROOTFS, "/etc");
    expect([denied.status, denied.stderr]).toEqual([126, expect.stringContaining("OCI permission denied")]);
  });

  testUnless(
    noPodman,
    "a container runs, is looked at, is paused, stops and is removed",
    () => {
      const loop = "trap 'echo ending; exit 4' TERM; echo begins; while :; do sleep 0.1; done";
      const started = run("--detach", "--name", "long", ...ROOTFS, "/bin/sh", "-c", loop);
      expect([started.status, started.stderr]).toEqual([0, ""]);
      const status = () => podman("inspect", "long", "--format", "{{.State.Status}} {{.State.ExitCode}}").stdout.trim();
      expect(status()).toBe("running 0");
      expect(podman("exec", "long", "/bin/sh", "-c", "echo inside; exit 5")).toMatchObject({
        status: 5,
        stdout: "inside\n",
      });
      expect(podman("exec", "long", "/no/such/command").status).toBe(127);
      expect(podman("pause", "long").status).toBe(0);
      expect(status()).toBe("paused 0");
      expect(podman("unpause", "long").status).toBe(0);
      expect(podman("stop", "--time", "10", "long").status).toBe(0);
      expect(podman("logs", "long").stdout).toBe("begins\nending\n");
      expect(status()).toBe("exited 4");
      expect(podman("rm", "long").status).toBe(0);
    },
    2 * SHOULD_BE_QUICK_MS,
  );

  testUnless(noPodman, "nothing is left", () => {
    expect(podman("ps", "--all", "--quiet").stdout).toBe("");
    expect(readdirSync(state("tsbox"))).toEqual([]);
    for (const path of groupsLeft())
      expect(readdirSync(path, { withFileTypes: true }).filter((each) => each.isDirectory())).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(rootfs.path);
  });
});
