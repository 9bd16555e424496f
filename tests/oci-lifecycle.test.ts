/** The life of an OCI container: create, start, exec, kill, delete, and run. @module */
import { afterAll, beforeEach, describe, expect } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { listenIn, Directory, receiveDescriptor, trySyscall, close, read } from "../syscalls/index.ts";
import { asRoot, noBusybox, notRoot, SLOW, testUnless } from "./support/machine.ts";
import { bundleIn, MAIN, ociAs, ociIn, runtimeIn } from "./support/oci.ts";
import { adoptOrphans, descendants, eventually, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
const runtime = runtimeIn(folder);
const oci = ociIn(runtime);
const test = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const asRootOnly = (name: string, body: () => unknown) => testUnless(notRoot, name, body);

adoptOrphans();
afterAll(() => [folder, rootfs].forEach((each) => each.remove()));
beforeEach(() => {
  rmSync(runtime.root, { recursive: true, force: true });
  reapOrphans();
});

const CAP_SYS_RESOURCE = 24n;
const capabilities = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0}`);
const mayRaise = notRoot ?? ((capabilities >> CAP_SYS_RESOURCE) & 1n ? undefined : "needs CAP_SYS_RESOURCE");

const sh = (line: string, changes: Record<string, unknown> = {}) =>
  bundleIn(folder, rootfs.path, ["/bin/sh", "-c", line], changes);
const create = (id: string, bundle: string, ...flags: string[]) =>
  ociAs({ leaves: true }, "--root", runtime.root, "create", "--bundle", bundle, ...flags, id);
const done = { status: 0, stdout: "", stderr: "" };
const statusOf = (id: string): string => (JSON.parse(oci("state", id).stdout) as { status: string }).status;
const becomes = (id: string, status: string) => eventually(() => statusOf(id) === status, 10_000 * SLOW);
const pidOf = (id: string): number => (JSON.parse(oci("state", id).stdout) as { pid: number }).pid;

const linuxOf = (bundle: string): object =>
  (JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as { linux: object }).linux;

/** Nothing of a container is left. */
async function expectNothing(): Promise<void> {
  reapOrphans();
  expect(await eventually(() => (reapOrphans(), descendants().length === 0), 5000 * SLOW)).toBe(true);
  expect(existsSync(runtime.root) ? readdirSync(runtime.root) : []).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(rootfs.path);
}

describe("a container", () => {
  test("waits, runs, is gone", async () => {
    const bundle = sh("echo ran > /tmp/out; sleep 100");
    expect(create("a", bundle)).toEqual(done);
    expect(statusOf("a")).toBe("created");
    expect(existsSync(join(rootfs.path, "tmp/out"))).toBe(false);
    expect(oci("start", "a")).toEqual(done);
    expect(statusOf("a")).toBe("running");
    expect(await eventually(() => existsSync(join(rootfs.path, "tmp/out")))).toBe(true);
    expect(oci("start", "a").stderr).toContain("cannot start an already running container");
    expect(oci("kill", "a", "KILL")).toEqual(done);
    expect(await becomes("a", "stopped")).toBe(true);
    expect(oci("start", "a").stderr).toContain("cannot start a container that has stopped");
    expect(oci("delete", "a")).toEqual(done);
    rmSync(join(rootfs.path, "tmp/out"));
    await expectNothing();
  });

  test("without control groups stays in those of its caller, and cannot have limits", async () => {
    const own = () => readFileSync("/proc/self/cgroup", "utf8");
    const disabled = (...words: string[]) => oci("--cgroup-manager", "disabled", ...words);
    const { stdout, stderr } = disabled("run", "--bundle", sh("cat /proc/self/cgroup"), "free");
    expect([stdout, stderr]).toEqual([own(), ""]);
    const limited = sh("true", { linux: { ...linuxOf(sh("true")), resources: { memory: { limit: 1 << 26 } } } });
    const refused = disabled("run", "--bundle", limited, "free").stderr;
    expect(refused).toContain("cannot set memory limit");
    expect(refused).toContain(asRoot ? "or control groups are disabled" : "have a group delegated");
    await expectNothing();
  });

  test("without control groups and without pids of its own warns that what it leaves behind cannot be found", async () => {
    const bundle = sh("true", { mounts: [], linux: linux(["mount"]) });
    const { status, stderr } = oci("--cgroup-manager", "disabled", "run", "--bundle", bundle, "free");
    expect([status, stderr]).toEqual([0, expect.stringMatching(/level=warning .*is neither found nor killed/)]);
    await expectNothing();
  });

  testUnless(mayRaise, "in a user namespace has limits that are higher than its creator's", async () => {
    const low = ["sh", "-c", 'ulimit -Sn 400; ulimit -Hn 500; exec "$@"', "sh"];
    const args = ["/bin/sh", "-c", "ulimit -Hn; ulimit -Sn"];
    const rlimits = [{ type: "RLIMIT_NOFILE", hard: 900, soft: 800 }];
    const mapped = [{ containerID: 0, hostID: 0, size: 1 }];
    const bundle = bundleIn(folder, rootfs.path, args, {
      process: { user: { uid: 0, gid: 0 }, args, env: ["PATH=/bin"], cwd: "/", rlimits },
      linux: {
        namespaces: ["pid", "mount", "ipc", "uts", "user"].map((type) => ({ type })),
        uidMappings: mapped,
        gidMappings: mapped,
      },
    });
    const words = ["oci", "--root", runtime.root, "run", "--bundle", bundle, "high"];
    const { stdout, stderr } = Bun.spawnSync([...low, process.execPath, MAIN, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect([stdout.toString(), stderr.toString()]).toEqual(["900\n800\n", ""]);
    await expectNothing();
  });

  test("that waits is a small process, and has nothing of its creator", () => {
    expect(create("small", sh("true"))).toEqual(done);
    const pid = pidOf("small");
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    expect(Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1])).toBeLessThan(200);
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("tsbox-created\n");
    expect(oci("delete", "--force", "small")).toEqual(done);
  });

  for (const signal of ["TERM", "KILL"]) {
    test(`that waits ends by SIG${signal}`, async () => {
      expect(create("waits", sh("true"))).toEqual(done);
      expect(oci("kill", "waits", signal)).toEqual(done);
      expect(await becomes("waits", "stopped")).toBe(true);
      expect(oci("delete", "waits")).toEqual(done);
      await expectNothing();
    });
  }

  test("is as its config was when it was created", async () => {
    const bundle = sh("echo first");
    const output = folder.write("first");
    const { exitCode } = Bun.spawnSync(
      [
        process.execPath,
        join(import.meta.dir, "../lib/cli/main.ts"),
        "--root",
        runtime.root,
        "create",
        "-b",
        bundle,
        "x",
      ],
      { argv0: "tsbox-oci", stdio: ["ignore", Bun.file(output), "inherit"] },
    );
    expect(exitCode).toBe(0);
    await Bun.write(`${bundle}/config.json`, "{}");
    expect(oci("start", "x")).toEqual(done);
    expect(await becomes("x", "stopped")).toBe(true);
    expect(readFileSync(output, "utf8")).toBe("first\n");
    expect(oci("delete", "x")).toEqual(done);
    rmSync(bundle, { recursive: true });
  });

  test("that cannot be made leaves nothing", async () => {
    for (const command of ["/no/such/command", "none-such", ""]) {
      expect(create("none", bundleIn(folder, rootfs.path, [command]))).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/no such file or directory/i) as string,
      });
    }
    const mounts = [{ destination: "/x", type: "bind", source: "/no/such/source", options: ["bind"] }];
    expect(create("none", sh("true", { mounts })).stderr).toContain("/no/such/source");
    expect(oci("state", "none").stderr).toContain("container does not exist");
    await expectNothing();
  });

  test("of a command that cannot be executed says so when it starts", async () => {
    rootfs.write("bin/broken", "neither a script nor a program\n", 0o755);
    expect(create("broken", bundleIn(folder, rootfs.path, ["/bin/broken"]))).toEqual(done);
    expect(oci("start", "broken")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/exec format/i) as string,
    });
    expect(await becomes("broken", "stopped")).toBe(true);
    expect(oci("delete", "broken")).toEqual(done);
    await expectNothing();
  });
});

describe("the working directory", () => {
  const workingIn = (cwd: string, uid: number, line: string) =>
    sh("", { process: { user: { uid, gid: 0 }, args: ["/bin/sh", "-c", line], env: ["PATH=/bin"], cwd } });

  asRootOnly("may be one that root alone may enter", async () => {
    mkdirSync(join(rootfs.path, "closed"), { mode: 0o700 });
    expect(oci("run", "-b", workingIn("/closed", 42, "pwd; ls ."), "w")).toMatchObject({ stdout: "/closed\n" });
    rmSync(join(rootfs.path, "closed"), { recursive: true });
    await expectNothing();
  });
});

describe("stdio", () => {
  asRootOnly("of a user is the user's, but for devices, whatever they are called", async () => {
    // as /dev/null of another mount namespace: by another path
    const device = join(folder.path, "device");
    expect(Bun.spawnSync(["mknod", device, "c", "1", "3"]).exitCode).toBe(0);
    const log = folder.write("log");
    const process = { user: { uid: 42, gid: 43 }, args: ["/bin/true"], env: ["PATH=/bin"], cwd: "/" };
    const words = ["--root", runtime.root, "run", "-b", sh("", { process }), "g"];
    const { exitCode } = Bun.spawnSync([globalThis.process.execPath, MAIN, ...words], {
      argv0: "tsbox-oci",
      stdio: [Bun.file(device), Bun.file(device), Bun.file(log)],
    });
    expect([exitCode, statSync(device).uid, statSync(log).uid]).toEqual([0, 0, 42]);
    rmSync(device);
    await expectNothing();
  });
});

describe("the environment", () => {
  test("of a hook that starts inside is the command's, unless it has its own", async () => {
    const hook = { path: "/bin/sh", args: ["sh", "-c", "echo $HOME $PATH"] };
    const hooks = { startContainer: [hook, { ...hook, env: ["PATH=/x"] }] };
    expect(oci("run", "-b", sh("true", { hooks }), "e").stdout).toBe("/root /bin\n/x\n");
    await expectNothing();
  });

  test("has a home where the last one that is named is empty", async () => {
    const env = ["PATH=/bin", "HOME=/first", "HOME="];
    const process = { user: { uid: 0, gid: 0 }, args: ["/bin/sh", "-c", "echo $HOME"], env, cwd: "/" };
    expect(oci("run", "-b", sh("", { process }), "e").stdout).toBe("/root\n");
    await expectNothing();
  });
});

describe("a mount point that a dangling symlink leads to", () => {
  test("is made where that leads, inside the root filesystem", async () => {
    const source = folder.write("source", "from outside");
    symlinkSync("/made/by", join(rootfs.path, "jump"));
    symlinkSync("../../../jump/the/mount", join(rootfs.path, "file"));
    const mounts = [{ destination: "/file", type: "bind", source, options: ["bind"] }];
    expect(oci("run", "-b", sh("cat /made/by/the/mount", { mounts }), "d").stdout).toBe("from outside");
    expect(existsSync("/made")).toBe(false);
    for (const name of ["jump", "file", "made"]) rmSync(join(rootfs.path, name), { recursive: true });
    await expectNothing();
  });

  test("that has no end is refused", async () => {
    symlinkSync("loop", join(rootfs.path, "loop"));
    const mounts = [{ destination: "/loop/a", type: "tmpfs", source: "tmpfs" }];
    expect(create("d", sh("true", { mounts })).stderr).toMatch(/symlink/);
    rmSync(join(rootfs.path, "loop"));
    await expectNothing();
  });
});

describe("the kernel's file systems", () => {
  for (const type of ["proc", "sysfs"]) {
    asRootOnly(`${type} is mounted on no symlink (CVE-2019-19921)`, async () => {
      mkdirSync(join(rootfs.path, "elsewhere"));
      symlinkSync("elsewhere", join(rootfs.path, "link"));
      const mounts = [{ destination: "/link", type, source: type }];
      const { status, stderr } = create("l", sh("true", { mounts, linux: linux(["pid", "mount", "network"]) }));
      expect(stderr).toContain(`filesystem \\"${type}\\" must be mounted on ordinary directory`);
      expect(status).toBe(1);
      for (const name of ["link", "elsewhere"]) rmSync(join(rootfs.path, name), { recursive: true });
      await expectNothing();
    });
  }
});

describe("run", () => {
  test("waits, passes the exit status on, and leaves nothing", async () => {
    const ran = oci("run", "--bundle", sh("echo out; echo err >&2; exit 3"), "r");
    expect(ran).toEqual({ status: 3, stdout: "out\n", stderr: "err\n" });
    await expectNothing();
  });

  test("--keep leaves the container, stopped", async () => {
    expect(oci("run", "--keep", "--bundle", sh("exit 0"), "kept")).toEqual(done);
    expect(statusOf("kept")).toBe("stopped");
    expect(oci("delete", "kept")).toEqual(done);
    await expectNothing();
  });

  for (const [flags, whose] of [
    [[], "the runtime"],
    [["--no-subreaper"], "whoever is above"],
  ] as const)
    test(`orphans in the caller's pid namespace go to ${whose}${flags.map((flag) => `: ${flag}`)}`, async () => {
      const bundle = sh("(sleep 1000 & echo $! >/tmp/orphan); sleep 1", { linux: linux(["mount"]), mounts: [] });
      const words = [MAIN, "oci", "--root", runtime.root, "run", ...flags, "--bundle", bundle, "orphans"];
      const running = Bun.spawn([process.execPath, ...words], { stdio: ["ignore", "ignore", "inherit"] });
      const file = join(rootfs.path, "tmp/orphan");
      expect(await eventually(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"))).toBe(true);
      const orphan = Number(readFileSync(file, "utf8"));
      const parent = () => descendants().find(({ pid }) => pid === orphan)?.parent;
      expect(await eventually(() => parent() === (flags.length === 0 ? running.pid : process.pid))).toBe(true);
      expect(await running.exited).toBe(0);
      rmSync(file);
      if (parent() !== undefined) process.kill(orphan, "SIGKILL");
      await expectNothing();
    });

  test("a signal that ends it is told as a shell tells it", () => {
    // the first process of a pid namespace does not end by its own signals
    const bundle = sh("kill -KILL $$; true", { linux: linux(["mount"]), mounts: [] });
    expect(oci("run", "--bundle", bundle, "killed").status).toBe(137);
  });

  test("passes descriptors on", () => {
    const file = folder.write("passed", "through a descriptor\n");
    const line = `exec 3< ${file}; exec ${process.execPath} ${join(import.meta.dir, "../lib/cli/main.ts")} oci --root ${runtime.root} run --preserve-fds 1 --bundle ${sh("cat <&3")} p`;
    const { stdout, exitCode } = Bun.spawnSync(["/bin/sh", "-c", line]);
    expect([stdout.toString(), exitCode]).toEqual(["through a descriptor\n", 0]);
  });

  test("is started also where the socket of systemd is not there", () => {
    const env = { NOTIFY_SOCKET: "/no/such/socket" };
    const words = ["--root", runtime.root, "run", "--bundle", sh("echo ran"), "n"];
    const { status, stdout, stderr } = ociAs({ env }, ...words);
    expect([status, stdout]).toEqual([0, "ran\n"]);
    expect(stderr).toContain('notify systemd: connect to \\"/no/such/socket\\": ENOENT');
  });

  test("passes on no more than the caller has: nothing of the runtime's own", () => {
    const file = folder.write("passed", "through a descriptor\n");
    const log = join(folder.path, "log");
    const line = `exec 3>&- 4>&- 5>&- 9>&- 7< ${file}; exec ${process.execPath} ${join(import.meta.dir, "../lib/cli/main.ts")} oci --root ${runtime.root} --log ${log} run --preserve-fds 1000000000 --bundle ${sh("ls /proc/1/fd; cat <&7", { mounts: [{ destination: "/proc", type: "proc", source: "proc" }] })} p`;
    const { stdout, exitCode } = Bun.spawnSync(["/bin/bash", "-c", line]);
    const names = stdout.toString().split("\n");
    // 8 and above: what the caller of this test passed on itself
    expect(names.filter((name) => Number(name) < 10 || name.startsWith("through"))).toEqual([
      "0",
      "1",
      "2",
      "7",
      "through a descriptor",
      "",
    ]);
    expect(exitCode).toBe(0);
  });
});

describe("with users of its own, a container of root's", () => {
  const everybody = [{ containerID: 0, hostID: 0, size: 4294967295 }];
  const mapped = (types: string[], more: object = {}) => ({
    namespaces: [...types, "user"].map((type) => ({ type })),
    uidMappings: everybody,
    gidMappings: everybody,
    ...more,
  });
  const mounts = [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
  ];
  const devices = [{ path: "/dev/own", type: "c", major: 1, minor: 5, fileMode: 0o644, uid: 10, gid: 11 }];

  asRootOnly("has devices of their own owners, and nothing of the host's to execute", () => {
    const line =
      "stat -c '%u:%g %a %t:%T' /dev/own; head -c 3 /dev/own | wc -c; grep -E ' /dev/(null|own) ' /proc/self/mountinfo | cut -d ' ' -f 6";
    const bundle = sh(line, { mounts, linux: mapped(["mount", "pid", "network"], { devices }) });
    const { status, stdout, stderr } = oci("run", "--bundle", bundle, "u");
    const [node, bytes, ...flags] = stdout.trim().split("\n");
    expect([status, stderr, node, bytes, flags.length]).toEqual([0, "", "10:11 644 1:5", "3", 2]);
    for (const each of flags) expect(each).toMatch(/nosuid,noexec/);
  });

  asRootOnly("sees the sysfs of a network that is the host's, and none of the host's control groups", () => {
    const line = "ls /sys /sys/fs/cgroup; grep -c ' /sys[^ ]* rw' /proc/self/mountinfo";
    const { stdout, stderr } = oci("run", "--bundle", sh(line, { mounts, linux: mapped(["mount", "pid"]) }), "u");
    expect([stdout.split("\n").slice(0, 1), stderr]).toEqual([["/sys:"], ""]);
    expect(stdout).toContain("kernel\n");
    expect(stdout).toEndWith("/sys/fs/cgroup:\n0\n");
  });
});

test("with users of its own, a container opens terminals, also where ptmx is among its devices", () => {
  const everybody = [{ containerID: 0, hostID: 0, size: 4294967295 }];
  const maps = asRoot ? { uidMappings: everybody, gidMappings: everybody } : {};
  const namespaces = ["mount", "pid", "user"].map((type) => ({ type }));
  const devices = [{ path: "/dev/ptmx", type: "c", major: 5, minor: 2 }];
  const mounts = [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs" },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"] },
  ];
  const bundle = sh("exec 3<>/dev/ptmx && ls /dev/pts", {
    mounts,
    linux: { ...linux([]), ...maps, namespaces, devices },
  });
  expect(oci("run", "--bundle", bundle, "ptmx")).toEqual({ status: 0, stdout: "0\nptmx\n", stderr: "" });
});

describe("a container that ran before in its root filesystem", () => {
  asRootOnly("has its devices there, whatever is at their names", () => {
    const devices = [
      { path: "/kept/null", type: "c", major: 1, minor: 3, fileMode: 0o600, uid: 5 },
      { path: "/kept/file", type: "c", major: 1, minor: 3 },
    ];
    const line = "stat -c '%n %u %a %t:%T' /kept/*; ls -A /kept | wc -l; echo kept 2>&- >/kept/file";
    const mounts = [{ destination: "/dev", type: "tmpfs", source: "tmpfs" }];
    const bundle = sh(line, { mounts, linux: { ...linux(["mount", "pid"]), devices } });
    const directory = join(rootfs.path, "kept");
    const file = join(directory, "file");
    mkdirSync(directory);
    writeFileSync(file, "of the image");
    for (let run = 0; run < 2; run++)
      expect(oci("run", "--bundle", bundle, "again")).toEqual({
        status: 0,
        stdout: "/kept/file 0 666 1:3\n/kept/null 5 600 1:3\n2\n",
        stderr: "",
      });
    expect(readFileSync(file, "utf8")).toBe("of the image");
    rmSync(directory, { recursive: true });
  });
});

asRootOnly("a file of the image's that is called as a node is before it is mounted stays", () => {
  const host = folder.directory("nodes");
  const path = join(host, "null");
  Bun.spawnSync(["mknod", path, "c", "1", "3"]);
  const inside = join(rootfs.path, path);
  mkdirSync(dirname(inside), { recursive: true });
  writeFileSync(inside, "");
  const own = join(dirname(inside), ".tsbox-device");
  writeFileSync(own, "of the image");
  const mounts = [{ destination: "/dev", type: "tmpfs", source: "tmpfs" }];
  const devices = [{ path, type: "c", major: 1, minor: 3 }];
  const bundle = sh(`stat -c %F ${path}`, { mounts, linux: { ...linux(["mount", "pid"]), devices } });
  expect(oci("run", "--bundle", bundle, "named").stdout).toBe("character special file\n");
  expect(readFileSync(own, "utf8")).toBe("of the image");
});

test("what has no process can be created, and not run", async () => {
  const bundle = sh("", { process: undefined });
  const { status, stderr } = oci("run", "--bundle", bundle, "none");
  expect([status, stderr]).toEqual([1, expect.stringContaining('run container \\"none\\": process was not set')]);
  await expectNothing();
});

/** Namespaces of a container, which for an ordinary user needs one of ids. */
function linux(types: string[]): Record<string, unknown> {
  if (asRoot) return { namespaces: types.map((type) => ({ type })) };
  const mapped = (hostID: number) => [{ containerID: 0, hostID, size: 1 }];
  return {
    namespaces: [...types, "user"].map((type) => ({ type })),
    uidMappings: mapped(process.getuid?.() ?? 0),
    gidMappings: mapped(process.getgid?.() ?? 0),
  };
}

describe("exec", () => {
  test("is in the namespaces of the container, with its root and its identity", () => {
    expect(create("e", sh("sleep 100", { hostname: "inside" }))).toEqual(done);
    expect(oci("start", "e")).toEqual(done);
    expect(oci("exec", "e", "/bin/sh", "-c", "hostname; pwd; id -u; test $$ -gt 1")).toEqual({
      status: 0,
      stdout: "inside\n/\n0\n",
      stderr: "",
    });
    expect(oci("exec", "--cwd", "/tmp", "--env", "A=b", "e", "/bin/sh", "-c", "pwd; echo $A; exit 5")).toEqual({
      status: 5,
      stdout: "/tmp\nb\n",
      stderr: "",
    });
    expect(oci("exec", "e", "/no/such/command")).toMatchObject({ status: 255 });
    const wrong = (...flags: string[]) => oci("exec", ...flags, "e", "/bin/true");
    expect(wrong("--cwd", "tmp")).toMatchObject({
      status: 255,
      stderr: expect.stringContaining("must be an absolute"),
    });
    expect(wrong("--env", "C")).toMatchObject({ status: 255, stderr: expect.stringContaining("NAME=value") });
    expect(oci("delete", "--force", "e")).toEqual(done);
    expect(oci("exec", "e", "/bin/true").stderr).toContain("container does not exist");
  });

  test("detached, its pid is in a file", async () => {
    expect(create("d", sh("sleep 100"))).toEqual(done);
    expect(oci("start", "d")).toEqual(done);
    const file = join(folder.path, "exec.pid");
    const exec = ["exec", "--detach", "--pid-file", file, "d", "/bin/sleep", "1000"];
    expect(ociAs({ leaves: true }, "--root", runtime.root, ...exec)).toEqual(done);
    const pid = Number(readFileSync(file, "utf8"));
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe("/bin/sleep\x001000\0");
    expect(descendants().find((each) => each.pid === pid)?.parent).toBe(process.pid);
    // the kernel waits until both processes have been reaped, which is up to their parent
    const words = [
      join(import.meta.dir, "../lib/cli/main.ts"),
      "oci",
      "--root",
      runtime.root,
      "delete",
      "--force",
      "d",
    ];
    const deleting = Bun.spawn([process.execPath, ...words], { stdio: ["ignore", "ignore", "inherit"] });
    expect(await eventually(() => (reapOrphans(deleting.pid), deleting.exitCode !== null))).toBe(true);
    expect(deleting.exitCode).toBe(0);
    await expectNothing();
  });
});

describe("mounts", () => {
  test("of the container's own files show what was mounted there before", () => {
    folder.write("of-the-host/file", "of the host\n");
    const mounts = [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/first", type: "tmpfs", source: "tmpfs" },
      { destination: "/first/below", type: "bind", source: join(folder.path, "of-the-host"), options: ["rbind"] },
      // as the host calls both
      { destination: `${rootfs.path}/again`, type: "bind", source: `${rootfs.path}/first`, options: ["rbind"] },
    ];
    const { stdout, status } = oci("run", "--bundle", sh("cat /again/below/file", { mounts }), "own");
    expect([stdout, status]).toEqual(["of the host\n", 0]);
    for (const name of ["first", "again"]) rmSync(join(rootfs.path, name), { recursive: true });
  });
});

describe("rootfsPropagation", () => {
  testUnless(notRoot, "a slave hears of the mounts of a host that shares them; its own stay its own", () => {
    const linux = linuxOf(sh("true"));
    const rootOf = (rootfsPropagation: string) => {
      // ID PARENT MAJOR:MINOR ROOT /
      const line = "grep -E '^([^ ]+ ){4}/ ' /proc/self/mountinfo";
      const bundle = sh(line, { linux: { ...linux, rootfsPropagation } });
      const words = [process.execPath, MAIN, "oci", "--root", runtime.root, "run", "-b", bundle, "p"];
      return Bun.spawnSync(["unshare", "--mount", "--propagation", "shared", ...words], {
        stderr: "inherit",
      }).stdout.toString();
    };
    for (const name of ["slave", "rslave"]) expect(rootOf(name)).toMatch(/^(?!.*shared:).*master:/);
    expect(rootOf("private")).toMatch(/^(?!.*(shared|master):)/);
  });
});

describe("hooks", () => {
  test("run in their order, each with the state that it finds", async () => {
    const log = join(rootfs.path, "tmp/log");
    mkdirSync(join(rootfs.path, "tmp"), { recursive: true });
    const outside = (name: string) => [
      {
        path: "/bin/sh",
        args: ["sh", "-c", `echo ${name} $(grep -o '"status":"[a-z]*"') >> ${log}`],
        env: ["PATH=/bin:/usr/bin"],
      },
    ];
    const inside = [
      {
        path: "/bin/sh",
        args: ["sh", "-c", 'echo startContainer $(grep -o \'"status":"[a-z]*"\') >> /tmp/log'],
        env: ["PATH=/bin"],
      },
    ];
    const hooks = {
      prestart: outside("prestart"),
      createRuntime: outside("createRuntime"),
      createContainer: outside("createContainer"),
      startContainer: inside,
      poststart: outside("poststart"),
      poststop: outside("poststop"),
    };
    expect(create("h", sh("echo command >> /tmp/log; sleep 100", { hooks }))).toEqual(done);
    expect(oci("start", "h")).toEqual(done);
    expect(await eventually(() => readFileSync(log, "utf8").includes("command"))).toBe(true);
    expect(oci("delete", "--force", "h")).toEqual(done);
    const lines = readFileSync(log, "utf8").trim().split("\n");
    expect(lines.filter((line) => line !== "command")).toEqual([
      'prestart "status":"created"',
      'createRuntime "status":"creating"',
      'createContainer "status":"created"',
      'startContainer "status":"created"',
      'poststart "status":"running"',
      'poststop "status":"stopped"',
    ]);
    rmSync(log);
  });

  for (const kind of ["prestart", "createRuntime", "createContainer"]) {
    test(`a ${kind} hook that fails undoes the container`, async () => {
      const hooks = { [kind]: [{ path: "/bin/false" }] };
      expect(create("f", sh("true", { hooks }))).toMatchObject({
        status: 1,
        stderr: expect.stringContaining(kind) as string,
      });
      await expectNothing();
    });
  }

  test("a poststart hook that fails has the container deleted", async () => {
    const log = join(folder.path, "poststop");
    const poststop = [{ path: "/bin/sh", args: ["sh", "-c", `echo gone > ${log}`] }];
    expect(create("f", sh("sleep 100", { hooks: { poststart: [{ path: "/bin/false" }], poststop } }))).toEqual(done);
    expect(oci("start", "f")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("poststart hook failed with exit code 1") as string,
    });
    expect(readFileSync(log, "utf8")).toBe("gone\n");
    await expectNothing();
  });

  test("that kill the container while it is made have create fail, and nothing left", async () => {
    const kills = `kill -9 $(sed 's/.*"pid": *\\([0-9]*\\).*/\\1/'); sleep 0.1`;
    const bundle = sh("true", { hooks: { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", kills] }] } });
    const { status, stderr } = oci("create", "--bundle", bundle, "killed");
    expect([status, stderr]).toEqual([1, expect.stringContaining("its process ended before it could say why")]);
    await expectNothing();
  });

  test("of createRuntime and createContainer work in the bundle, as with crun", () => {
    const log = join(folder.path, "directories");
    const says = [{ path: "/bin/sh", args: ["sh", "-c", `pwd -P >> ${log}`] }];
    const bundle = sh("true", { hooks: { createRuntime: says, createContainer: says } });
    expect(create("w", bundle)).toEqual(done);
    expect(oci("delete", "--force", "w")).toEqual(done);
    expect(readFileSync(log, "utf8")).toBe(`${bundle}\n${bundle}\n`);
    rmSync(log);
  });

  test("one inside that hangs is killed after its timeout", async () => {
    const hooks = { createContainer: [{ path: "/bin/sleep", args: ["sleep", "1000"], timeout: 1 }] };
    expect(create("t", sh("true", { hooks })).stderr).toContain("1 s");
    await expectNothing();
  });
});

/** With a terminal, which needs a devpts. */
const onTerminal = (line: string, changes: Record<string, unknown> = {}) =>
  sh("", {
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["/bin/sh", "-c", line],
      env: ["PATH=/bin"],
      cwd: "/",
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"] },
    ],
    ...changes,
  });

/** `run`, with a stdin that has no end. */
async function runOpen(id: string, bundle: string): Promise<[stdout: string, stderr: string, status: number]> {
  const started = Bun.spawn([process.execPath, MAIN, "--root", runtime.root, "run", "-b", bundle, id], {
    argv0: "tsbox-oci",
    stdio: ["pipe", "pipe", "pipe"],
  });
  const texts = [started.stdout, started.stderr].map((stream) => new Response(stream).text());
  const [stdout = "", stderr = ""] = await Promise.all(texts);
  await started.stdin.end();
  return [stdout, stderr, await started.exited];
}

describe("a terminal in the foreground", () => {
  test("ends lines as they are written, where it is read by a program", async () => {
    expect(await runOpen("p", onTerminal("echo one; echo two"))).toEqual(["one\ntwo\n", "", 0]);
    await expectNothing();
  });

  test("keeps no hook of the runtime waiting", async () => {
    const bundle = onTerminal("echo ran", { hooks: { createRuntime: [{ path: "/bin/true" }] } });
    expect(await runOpen("h", bundle)).toEqual(["ran\n", "", 0]);
    await expectNothing();
  });

  test("is not waited for where there is nobody to start the container with", async () => {
    const seccomp = { defaultAction: "SCMP_ACT_ALLOW", listenerPath: join(folder.path, "nobody.sock") };
    const [stdout, stderr, status] = await runOpen(
      "n",
      onTerminal("echo ran", { linux: { ...linuxOf(sh("true")), seccomp } }),
    );
    expect([stdout, status]).toEqual(["", 1]);
    expect(stderr).toContain("failed to connect with seccomp agent");
    await expectNothing();
  });

  test("shows what a hook inside has to say, also where it fails", async () => {
    const args = ["sh", "-c", "echo $GREETING; false"];
    const failing = { hooks: { startContainer: [{ path: "/bin/sh", args, env: ["GREETING=hello"] }] } };
    const [stdout, stderr, status] = await runOpen("s", onTerminal("echo ran", failing));
    expect([stdout, status]).toEqual(["hello\n", 1]);
    expect(stderr).toContain("error running startContainer hook #0");
    await expectNothing();
  });
});

describe("a terminal", () => {
  test("goes to the socket that an engine listens at", async () => {
    using directory = Directory.open(folder.path) as Directory;
    const listener = listenIn(directory.fd, "console.sock");
    const bundle = sh("tty; stty size; test -c /dev/console && echo console", {
      process: {
        terminal: true,
        consoleSize: { width: 91, height: 17 },
        user: { uid: 0, gid: 0 },
        args: ["/bin/sh", "-c", "tty; stty size; test -c /dev/console && echo console"],
        env: ["PATH=/bin"],
        cwd: "/",
      },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
        {
          destination: "/dev/pts",
          type: "devpts",
          source: "devpts",
          options: ["newinstance", "ptmxmode=0666", "mode=620"],
        },
      ],
    });
    expect(create("c", bundle, "--console-socket", join(folder.path, "console.sock"))).toEqual(done);
    const connection = trySyscall("accept4", listener, 0, 0, 0o2000000);
    const master = receiveDescriptor(connection);
    expect(master).toBeGreaterThan(2);
    expect(oci("start", "c")).toEqual(done);
    let shown = "";
    for (let part = read(master); typeof part !== "number" && part.length > 0; part = read(master))
      shown += new TextDecoder().decode(part);
    expect(shown).toBe("/dev/pts/0\r\n17 91\r\nconsole\r\n");
    [master, connection, listener].forEach(close);
    rmSync(join(folder.path, "console.sock"));
    expect(oci("delete", "--force", "c")).toEqual(done);
    await expectNothing();
  });

  test("has to have somewhere to go", () => {
    const config = { terminal: true, user: { uid: 0, gid: 0 }, args: ["/bin/sh"], env: [], cwd: "/" };
    expect(create("n", sh("true", { process: config })).stderr).toContain("without setting console socket");
    expect(create("n", sh("true"), "--console-socket", "/x").stderr).toContain("will not detach or allocate tty");
  });
});

describe("without a namespace of its own", () => {
  asRootOnly("a container is chrooted, and what was mounted for it goes with it", async () => {
    expect(create("host", sh("sleep 100", { linux: linux(["pid"]) }))).toEqual(done);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toContain(rootfs.path);
    expect(oci("start", "host")).toEqual(done);
    expect(oci("exec", "host", "/bin/ls", "/")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("proc") as string,
    });
    expect(oci("delete", "--force", "host")).toEqual(done);
    await expectNothing();
  });
});

describe("a creator that is killed", () => {
  // at moments all over what it does, which takes some 100 ms here
  for (const ms of [5, 20, 40, 60, 80, 100, 120, 150, 200, 300]) {
    test(`after ${ms} ms leaves nothing that delete does not find`, async () => {
      const bundle = sh("sleep 100");
      const creator = Bun.spawn(
        [
          process.execPath,
          join(import.meta.dir, "../lib/cli/main.ts"),
          "oci",
          "--root",
          runtime.root,
          "create",
          "-b",
          bundle,
          "k",
        ],
        { stdio: ["ignore", "ignore", "ignore"] },
      );
      await Bun.sleep(ms * SLOW);
      creator.kill("SIGKILL");
      await creator.exited;
      expect(oci("delete", "--force", "k")).toMatchObject({ status: 0 });
      await expectNothing();
    });
  }
});
