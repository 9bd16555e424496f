/** From the words of a command line to the library's options; needs no sandbox and no root. @module */
import { describe, expect, test } from "bun:test";
import { Option } from "commander";
import * as fc from "fast-check";
import { EXPLAINED, explainUnknown } from "../lib/cli/docker.ts";
import { declareOlder, declareRun, RUN_FLAGS, type ContainerFlags } from "../lib/cli/flags.ts";
import { containerRequest } from "../lib/cli/containers/options.ts";
import { runRequest } from "../lib/cli/run-options.ts";
import { isSandbox } from "../lib/cli/run.ts";
import { stopOf } from "../lib/cli/stop.ts";
import { plainFlags, UnknownWord, Verb } from "../lib/cli/verb.ts";
import { UsageError } from "../lib/cli/report.ts";
import type { ContainerOptions } from "../lib/containers/index.ts";
import { Sandbox, TsboxError, type RunOptions } from "../lib/index.ts";

const files: Record<string, string> = {
  "/cwd/a.env": '\ufeff# a comment\n\nA=1\n  B=two words \r\nCALLER\nGONE\nQUOTED="x"\nEQUALS=a=b\n#C=3',
  "/cwd/spaced.env": "A=1\nTWO WORDS=2",
  "/cwd/profile.json": '{"defaultAction":"SCMP_ACT_ALLOW"}',
  "/cwd/docker.json": JSON.stringify({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [
      { names: ["read"], action: "SCMP_ACT_ALLOW" },
      { names: ["reboot"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_SYS_BOOT"] } },
    ],
  }),
  "/cwd/labels": "a=1\n# none\nb=two words\nc\n",
  "/cwd/broken.json": "{",
  "/cwd/null.json": "null",
};
const world = {
  env: { CALLER: "the caller's" },
  cwd: "/cwd",
  arch: "x64" as const,
  kernelRelease: () => "6.18.0",
  readFile(path: string): string {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    return text;
  },
};

/** What `tsbox run` would do with these words. */
function parse(...words: string[]): { command: string[]; flags: ContainerFlags } {
  let parsed: { command: string[]; flags: ContainerFlags } | undefined;
  const tsbox = new Verb("tsbox").enablePositionalOptions();
  tsbox
    .command("run")
    .action(
      (command: string, args: string[], flags: ContainerFlags) =>
        void (parsed = { command: [command, ...args], flags }),
    )
    .declareLater((verb) => (declareOlder(verb), declareRun(verb, "")), RUN_FLAGS);
  tsbox.parse(["run", ...words], { from: "user" });
  if (!parsed) throw new Error("the action was not called");
  return parsed;
}
/** Of a view of the host, unless there is an image before the command. */
function optionsOf(...words: string[]): RunOptions {
  const { command, flags } = parse(...words, "true");
  return runRequest(command, { rootfs: "host", ...flags }, world).options;
}

function failure(act: () => unknown): TsboxError {
  try {
    act();
  } catch (error) {
    return error as TsboxError;
  }
  throw new Error("it did not fail");
}

test("without flags: the host's programs, nothing on stdin, the caller's stdout and stderr", () => {
  expect(optionsOf()).toEqual({
    rootfs: "host",
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    env: {},
    mounts: [],
    limits: {},
    ulimits: {},
    namespaces: {},
    security: {},
  });
});

const bind = (source: string, target: string, readOnly = false) => ({
  type: "bind" as const,
  source,
  target,
  readOnly,
});
const table: [words: string[], options: Partial<RunOptions>][] = [
  [["--rootfs", "./debian"], { rootfs: "./debian" }],
  [["-i"], { stdin: "inherit" }],
  [["-a", "stdout", "-a", "Stdin"], { stdin: "inherit", stdout: "inherit", stderr: "ignore" }],
  [["-i", "-a", "stderr"], { stdin: "inherit", stdout: "ignore", stderr: "inherit" }],
  [["--sig-proxy=false", "--sig-proxy"], { stdin: "ignore" }],
  [["--interactive=false", "--rm"], { stdin: "ignore" }],
  [["-w", "/src", "-u", "1000:1000", "-h", "box"], { cwd: "/src", user: "1000:1000", hostname: "box" }],
  [["-w", "", "--user=", "-h", "", "--pid=", "--cpuset-cpus", ""], {}],
  [["-m", "0", "--memory-swap=0", "--cpus", "0.000", "-c", "0", "--cpu-quota=0", "--pids-limit", "0"], {}],
  [["--pids-limit", "-1", "--blkio-weight", "0", "--memory-swappiness=-1", "--cpu-period", "0"], {}],
  [["--workdir=/src", "--user=me", "--hostname=box"], { cwd: "/src", user: "me", hostname: "box" }],
  [["--group-add", "5", "--group-add=audio", "--umask", "0077"], { groups: ["5", "audio"], umask: 0o77 }],
  [["--oom-score-adj", "-5"], { oomScoreAdj: -5 }],
  [
    ["--pid", "ns:/proc/1/ns/pid", "--network=ns:/run/netns/x", "--userns", "ns:/u"],
    { namespaces: { pid: "ns:/proc/1/ns/pid", user: "ns:/u" }, network: "ns:/run/netns/x" },
  ],
  [
    ["--userns", "auto", "--uidmap", "0:100000:65536", "--uidmap=70000:5", "--gidmap", "0:1:2"],
    {
      namespaces: { user: "auto" },
      uidMappings: [
        { containerID: 0, hostID: 100_000, size: 65536 },
        { containerID: 70_000, hostID: 5, size: 1 },
      ],
      gidMappings: [{ containerID: 0, hostID: 1, size: 2 }],
    },
  ],
  [["--domainname", "nis", "--init", "--rm"], { domainname: "nis" }],
  [
    ["--sysctl", "net.ipv4.ip_forward=1", "--sysctl=kernel.msgmax=65536"],
    { sysctls: { "net.ipv4.ip_forward": "1", "kernel.msgmax": "65536" } },
  ],
  // environment
  [["-e", "A=1", "--env=B=2", "-eC=3", "-e=D=4"], { env: { A: "1", B: "2", C: "3", D: "4" } }],
  [["-ie", "A=B"], { stdin: "inherit", env: { A: "B" } }],
  [["-e", "A=1", "-e", "A=2", "-e", "EMPTY="], { env: { A: "2", EMPTY: "" } }],
  [["-e", "CALLER", "-e", "GONE"], { env: { CALLER: "the caller's" } }],
  [
    ["-e", "A=flag", "--env-file", "a.env"],
    { env: { A: "flag", B: "two words ", CALLER: "the caller's", QUOTED: '"x"', EQUALS: "a=b" } },
  ],
  [["-t"], { terminal: { name: "xterm" } }],
  [["-it"], { terminal: { name: "xterm" } }],
  // files
  [["-v", "/a:/b"], { mounts: [bind("/a", "/b")] }],
  [["-v", "./a:/b:ro", "-v", "../c:/d:rw"], { mounts: [bind("/cwd/a", "/b", true), bind("/c", "/d")] }],
  [["-v", ".:/src"], { mounts: [bind("/cwd", "/src")] }],
  [["-v", ".:/src:ro,cached", "-v", "/a:/b:delegated"], { mounts: [bind("/cwd", "/src", true), bind("/a", "/b")] }],
  [["--mount", "type=bind,src=/a,dst=/b,consistency=consistent"], { mounts: [bind("/a", "/b")] }],
  [
    ["-v", "/a:/b:idmap=uids=0-1000-10#10-2000-5;gids=5-6-7,noexec"],
    {
      mounts: [
        {
          ...bind("/a", "/b"),
          noExec: true,
          uidMappings: [
            { containerID: 0, hostID: 1000, size: 10 },
            { containerID: 10, hostID: 2000, size: 5 },
          ],
          gidMappings: [{ containerID: 5, hostID: 6, size: 7 }],
        },
      ],
    },
  ],
  [["--tmpfs", "/tmp"], { mounts: [{ type: "tmpfs", target: "/tmp" }] }],
  [
    ["--tmpfs=/tmp:rw,nosuid,size=64m,mode=1777"],
    { mounts: [{ type: "tmpfs", target: "/tmp", size: "64m", mode: 0o1777 }] },
  ],
  [["--tmpfs", "/tmp:defaults,uid=1000,gid=5"], { mounts: [{ type: "tmpfs", target: "/tmp", uid: 1000, gid: 5 }] }],
  [["--tmpfs", "/tmp:ro,noexec"], { mounts: [{ type: "tmpfs", target: "/tmp", readOnly: true, noExec: true }] }],
  [["-v", "/a:/b:ro,rslave"], { mounts: [{ ...bind("/a", "/b", true), propagation: "rslave" }] }],
  [["--mount", "type=bind,source=./a,target=/b"], { mounts: [bind("/cwd/a", "/b")] }],
  [["--mount", "type=bind,src=/a,dst=/b,readonly"], { mounts: [bind("/a", "/b", true)] }],
  [["--mount", 'type=bind,"source=/a,b",destination=/b,ro=1'], { mounts: [bind("/a,b", "/b", true)] }],
  [["--mount", "type=bind,src=/a,dst=/b,readonly=false"], { mounts: [bind("/a", "/b")] }],
  [
    ["--mount", "type=bind,src=/a,dst=/b,ro,bind-recursive=writable,bind-propagation=slave,bind-create-src"],
    { mounts: [{ ...bind("/a", "/b", true), recursive: "writable", propagation: "slave", create: true }] },
  ],
  [
    ["--mount", "type=bind,src=/a,dst=/b,bind-recursive=disabled"],
    { mounts: [{ ...bind("/a", "/b"), recursive: false }] },
  ],
  [
    ["--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0700,readonly"],
    { mounts: [{ type: "tmpfs", target: "/t", size: "1m", mode: 0o700, readOnly: true }] },
  ],
  [["--device", "/dev/fuse"], { devices: [{ source: "/dev/fuse" }] }],
  [["--device", "/dev/fuse:/dev/f:rwm"], { devices: [{ source: "/dev/fuse", target: "/dev/f" }] }],
  [["--device", "/dev/a:/dev/b:r"], { devices: [{ source: "/dev/a", target: "/dev/b", access: "r" }] }],
  [["--device", "/dev/a:wm"], { devices: [{ source: "/dev/a", access: "wm" }] }],
  [["--device", "/dev/fuse:rw"], { devices: [{ source: "/dev/fuse" }] }],
  [["--writable-layer", "./layer"], { writableLayer: "./layer" }],
  [["--shm-size", "1g"], { shmSize: "1g" }],
  [["--read-only"], { security: { readOnly: true } }],
  [["--read-only=false"], { security: { readOnly: false } }],
  [["--bun"], { runtime: true }],
  [["--bun=false"], { runtime: false }],
  // limits
  [
    ["-m", "128m", "--cpus", ".5", "--pids-limit", "64", "--timeout", "2s"],
    { limits: { memory: "128m", cpus: 0.5, pids: 64, time: "2s" } },
  ],
  [
    [
      "-m",
      "1g",
      "--memory-swap",
      "-1",
      "--memory-reservation",
      "64m",
      "--memory-swappiness",
      "10",
      "--oom-kill-disable",
    ],
    { limits: { memory: "1g", memorySwap: Infinity, memoryReservation: "64m", memorySwappiness: 10, oomKill: false } },
  ],
  [
    ["-c", "512", "--cpu-period", "50000", "--cpu-quota=25000", "--cpuset-cpus", "0-1", "--cpuset-mems", "0"],
    { limits: { cpuShares: 512, cpuPeriodUs: 50_000, cpuQuotaUs: 25_000, cpusetCpus: "0-1", cpusetMems: "0" } },
  ],
  [
    ["--cpu-quota", "-1", "--cpu-time", "2s", "--disk", "64m", "--optional-limits"],
    { limits: { cpuTime: "2s", disk: "64m", optional: true } },
  ],
  [
    ["--device-read-bps", "/dev/sda:1mb", "--device-write-iops=/dev/by:path:0:100", "--blkio-weight", "300"],
    {
      limits: {
        io: [{ weight: 300 }, { device: "/dev/sda", readBps: "1mb" }, { device: "/dev/by:path:0", writeIops: 100 }],
      },
    },
  ],
  [
    ["--bandwidth", "down=10mbit,up=2mbit,burst=64k"],
    { limits: { bandwidth: { down: "10mbit", up: "2mbit", burst: "64k" } } },
  ],
  [["--blkio-weight-device", "8:0:20"], { limits: { io: [{ device: "8:0", weight: 20 }] } }],
  [["--cgroup-parent", "servers/web"], { cgroupParent: "/servers/web" }],
  [["--device-cgroup-rule", "c 10:200 rwm"], { security: { deviceRules: ["c 10:200 rwm"] } }],
  [["-m=1g", "--cpus=2", "--pids-limit", "-1"], { limits: { memory: "1g", cpus: 2 } }],
  [
    ["--ulimit", "nofile=1024:2048", "--ulimit", "core=0", "--ulimit", "memlock=-1", "--ulimit", "stack=8:unlimited"],
    { ulimits: { nofile: [1024, 2048], core: [0, 0], memlock: [Infinity, Infinity], stack: [8, Infinity] } },
  ],
  // isolation
  [["--network", "none"], { network: false }],
  [["--network=host"], { network: "host" }],
  [["--allow", "a.example:443", "--allow=10.0.0.0/8"], { network: { allow: ["a.example:443", "10.0.0.0/8"] } }],
  [["--allow", "*", "--deny", "a.example"], { network: { allow: ["*"], deny: ["a.example"] } }],
  [["--deny", "192.0.2.1"], { network: { deny: ["192.0.2.1"] } }],
  [["--net", "host"], { network: "host" }],
  [
    ["--pid", "host", "--ipc=host", "--uts", "host", "--userns", "host", "--cgroupns", "private"],
    { namespaces: { pid: "host", ipc: "host", uts: "host", user: "host", cgroup: "private" } },
  ],
  [["--security-opt", "seccomp=unconfined"], { security: { seccomp: "none" } }],
  [["--security-opt", "seccomp=profile.json"], { security: { seccomp: { defaultAction: "SCMP_ACT_ALLOW" } } }],
  [["--security-opt", "no-new-privileges"], { security: { noNewPrivileges: true } }],
  [["--security-opt", "no-new-privileges:true"], { security: { noNewPrivileges: true } }],
  [["--security-opt=no-new-privileges=false"], { security: { noNewPrivileges: false } }],
  [["--security-opt", "systempaths=unconfined"], { security: { systemPaths: "none" } }],
  [["--security-opt", "apparmor=unconfined"], { security: {} }],
  [["--security-opt", "label=disable"], { security: {} }],
  [["--security-opt", "label:disable"], { security: {} }],
  [["--ipc", "shareable"], { namespaces: { ipc: "private" } }],
  [["--ipc", "none"], { namespaces: { ipc: "none" } }],
  [["--shm-size", "0"], {}],
  [["--isolation", "default"], {}],
  [["--isolation="], {}],
  [["--privileged"], { security: { privileged: true } }],
  [["--privileged=false"], { security: { privileged: false } }],
  [["--privileged", "--cap-drop", "ALL"], { security: { privileged: true, capabilities: [] } }],
];
test.each(table)("%j", (words, options) => {
  expect(optionsOf(...words)).toMatchObject(options);
});

test.each<[words: string[], stop: ReturnType<typeof stopOf>]>([
  [["--stop-signal", "INT"], { signal: 2 }],
  [["--stop-signal=SIGUSR1", "--stop-timeout=0"], { signal: 10, timeoutMs: 0 }],
  [["--stop-signal", "9", "--stop-timeout", "10"], { signal: 9, timeoutMs: 10_000 }],
  [["--stop-timeout", "1"], { signal: 15, timeoutMs: 1000 }],
])("%j: how a SIGTERM is passed on", (words, stop) => {
  expect(stopOf(parse(...words, "true").flags)).toEqual(stop);
});

test.each([
  [["--stop-signal", "SIGSTOPP"], 'use --stop-signal "SIGSTOPP": there is no such signal'],
  [["--stop-signal", "0"], 'use --stop-signal "0": there is no such signal'],
  [["--stop-signal", ""], 'use --stop-signal "": there is no such signal'],
  [["--stop-timeout", "10s"], 'use --stop-timeout "10s": not a number of seconds'],
  [["--stop-timeout", "-1"], 'use --stop-timeout "-1": not a number of seconds'],
  [["--stop-signal", "INT", "--sig-proxy=false"], 'use --sig-proxy "false": then a SIGTERM ends tsbox'],
])("%j is refused, where it is run", (words, message) => {
  const error = failure(() => stopOf(parse(...words, "true").flags));
  expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(message)]);
});

const capabilities = (...words: string[]) => {
  const named = optionsOf(...words).security?.capabilities;
  return Array.isArray(named) ? named : [];
};

describe("capabilities as Docker counts them", () => {
  test("nothing said: the library's default", () => {
    expect(optionsOf().security).toEqual({});
  });
  test("a name is added to the default set, or dropped from it", () => {
    const added = capabilities("--cap-add", "net_admin");
    expect(added).toContain("CAP_NET_ADMIN");
    expect(added).toContain("CAP_CHOWN");
    expect(capabilities("--cap-drop", "CAP_CHOWN", "--cap-drop", "kill")).toEqual(
      added.filter((name) => !["CAP_NET_ADMIN", "CAP_CHOWN", "CAP_KILL"].includes(name)),
    );
  });
  test("what is added wins over what is dropped", () => {
    expect(capabilities("--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "chown")).toEqual(["CAP_CHOWN"]);
    expect(capabilities("--cap-drop", "CHOWN", "--cap-add", "CHOWN")).toContain("CAP_CHOWN");
  });
  test("all but what is dropped", () => {
    const most = capabilities("--cap-add", "all", "--cap-drop", "SYS_ADMIN");
    expect(most.length).toBe(40);
    expect(most).not.toContain("CAP_SYS_ADMIN");
    expect(capabilities("--cap-add", "ALL", "--cap-drop", "ALL").length).toBe(41);
  });
});

function allowedCalls(...words: string[]): string[] | undefined {
  const { seccomp } = optionsOf(...words, "--security-opt", "seccomp=docker.json").security ?? {};
  return typeof seccomp === "object" ? seccomp.syscalls?.flatMap((rule) => rule.names) : undefined;
}

test("rules of a Docker seccomp profile depend on the capabilities", () => {
  expect(allowedCalls()).toEqual(["read"]);
  expect(allowedCalls("--cap-add", "SYS_BOOT")).toEqual(["read", "reboot"]);
});

test.each([
  [["--init=false"], 'use --init "false": pid 1 is always an init here'],
  [["-a", "console"], 'use --attach "console": not understood'],
  [["-e", "=B"], 'use --env "=B": no name'],
  [["--env-file", "none.env"], 'use --env-file "none.env": ENOENT'],
  [["--env-file", "spaced.env"], 'use --env-file spaced.env: "TWO WORDS=2": a name contains no white space'],
  [["-v", "data:/data"], 'mount the volume on "/data": only a container can'],
  [["-v", "/data"], 'mount the volume on "/data": only a container can'],
  [
    ["-v", "d:/data"],
    'use --volume "d:/data": volume name is too short, names should be at least two alphanumeric characters',
  ],
  [
    ["-v", "da/ta:/data"],
    'use --volume "da/ta:/data": "da/ta" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
  ],
  [["-v", "data:data"], "use --volume \"data:data\": invalid mount path: 'data' mount path must be absolute"],
  [["-v", "/data:/"], "use --volume \"/data:/\": invalid specification: destination can't be '/'"],
  [["-v", ":/data"], 'use --volume ":/data": invalid volume specification'],
  [["-v", "/a:/b:ro:rw"], 'use --volume "/a:/b:ro:rw": invalid volume specification'],
  [["-v", "/a:/b:cached,delegated"], 'use --volume "/a:/b:cached,delegated": both cached and delegated'],
  [
    ["--mount", "type=bind,src=/a,dst=/b,consistency=x"],
    'use --mount "type=bind,src=/a,dst=/b,consistency=x": unknown consistency "x"',
  ],
  [["-v", "/a:/b:readonly"], 'use --volume "/a:/b:readonly": invalid mode: readonly'],
  [["-v", "/a:/b:z,Z"], 'use --volume "/a:/b:z,Z": both z and Z'],
  [["-v", "/a:/b:idmap=0-1-2"], 'use --volume "/a:/b:idmap=0-1-2": the idmap "0-1-2" is not understood'],
  [["-v", "/a:/b:ro,rw"], 'use --volume "/a:/b:ro,rw": both ro and rw'],
  [["-v", "/a:/b:z"], 'mount on "/b" with other owners or labels: only a container can'],
  [["-v", "/a:/b:U"], 'mount on "/b" with other owners or labels: only a container can'],
  [["-v", "~/a:/b"], 'use --volume "~/a:/b": ~ is the shell\'s, and only at the start of a word'],
  [["--oom-score-adj", "low"], 'use --oom-score-adj "low": not a whole number'],
  [["--uidmap", "0:x:5"], 'use --uidmap "0:x:5": not understood'],
  [["--umask", "9"], 'use --umask "9": not an octal number'],
  [["--sysctl", "net.ipv4.ip_forward"], 'use --sysctl "net.ipv4.ip_forward": no value'],
  [["-t", "-a", "stdout"], 'use --attach "stdout": with -t there are no streams'],
  [
    ["--mount", "src=/a,dst=/b"],
    'use --mount "src=/a,dst=/b": "/a" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
  ],
  [["--mount", "type=image,src=a,dst=/b"], 'mount the image on "/b": only a container can'],
  [
    ["--mount", "type=image,src=a,dst=/b,ro=false"],
    'use --mount "type=image,src=a,dst=/b,ro=false": an image cannot be written',
  ],
  [
    ["--mount", "type=npipe,src=/a,dst=/b"],
    'use --mount "type=npipe,src=/a,dst=/b": the type "npipe" is not supported',
  ],
  [["--mount", "type=bind,dst=/b"], 'use --mount "type=bind,dst=/b": no source'],
  [["--mount", "type=bind,src=/a"], 'use --mount "type=bind,src=/a": no target'],
  [["--mount", "type=bind,src=/a,dst=/b,dst=/c"], 'use --mount "type=bind,src=/a,dst=/b,dst=/c": "dst" twice'],
  [
    ["--mount", "type=bind,src=/a,dst=/b,tmpfs-size=1"],
    'use --mount "type=bind,src=/a,dst=/b,tmpfs-size=1": unknown option "tmpfs-size" of type=bind',
  ],
  [
    ["--mount", "type=tmpfs,src=/a,dst=/b"],
    'use --mount "type=tmpfs,src=/a,dst=/b": unknown option "source" of type=tmpfs',
  ],
  [
    ["--mount", "type=tmpfs,dst=/b,tmpfs-mode=9"],
    'use --mount "type=tmpfs,dst=/b,tmpfs-mode=9": tmpfs-mode "9" is not an octal number',
  ],
  [
    ["--mount", "type=bind,src=/a,dst=/b,ro=maybe"],
    'use --mount "type=bind,src=/a,dst=/b,ro=maybe": readonly is true or false',
  ],
  [
    ["--mount", 'type=bind,"src=/a,dst=/b'],
    'use --mount "type=bind,\\"src=/a,dst=/b": a quote that is not closed, or inside a field',
  ],
  [
    ["--mount", "type=bind,src=/a,dst=/b,bind-propagation=public"],
    'use --mount "type=bind,src=/a,dst=/b,bind-propagation=public": unknown bind-propagation "public"',
  ],
  [
    ["--mount", "type=bind,src=/a,dst=/b,bind-recursive=readonly"],
    'use --mount "type=bind,src=/a,dst=/b,bind-recursive=readonly": bind-recursive=readonly without readonly',
  ],
  [
    ["--mount", "type=bind,src=/a,dst=/b,bind-recursive=maybe"],
    'use --mount "type=bind,src=/a,dst=/b,bind-recursive=maybe": unknown bind-recursive "maybe"',
  ],
  [["--device", "fuse"], 'use --device "fuse": not understood'],
  [["--device", "/dev/a:/dev/b:/dev/c"], 'use --device "/dev/a:/dev/b:/dev/c": not understood'],
  [["--tmpfs", "/tmp:suid"], 'use --tmpfs "/tmp:suid": unknown option "suid"'],
  [["--tmpfs", "/tmp:uid=me"], 'use --tmpfs "/tmp:uid=me": unknown option "uid=me"'],
  [["--tmpfs", "/tmp:mode=9"], 'use --tmpfs "/tmp:mode=9": unknown option "mode=9"'],
  [["--cpus", "two"], 'use --cpus "two": not a number'],
  [["--cpus", "-1"], 'use --cpus "-1": not a number'],
  [["--pids-limit", ""], 'use --pids-limit "": not a number'],
  [["--timeout", "2"], 'use --timeout "2": no unit'],
  [["--cpu-time", "2"], 'use --cpu-time "2": no unit'],
  [["--cpu-shares", "many"], 'use --cpu-shares "many": not a number'],
  [["--device-read-bps", "/dev/sda"], 'use --device-read-bps "/dev/sda": not understood'],
  [["--device-read-iops", "/dev/sda:x"], 'use --device-read-iops "x": not a number'],
  [["--ulimit", "nofile"], 'use --ulimit "nofile": not understood'],
  [["--ulimit", "nofile=1:2:3"], 'use --ulimit "nofile=1:2:3": not understood'],
  [["--network", "host", "--allow", "*"], 'use --network "host": there are --allow and --deny, which make another one'],
  [["--pid", "container:x"], 'use --pid "container:x": not understood'],
  [["--cap-add", "CAP_FLY"], 'use the capability "CAP_FLY": unknown'],
  [["--security-opt", "apparmor=profile"], 'use --security-opt "apparmor=profile": not supported'],
  [["--security-opt", "systempaths=all"], 'use --security-opt "systempaths=all": not supported'],
  [["--security-opt", "seccomp=none.json"], 'use --security-opt seccomp "none.json": ENOENT'],
  [["--security-opt", "seccomp=null.json"], 'use --security-opt seccomp "null.json": not a seccomp profile'],
  [["--security-opt", "seccomp=broken.json"], 'use --security-opt seccomp "broken.json": not JSON'],
])("%j is refused", (words, message) => {
  const error = failure(() => optionsOf(...words));
  expect(error.message).toBe(message);
  expect(error.code).toBe("invalid_option");
});

test.each([
  [
    ["--", "ls", "-i", "--", "--rm"],
    ["ls", "-i", "--", "--rm"],
  ],
  [
    ["ls", "-i", "--", "--rm"],
    ["ls", "-i", "--", "--rm"],
  ],
  [
    ["--rm", "ls", "--help", "-v"],
    ["ls", "--help", "-v"],
  ],
  [["-e", "--", "ls"], ["ls"]],
  [["-e", "--rm", "ls"], ["ls"]],
  [["--", "-i"], ["-i"]],
  [["-"], ["-"]],
])("%j: flags end where the command begins", (words, command) => {
  expect(parse(...words).command).toEqual(command);
});

test.each([
  [["--memroy", "1g", "ls"], 'unknown option "--memroy"', "did you mean --memory?"],
  [["--bogus", "ls", "--help"], 'unknown option "--bogus"', 'see "tsbox run --help"'],
  [["-iz", "ls"], 'unknown option "-z"', 'see "tsbox run --help"'],
  [["-Z", "ls"], 'unknown option "-Z"', 'see "tsbox run --help"'],
  [["-e"], 'option "-e, --env <K=V>" argument missing', 'see "tsbox run --help"'],
  [["-i"], 'missing required argument "IMAGE"', 'see "tsbox run --help"'],
  [["--rm=maybe", "ls"], 'use --rm "maybe": not understood', "true or false"],
])("%j is a usage error", (words, message, hint) => {
  const error = failure(() => parse(...words));
  expect([error.message, error.hint]).toEqual([message, hint]);
});

test("Go's flag syntax becomes commander's", () => {
  const options = [new Option("-i, --interactive"), new Option("-m, --memory <SIZE>")];
  const find = (name: string) => options.find(({ short, long }) => short === name || long === name);
  expect(plainFlags(["-im=1g", "--interactive=F", "-im2g", "--memory=", "--", "-i=0"], find)).toEqual(
    ["-i", "-m", "1g", "--no-interactive", "-i", "-m", "2g", "--memory", "", "--", "-i=0"], //
  );
});

/** Of `docker run --help`, version 28, and older words that it still takes. */
const DOCKER_RUN = [
  "--add-host --annotation --attach -a --blkio-weight --blkio-weight-device --cap-add --cap-drop --cgroup-parent",
  "--cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime",
  "--cpu-shares -c --cpus --cpuset-cpus --cpuset-mems --detach -d --detach-keys --device --device-cgroup-rule",
  "--device-read-bps --device-read-iops --device-write-bps --device-write-iops --disable-content-trust --dns",
  "--dns-option --dns-opt --dns-search --domainname --entrypoint --env -e --env-file --expose --gpus --group-add",
  "--health-cmd --health-interval --health-retries --health-start-interval --health-start-period --health-timeout",
  "--hostname -h --init --interactive -i --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation",
  "--kernel-memory --label -l --label-file --link --link-local-ip --log-driver --log-opt --mac-address --memory -m",
  "--memory-reservation --memory-swap --memory-swappiness --mount --name --net --net-alias --network",
  "--network-alias --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged",
  "--publish -p --publish-all -P --pull --quiet -q --read-only --restart --rm --runtime --security-opt --shm-size",
  "--sig-proxy --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs --tty -t --ulimit --use-api-socket",
  "--user -u --userns --uts --volume -v --volume-driver --volumes-from --workdir -w",
].join(" ");

describe("what Docker has and tsbox does not", () => {
  const run = new Verb("tsbox").enablePositionalOptions().command("run");
  run.declareLater((verb) => (declareOlder(verb), declareRun(verb, "")), RUN_FLAGS).declared();
  const declared = run.options.flatMap(({ short, long }) => [short, long]);

  test("is explained, and what is explained is not there", () => {
    expect(EXPLAINED.length).toBeGreaterThan(10);
    expect(EXPLAINED.filter((flag) => declared.includes(flag))).toEqual([]);
    for (const flag of EXPLAINED) {
      const error = explainUnknown(new UnknownWord("unknown option", "", `${flag}=x`, "tsbox run"));
      expect(error.message).toStartWith(`use ${flag}: `);
      expect(error.hint).not.toBe("");
    }
  });

  test("leaves no flag of Docker's unknown", () => {
    const known = new Set([...declared, ...EXPLAINED]);
    expect(DOCKER_RUN.split(" ").filter((flag) => !known.has(flag))).toEqual([]);
  });

  test("for other verbs nothing is explained that is not theirs", () => {
    const unknown = new UnknownWord("unknown option", "see", "--name", "tsbox doctor");
    expect(explainUnknown(unknown)).toBe(unknown);
  });
});

describe("tsbox run makes a container", () => {
  test.each([
    [[]],
    [["-it"]],
    [["--rm=false", "--rootfs", "host"]],
    [["--rm", "-d"]],
    [["--rm", "--name", "web"]],
    [["--rm", "--label", "a"]],
    [["--rm", "--restart", "no"]],
    [["--rm", "--cidfile", "f"]],
    [["--rm", "--health-cmd", "true"]],
    [["--rm", "--volumes-from", "web"]],
    [["--rm", "--network", "container:web"]],
    [["--rm", "--network", "name=web,alias=db"]],
    [["--rm", "--network", "web", "-p", "80"]],
    [["--rm", "--network", "web", "--network-alias", "db"]],
    [["--rm", "--network", "default"]],
    [["--rm", "--net=container:web"]],
    [["--rm", "--pid=container:web"]],
    [["--rm", "--ipc", "container:web"]],
    [["--rm", "-h", "box"]],
    [["--rm", "--network", "host"]],
    [["--rm", "-v", "data:/data"]],
    [["--rm", "-v", "/data"]],
    [["--rm", "-v", "./a:/b", "-v", "/data"]],
    [["--rm", "--mount", "type=volume,dst=/data"]],
    [["--rm", "--mount", "dst=/data"]],
    [["--rm", "--mount", "type=image,src=alpine,dst=/data"]],
    [["--rootfs", "host", "-d"]],
    [["--rootfs", "host", "--add-host", "db:10.0.0.2"]],
    [["--rm", "--log-driver", "none"]],
  ])("of %j", (words) => expect(isSandbox(parse(...words, "alpine").flags)).toBe(false));

  test.each([
    [["--rm"]],
    [["--rm", "-it"]],
    [["--rm", "--detach=false"]],
    [["--rm", "--no-healthcheck"]],
    [["--rm", "-v", "./a:/b", "-v", "/a:/b:ro", "-v", "../a:/b"]],
    [["--rm", "-v", ":/b"]],
    [["--rm", "-v", "~/a:/b"]],
    [["--rm", "--mount", "type=bind,src=/a,dst=/b", "--mount", 'src=a,"type=tmpfs",dst=/b']],
    [["--rootfs", "host", "--network", "host", "-h", "box"]],
    [["--rm", "--network", "none", "--pid", "host", "-m", "64m", "--timeout", "2s", "--stop-signal", "INT"]],
    [["--rootfs", "host"]],
    [["--rootfs", "./debian", "--writable-layer", "./layer"]],
    [["--rm", "--allow", "a.example"]],
    [["--rm", "--network", "web", "--network", "other"]],
    [["--rm", "--network", "bridge"]],
  ])("but not of %j", (words) => expect(isSandbox(parse(...words, "alpine").flags)).toBe(true));
});

/** Of a container of the image `alpine`. */
function containerOf(...words: string[]): ContainerOptions {
  const { command, flags } = parse(...words, "alpine");
  return containerRequest(command, flags, world);
}

test("a container without flags: its image, and its output is attached to", () => {
  expect(containerOf()).toEqual({
    image: { reference: "alpine", pull: "missing" },
    attach: ["stdout", "stderr"],
    env: {},
    limits: {},
    namespaces: {},
    security: {},
    ulimits: {},
  });
  const { command, flags } = parse("alpine", "echo", "-n", "--name", "x");
  expect(containerRequest(command, flags, world)).toMatchObject({ command: ["echo", "-n", "--name", "x"] });
  const host = containerRequest(["true", "-a"], { rootfs: "host" }, world);
  expect([host.rootfs, host.image, host.command]).toEqual(["host", undefined, ["true", "-a"]]);
});

const containers: [words: string[], options: Partial<ContainerOptions>][] = [
  [["--name", "web", "-d"], { name: "web", attach: [] }],
  [["--rm"], { remove: true }],
  [["--restart", "on-failure:5"], { restart: "on-failure:5" }],
  [["--restart=unless-stopped"], { restart: "unless-stopped" }],
  [["--rm", "--restart=no"], { remove: true, restart: "no" }],
  // labels
  [["-l", "a=1", "--label", "b", "-l=a=2", "-l", "c=x=y"], { labels: { a: "2", b: "", c: "x=y" } }],
  [["--label-file", "labels", "-l", "a=flag"], { labels: { a: "flag", b: "two words", c: "" } }],
  [["--annotation", "org.example=1"], { annotations: { "org.example": "1" } }],
  // streams
  [["-i"], { openStdin: "once", attach: ["stdout", "stderr", "stdin"] }],
  [["-a", "stdin", "-i"], { openStdin: "once", attach: ["stdin"] }],
  [["-a", "STDERR"], { attach: ["stderr"] }],
  [["-d", "-i"], { openStdin: true, attach: [] }],
  [["-dit"], { openStdin: true, attach: [], terminal: { name: "xterm" } }],
  [["-t", "-a", "stdout"], { terminal: { name: "xterm" }, attach: ["stdout"] }],
  // its end
  [["--stop-signal", "SIGQUIT", "--stop-timeout", "3"], { stopSignal: "SIGQUIT", stopTimeout: 3000 }],
  [["--stop-timeout", "-1"], { stopTimeout: -1000 }],
  [["--stop-signal", "", "--name=", "--log-driver", ""], {}],
  // health
  [["--health-cmd", "test -e /ready"], { health: { test: "test -e /ready" } }],
  [
    ["--health-interval", "1m30s", "--health-timeout=500ms", "--health-retries", "2", "--health-start-period=2s"],
    { health: { interval: 90_000, timeout: 500, retries: 2, startPeriod: 2000 } },
  ],
  [["--health-start-interval", "1.5s", "--health-interval", "0s"], { health: { startInterval: 1500 } }],
  [["--no-healthcheck"], { health: { test: ["NONE"] } }],
  // logs
  [["--log-driver", "none"], { log: { driver: "none" } }],
  [["--log-opt", "max-size=-1", "--log-opt", "max-file=1"], { log: { maxFiles: 1 } }],
  [
    ["--log-driver=json-file", "--log-opt", "max-size=10m", "--log-opt=max-file=3"],
    { log: { driver: "json-file", maxSize: "10m", maxFiles: 3 } },
  ],
  // files
  [
    ["-v", "data:/data:ro", "-v", "/only", "-v", "./a:/b:ro,z", "-v=/a/:/c"],
    { volumes: ["data:/data:ro", "/only", "/cwd/a:/b:ro,z", "/a:/c"] },
  ],
  [["--mount", "dst=/data"], { mounts: [{ type: "volume", target: "/data" }] }],
  [["--volumes-from", "web:ro", "--volumes-from", "db"], { volumesFrom: ["web:ro", "db"] }],
  [["--volume-driver", "local", "--tmpfs", "/tmp"], { mounts: [{ type: "tmpfs", target: "/tmp" }] }],
  // names
  [
    ["--add-host", "db:10.0.0.2", "--add-host=v6=[::1]", "--add-host", "old:::1"],
    { addHosts: ["db:10.0.0.2", "v6:::1", "old:::1"] },
  ],
  [
    ["--dns", "10.0.0.1", "--dns=::1", "--dns-search", "example.org", "--dns-opt", "b", "--dns-option", "a"],
    { dns: ["10.0.0.1", "::1"], dnsSearch: ["example.org"], dnsOptions: ["a", "b"] },
  ],
  [["--dns-search", "."], { dnsSearch: ["."] }],
  [["--expose", "80", "--expose=53-54/UDP"], { expose: ["80/tcp", "53/udp", "54/udp"] }],
  [
    ["--network", "container:web", "--pid", "container:web", "--ipc=container:db", "--uts", "host"],
    { network: "container:web", namespaces: { pid: "container:web", ipc: "container:db", uts: "host" } },
  ],
  [["--pid", "host"], { namespaces: { pid: "host" } }],
  [["--network", "none"], { network: false }],
  [["--net", "host"], { network: "host" }],
  [
    ["--network", "web", "--network=db", "--ip", "10.0.0.5", "--network-alias", "a", "--net-alias=b"],
    { networks: [{ name: "web", aliases: ["a", "b"], addresses: ["10.0.0.5"] }, { name: "db" }] },
  ],
  [["-p", "8080:80", "--publish=53:53/udp", "-P"], { ports: ["8080:80", "53:53/udp"], publishAll: true }],
  // what sandboxes have as well
  [
    [
      "-m",
      "64m",
      "-e",
      "A=1",
      "-u",
      "me",
      "-w",
      "/src",
      "--entrypoint",
      "",
      "--pull",
      "never",
      "--platform",
      "linux/arm64",
    ],
    {
      image: { reference: "alpine", pull: "never", platform: "linux/arm64" },
      entrypoint: "",
      limits: { memory: "64m" },
      env: { A: "1" },
      user: "me",
      cwd: "/src",
    },
  ],
];
test.each(containers)("of a container: %j", (words, options) => {
  expect(containerOf(...words)).toMatchObject(options);
});

test.each([
  [["-d", "-a", "stdout"], "conflicting options: cannot specify both --attach and --detach"],
  [["--rm", "--restart", "always"], "conflicting options: cannot specify both --restart and --rm"],
  [["--rm", "--restart", "on-failure:3"], "conflicting options: cannot specify both --restart and --rm"],
  [["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"],
  [["--no-healthcheck", "--health-start-interval", "1s"], "--no-healthcheck conflicts with --health-* options"],
  [["--health-interval=-1s"], "--health-interval cannot be negative"],
  [["--health-retries=-1"], "--health-retries cannot be negative"],
  [["--health-timeout", "5"], 'use --health-timeout "5": not understood'],
  [["--health-timeout", "10us"], "minimum duration is 1ms"],
  [["-l", "=x"], 'use --label "=x": no key'],
  [["--label-file", "none"], 'use --label-file "none": ENOENT'],
  [["--label-file", "spaced.env"], 'use --label-file spaced.env: "TWO WORDS=2": a name contains no white space'],
  [["--stop-timeout", "2s"], 'use --stop-timeout "2s": not a number of seconds'],
  [["--log-driver", "syslog"], "no log driver named 'syslog' is registered"],
  [["--log-opt", "tag=x"], "unknown log opt 'tag' for local log driver"],
  [["--log-driver", "none", "--log-opt", "max-size=1m"], "unknown log opt 'max-size' for none log driver"],
  [["--log-opt", "max-file=0"], "max-file cannot be less than 1"],
  [["--log-opt", "max-file=2"], "max-size is needed with it"],
  [["--add-host", "db"], 'bad format for add-host: "db"'],
  [["--add-host", "db:nowhere"], 'invalid IP address in add-host: "nowhere"'],
  [["--dns", "example.org"], "example.org is not an ip address"],
  [["--dns-search", "a b"], "a b is not a valid domain"],
  [["--expose", "http"], "invalid range format for --expose"],
  [["--expose", "90-80"], "invalid range format for --expose"],
  [["--expose", "0"], "invalid range format for --expose"],
  [["--pid", "container:"], 'use --pid "container:": not understood'],
  [["--network", "container:"], 'use --network "container:": not understood'],
  [["--network", "host", "--network", "web"], "conflicting options: it cannot be one of several"],
  [["--network-alias", "db"], "conflicting options: aliases and the network mode"],
  [["--network", "web", "--mac-address", "x"], "x is not a valid mac address"],
  [["-v", "data:/data:sometimes"], 'use --volume "data:/data:sometimes": invalid mode: sometimes'],
  [["--volume-driver", "nfs"], 'use --volume-driver "nfs": there is no such volume driver'],
  [["--cpu-time", "2s"], 'use --cpu-time "2s": a container has no such thing'],
  [["--writable-layer", "x"], 'use --writable-layer "x": a container has no such thing'],
  [["--network", "web", "--deny", "x"], 'use --network "web": there are --allow and --deny, which make another one'],
  [["-a", "console"], 'use --attach "console": not understood'],
])("of a container %j is refused", (words, message) => {
  const error = failure(() => containerOf(...words));
  expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(message)]);
});

describe("whatever a flag is given", () => {
  const run = new Verb("tsbox").enablePositionalOptions().command("run");
  run.declareLater((verb) => (declareOlder(verb), declareRun(verb, "")), RUN_FLAGS).declared();
  const flags = run.options.filter(({ required, negate }) => required && !negate).map(({ long }) => long as string);
  const NASTY = [
    ..."\0|-1|=|a=|=b|a=b|:|::|:::|/:/|,|,,|a,b|/|/x:/y:z|..|~|NaN|1e999|0x10|-0|1.5|1g|1h|host|none|type=|😀".split(
      "|",
    ),
    "",
    " ",
    "x".repeat(100_000),
    "container:x",
    "seccomp=",
    "size=1,size=2",
    "nofile=1:2",
    "a\nb=c",
  ];

  test.each(flags)("%s takes it or says why not", (flag) => {
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...NASTY), fc.string()), (value) => {
        for (const make of [containerOf, (...words: string[]) => Sandbox.plan(["true"], optionsOf(...words))]) {
          try {
            make(`${flag}=${value}`);
          } catch (error) {
            expect(error instanceof TsboxError || error instanceof UsageError ? undefined : error).toBeUndefined();
          }
        }
      }),
    );
  });
});
