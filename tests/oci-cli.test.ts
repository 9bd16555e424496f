/** The command line of the OCI runtime: runc's flags, log, messages and exit statuses. @module */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json" with { type: "json" };
import { parseFlags, type Flag } from "../lib/cli/oci/flags.ts";
import { resourcesOf } from "../lib/cli/oci/update.ts";
import { parseConfig } from "../lib/oci/config.ts";
import { explain } from "../lib/cli/oci/report.ts";
import { VERBS } from "../lib/cli/oci/verbs.ts";
import { startTimeOf } from "../lib/oci/index.ts";
import { systemError, TsboxError } from "../syscalls/index.ts";
import { MAIN, ociAs, ociIn, recorded, runtimeIn } from "./support/oci.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const runtime = runtimeIn(folder);
const oci = ociIn(runtime);
beforeEach(() => rmSync(runtime.root, { recursive: true, force: true }));

/** What a message says, without its time. */
const messages = (text: string) =>
  [...text.matchAll(/^time="([^"]+)" level=(\w+) msg=(".*"|\S+)$/gm)].map(([, time = "", level, message = ""]) => {
    expect(Number.isNaN(Date.parse(time))).toBe(false);
    return `${level}: ${message.startsWith('"') ? JSON.parse(message) : message}`;
  });

describe("flags", () => {
  const FLAGS: Flag[] = [
    ["bundle, b", "text", ""],
    ["env, e", "list", ""],
    ["tty, t", "flag", ""],
    ["preserve-fds", "number", ""],
  ];
  const parse = (words: string, stopAtFirst = false) => {
    const { values, args } = parseFlags(words.split(" "), FLAGS, stopAtFirst);
    return [
      values.text("bundle"),
      values.list("env").join(),
      values.flag("tty"),
      values.number("preserve-fds"),
      args.join(" "),
    ];
  };
  test.each([
    ["--bundle /b id", ["/b", "", false, undefined, "id"]],
    ["--bundle=/b id", ["/b", "", false, undefined, "id"]],
    ["-b /b id", ["/b", "", false, undefined, "id"]],
    ["-bundle /b id", ["/b", "", false, undefined, "id"]],
    ["--b=/b id", ["/b", "", false, undefined, "id"]],
    ["-b /a -b /b id", ["/b", "", false, undefined, "id"]],
    ["--bundle= id", [undefined, "", false, undefined, "id"]],
    ["--bundle=a=b id", ["a=b", "", false, undefined, "id"]],
    ["--bundle --tty id", ["--tty", "", false, undefined, "id"]],
    ["id -t --env A=1 -e B=2", [undefined, "A=1,B=2", true, undefined, "id"]],
    ["--tty=false id", [undefined, "", false, undefined, "id"]],
    ["-t=T id", [undefined, "", true, undefined, "id"]],
    ["--preserve-fds 3 id", [undefined, "", false, 3, "id"]],
    ["--preserve-fds=-1 id", [undefined, "", false, -1, "id"]],
    ["-t -- -t id", [undefined, "", true, undefined, "-t id"]],
    ["- id", [undefined, "", false, undefined, "- id"]],
  ])("%s", (words, expected) => expect(parse(words)).toEqual(expected));

  test("behind the first argument belong to the command, where there is one", () => {
    expect(parse("-t id -t --nope -- x", true)).toEqual([undefined, "", true, undefined, "id -t --nope -- x"]);
  });

  test.each([
    ["--nope id", "flag provided but not defined: -nope"],
    ["-tb id", "flag provided but not defined: -tb"],
    ["--constructor id", "flag provided but not defined: -constructor"],
    ["id --bundle", "flag needs an argument: --bundle"],
    ["--tty=maybe id", 'invalid value "maybe" for flag -tty: true or false'],
    ["--preserve-fds x id", 'invalid value "x" for flag -preserve-fds: not a number'],
    ["--preserve-fds= id", 'invalid value "" for flag -preserve-fds: not a number'],
  ])("%s is refused", (words, why) => expect(() => parse(words)).toThrow(why));

  // github.com/opencontainers/runc, main.go and its neighbours
  test.each([
    ["create", "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds"],
    [
      "run",
      "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds detach d keep no-subreaper",
    ],
    ["start", ""],
    ["state", ""],
    ["kill", "all a"],
    ["delete", "force f"],
    [
      "exec",
      "console-socket pidfd-socket cwd env e tty t user u additional-gids g process p detach d pid-file process-label apparmor no-new-privs cap c preserve-fds cgroup ignore-paused",
    ],
    ["ps", "format f"],
    ["list", "format f quiet q"],
    ["pause", ""],
    ["resume", ""],
    ["events", "interval stats"],
    ["spec", "bundle b rootless"],
    ["features", ""],
    [
      "update",
      "resources r blkio-weight cpu-period cpu-quota cpu-burst cpu-share cpu-rt-period cpu-rt-runtime cpuset-cpus cpuset-mems kernel-memory kernel-memory-tcp memory cpu-idle memory-reservation memory-swap pids-limit l3-cache-schema mem-bw-schema",
    ],
  ])("%s has runc's", (verb, flags) => {
    const ours = VERBS[verb]?.flags.flatMap(([names]) => names.split(", ")) ?? [];
    expect(ours.toSorted()).toEqual(flags.split(" ").filter(Boolean).toSorted());
  });
});

describe("help", () => {
  const help = (program: string, name: string) => `NAME:\n   ${program} ${name} - `;

  test.each([[[]], [["-h"]], [["--help"]], [["help"]], [["h"]]])("%j is of all", (words) => {
    const { status, stdout, stderr } = ociAs({}, ...words);
    expect([status, stderr]).toEqual([0, ""]);
    // what is looked for by suites of others, too
    expect(stdout.split("\n")[1]).toBe("   tsbox-oci, in place of runc - Open Container Initiative runtime");
    for (const verb of Object.keys(VERBS)) expect(stdout).toContain(`\n   ${verb} `);
  });

  test.each(Object.keys(VERBS))("of %s", (verb) => {
    for (const words of [
      [verb, "-h"],
      [verb, "--help"],
      ["help", verb],
      ["-h", verb],
    ]) {
      const { status, stdout, stderr } = ociAs({}, ...words);
      expect([status, stderr, stdout]).toEqual([0, "", expect.stringContaining(help("tsbox-oci", verb))]);
    }
  });

  test("of what there is not", () => {
    for (const words of [["foo", "-h"], ["foo"], ["help", "foo"], ["constructor"]]) {
      const { status, stderr } = ociAs({}, ...words);
      expect([status, messages(stderr)]).toEqual([
        1,
        [`error: No help topic for '${words.at(words[0] === "help" ? 1 : 0)}'`],
      ]);
    }
  });

  test("is that of tsbox oci under that name, and tsbox's own lists it", () => {
    const run = (...words: string[]) => Bun.spawnSync([process.execPath, MAIN, ...words]).stdout.toString();
    expect(run("oci", "kill", "--help")).toContain(help("tsbox oci", "kill"));
    expect(run("--help")).toContain("\n  oci ");
  });
});

describe("the version", () => {
  test.each(["--version", "-v"])("%s is read by engines", (flag) => {
    const { status, stdout, stderr } = ociAs({}, flag);
    expect([status, stderr]).toEqual([0, ""]);
    const [first = "", commit, spec] = stdout.split("\n");
    // Docker: what is behind the last "version", and the line of the commit
    expect(first.split("version").at(-1)?.trim()).toBe(version);
    expect(commit).toMatch(/^commit: \S+$/);
    expect(spec).toMatch(/^spec: \d+\.\d+\.\d+$/);
    // runc's own suite
    expect(first).toMatch(/runc version [0-9]+\.[0-9]+\.[0-9]+/);
  });
});

describe("messages", () => {
  test("go to stderr as text, and the exit status is 1", () => {
    const { status, stdout, stderr } = oci("state", "c");
    expect([status, stdout, messages(stderr)]).toEqual([
      1,
      "",
      ['error: find container "c": container does not exist'],
    ]);
    expect(stderr.split("\n").length).toBe(2);
  });

  test("go to a file as JSON, and to stderr as they are", () => {
    const log = join(folder.path, "log.json");
    writeFileSync(log, '{"before":1}\n');
    const before = Date.now();
    const { status, stderr } = oci("--log", log, "--log-format", "json", "kill", "c");
    expect([status, stderr]).toEqual([1, 'find container "c": container does not exist\n']);
    const [, line = ""] = readFileSync(log, "utf8").split("\n");
    const { time, ...rest } = JSON.parse(line);
    expect(rest).toEqual({ level: "error", msg: 'find container "c": container does not exist' });
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(Date.parse(time)).toBeWithin(before - 2000, Date.now() + 1000);
  });

  test("go to a file as text; it is made, also where there is nothing to tell", () => {
    const log = join(folder.path, "log.txt");
    expect(oci("--log", log, "--log-format", "text", "delete", "--force", "c").status).toBe(0);
    expect(readFileSync(log, "utf8")).toBe("");
    oci("--log", log, "pause", "c");
    expect(messages(readFileSync(log, "utf8"))).toEqual(['error: find container "c": container does not exist']);
  });

  test("of what goes wrong before anything is known", () => {
    const file = join(folder.path, "no/such/folder/log");
    expect(messages(oci("--log", file, "list").stderr)).toEqual([`error: open "${file}": no such file or directory`]);
    expect(messages(oci("--log-format", "xml", "list").stderr)).toEqual(["error: invalid log-format: xml"]);
    expect(messages(oci("--nope", "list").stderr)).toEqual(["error: flag provided but not defined: -nope"]);
  });

  test.each([
    [["state"], 'tsbox-oci: "state" requires exactly 1 argument(s)'],
    [["create", "a", "b"], 'tsbox-oci: "create" requires exactly 1 argument(s)'],
    [["list", "a"], 'tsbox-oci: "list" requires exactly 0 argument(s)'],
    [["kill"], 'tsbox-oci: "kill" requires a minimum of 1 argument(s)'],
    [["kill", "a", "9", "b"], 'tsbox-oci: "kill" requires a maximum of 2 argument(s)'],
    [["ps"], 'tsbox-oci: "ps" requires a minimum of 1 argument(s)'],
    [["list", "--format", "xml"], 'invalid format option "xml": "table" or "json"'],
    [["ps", "--format", "xml", "c"], 'invalid format option "xml": "table" or "json"'],
    [["kill", "c", "NOPE"], 'unknown signal "NOPE"'],
    [["kill", "c", "65"], "unknown signal 65: 0 to 64"],
    [
      ["start", "../c"],
      'use the name "../c": invalid container ID format: invalid character "/" (letters, digits, "_", "+", "-", and "." unless it is the first; at most 1024)',
    ],
    [["create", "--preserve-fds=-1", "c"], 'invalid value "-1" for flag -preserve-fds: negative'],
    [
      ["events", "--interval", "0s", "c"],
      'invalid value "0s" for flag -interval: a duration above 0, such as "500ms", "5s"',
    ],
    [
      ["events", "--interval", "5", "c"],
      'invalid value "5" for flag -interval: a duration above 0, such as "500ms", "5s"',
    ],
    [["events", "c"], 'find container "c": container does not exist'],
    [["update", "--cpu-quota", "much", "c"], 'invalid value for cpu-quota: "much" is not a whole number'],
    [["update", "--pids-limit", "1.5", "c"], 'invalid value "1.5" for flag -pids-limit: not a number'],
    [
      ["update", "--memory", "1x", "c"],
      'invalid value for memory: "1x" is no size: a number of bytes, or with a unit, "64m"',
    ],
    [["update", "--resources", "/no/such/file", "c"], 'open "/no/such/file": no such file or directory'],
    [["spec", "--bundle", "/no/such/bundle"], 'open "/no/such/bundle/config.json": no such file or directory'],
    [["checkpoint", "--image-path", "x", "--leave-running", "c"], "checkpoint and restore are not supported"],
    [["restore", "c"], "checkpoint and restore are not supported"],
    [["--rootless", "maybe", "list"], 'invalid value "maybe" for flag -rootless: true, false or auto'],
    [
      ["--cgroup-manager", "none", "list"],
      'invalid value "none" for flag -cgroup-manager: cgroupfs, systemd or disabled',
    ],
  ])("%j", (words, why) => {
    const { status, stdout, stderr } = oci(...words);
    expect([status, stdout, messages(stderr)]).toEqual([1, "", [`error: ${why}`]]);
  });

  test.each([
    [["exec", "c"], "exec args cannot be empty"],
    [["exec", "c", "true"], 'find container "c": container does not exist'],
    [["exec", "--user", "root", "c", "true"], 'invalid value "root" for flag -user: 0 to 4294967294'],
    [["exec", "--user", "1:x", "c", "true"], 'invalid value "x" for flag -user: 0 to 4294967294'],
    [["exec", "-g", "-1", "c", "true"], 'invalid value "-1" for flag -additional-gids: 0 to 4294967294'],
    [["exec", "--cgroup", ":x", "c", "true"], "invalid --cgroup argument: :x (empty <controller> prefix)"],
    [
      ["exec", "--cgroup", "a:x", "--cgroup", "b", "c", "true"],
      "invalid --cgroup argument: b (missing <controller>: prefix)",
    ],
    [
      ["exec", "--cgroup", "a,b:x", "--cgroup", "b:y", "c", "true"],
      "invalid --cgroup argument(s): controller b specified multiple times",
    ],
  ])("%j: 255 is no status of the command's", (words, why) => {
    const { status, stderr } = oci(...words);
    expect([status, messages(stderr)]).toEqual([255, [`error: ${why}`]]);
  });

  test("have the words that engines look for, and are one line", () => {
    expect(explain(systemError('execute "x"', "execve", 2))).toBe("exec x: no such file or directory");
    expect(explain(systemError('execute "x"', "execve", 13))).toBe("exec x: permission denied");
    expect(explain(new TsboxError("a: b", { code: "system", hint: "c" }))).toBe("a: b (c)");
    expect(explain(new TypeError("x is not a function"))).toMatch(
      /^internal error, a bug in tsbox: TypeError.*[^\n]*$/,
    );
    expect(explain(new RangeError("x")).includes("\n")).toBe(false);
  });
});

describe("the root", () => {
  test("may not be all of the file system", () => {
    for (const root of ["/", "", ".", "../../.."]) {
      expect(messages(ociAs({}, "--root", root, "list").stderr)).toEqual([
        "error: option --root argument should not be set to /",
      ]);
    }
  });

  test("may be relative, and has to be there where it was named", () => {
    recorded(runtime, "c");
    expect(ociAs({ cwd: folder.path }, "--root", "root", "list", "-q").stdout).toBe("c\n");
    const { status, stderr } = ociAs({}, "--root", "/no/such/root", "list");
    expect([status, messages(stderr)]).toEqual([
      1,
      ['error: list the containers in "/no/such/root": no such file or directory'],
    ]);
  });

  test("is root's own, or in XDG_RUNTIME_DIR for others", () => {
    const own = folder.directory("xdg");
    const { status, stdout } = ociAs({ env: { XDG_RUNTIME_DIR: own } }, "list");
    expect([status, stdout]).toEqual([0, "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"]);
    expect(existsSync(join(own, "tsbox-oci"))).toBe(false);
    if (process.getuid?.() === 0) return;
    recorded({ ...runtime, root: join(own, "tsbox-oci") }, "mine");
    expect(ociAs({ env: { XDG_RUNTIME_DIR: own } }, "list", "-q").stdout).toBe("mine\n");
  });
});

describe("update reads", () => {
  const resources = (...words: string[]) => resourcesOf(parseFlags(words, VERBS["update"]?.flags ?? [], false).values);

  test.each<[string, unknown]>([
    ["--memory 64m", { memory: { limit: 64 * 1024 ** 2 } }],
    ["--memory=1.5G --memory-swap -1", { memory: { limit: 1.5 * 1024 ** 3, swap: -1 } }],
    ["--memory-reservation 1048576", { memory: { reservation: 1048576 } }],
    ["--kernel-memory 10KiB --kernel-memory-tcp 1b", { memory: { kernel: 10240, kernelTCP: 1 } }],
    [
      "--cpu-period 1000 --cpu-quota -1 --cpu-burst 5 --cpu-share 2",
      { cpu: { period: 1000, quota: -1, burst: 5, shares: 2 } },
    ],
    [
      "--cpu-rt-period 10 --cpu-rt-runtime 5 --cpu-idle 1",
      { cpu: { realtimePeriod: 10, realtimeRuntime: 5, idle: 1 } },
    ],
    ["--cpuset-cpus 0-2,5 --cpuset-mems 0", { cpu: { cpus: "0-2,5", mems: "0" } }],
    ["--pids-limit -1 --blkio-weight 500", { pids: { limit: -1 }, blockIO: { weight: 500 } }],
    ["--memory=", {}],
  ])("%s", (words, expected) => expect(resources(...words.split(" ")) as unknown).toEqual(expected));

  test("a file, or stdin, and says where it is wrong", () => {
    recorded(runtime, "c");
    const file = folder.write("resources.json", '{"pids":{"limit":"many"}}');
    const wrong = 'error: read the resources: pids.limit: "many" is not';
    for (const [stdin, name] of [
      ["", file],
      [readFileSync(file, "utf8"), "-"],
    ] as const) {
      const { status, stderr } = ociAs({ stdin }, "--root", runtime.root, "update", "--resources", name, "c");
      expect([status, messages(stderr)]).toEqual([1, [expect.stringContaining(wrong)]]);
    }
  });
});

describe("spec and features", () => {
  test("spec writes a config.json, and does not write over one", () => {
    const bundle = folder.directory("spec");
    expect(ociAs({ cwd: bundle }, "spec")).toEqual({ status: 0, stdout: "", stderr: "" });
    const text = readFileSync(join(bundle, "config.json"), "utf8");
    expect(parseConfig(text)).toMatchObject({ spec: { process: { args: ["sh"] } }, warnings: [] });
    const { status, stderr } = ociAs({}, "spec", "--bundle", bundle, "--rootless");
    expect([status, messages(stderr)]).toEqual([
      1,
      ["error: write config.json: File config.json exists. Remove it first"],
    ]);
    expect(readFileSync(join(bundle, "config.json"), "utf8")).toBe(text);
  });

  test("spec --rootless maps the caller", () => {
    const bundle = folder.directory("rootless");
    expect(ociAs({}, "spec", "-b", bundle, "--rootless").status).toBe(0);
    const { linux } = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
    expect(linux.uidMappings).toEqual([{ containerID: 0, hostID: process.getuid?.(), size: 1 }]);
    expect(linux.namespaces).toContainEqual({ type: "user" });
  });

  test("features are JSON", () => {
    const { status, stdout, stderr } = ociAs({}, "features");
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ ociVersionMin: "1.0.0", hooks: expect.arrayContaining(["poststop"]) });
  });
});

describe("verbs of a container", () => {
  test("state and list print it", () => {
    recorded(runtime, "c", { annotations: { a: "b" } });
    recorded(runtime, "a-longer-name", { pidStartTime: "1" });
    const c = {
      ociVersion: "1.2.0",
      id: "c",
      pid: process.pid,
      status: "running",
      bundle: "/bundle",
      rootfs: "/bundle/rootfs",
      created: "2026-01-02T03:04:05.678901234Z",
      annotations: { a: "b" },
      owner: Bun.spawnSync(["id", "-un"]).stdout.toString().trim(),
    };
    expect(JSON.parse(oci("state", "c").stdout)).toEqual(c);
    const { annotations, ...other } = { ...c, id: "a-longer-name", pid: 0, status: "stopped" };
    expect([annotations, oci("list", "--format", "json").stdout]).toEqual([
      { a: "b" },
      `${JSON.stringify([other, c])}\n`,
    ]);
    expect(oci("list", "-q").stdout).toBe("a-longer-name\nc\n");
    const { ID, row } = /^(?<ID>ID .*OWNER)\n(?<row>a-.*)\nc .*\n$/.exec(oci("list").stdout)?.groups ?? {};
    expect(ID?.split(/ +/)).toEqual(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    expect(row?.split(/ +/)).toEqual(["a-longer-name", "0", "stopped", "/bundle", c.created, c.owner]);
    expect(row?.indexOf("stopped")).toBe(ID?.indexOf("STATUS"));
  });

  test("kill sends a signal, by name or number", async () => {
    for (const [word, name] of [
      ["USR1", "SIGUSR1"],
      ["sigterm", "SIGTERM"],
      ["9", "SIGKILL"],
      [undefined, "SIGTERM"],
    ]) {
      const child = Bun.spawn(["sleep", "60"]);
      recorded(runtime, "c", { pid: child.pid, pidStartTime: startTimeOf(child.pid) as string });
      expect(oci("kill", "c", "0").status).toBe(0);
      expect(child.exitCode).toBe(null);
      expect(oci("kill", "c", ...(word === undefined ? [] : [word]))).toEqual({ status: 0, stdout: "", stderr: "" });
      await child.exited;
      expect(child.signalCode).toBe(name as NodeJS.Signals);
      expect(oci("delete", "c").status).toBe(0);
    }
  });

  test("of one that has stopped", () => {
    recorded(runtime, "c", { pidStartTime: "1" });
    const of = (...words: string[]) => [oci(...words)].map(({ status, stderr }) => [status, ...messages(stderr)])[0];
    expect(of("kill", "c", "KILL")).toEqual([1, 'error: kill container "c": container not running']);
    expect(of("kill", "--all", "c", "KILL")).toEqual([0]);
    expect(of("start", "c")).toEqual([1, 'error: start container "c": cannot start a container that has stopped']);
    expect(of("pause", "c")).toEqual([1, 'error: pause container "c": container not running']);
    expect(of("resume", "c")).toEqual([1, 'error: resume container "c": container not paused']);
    expect(of("ps", "--format", "json", "c")).toEqual([0]);
    expect(of("delete", "c")).toEqual([0]);
    expect(of("delete", "c")).toEqual([1, 'error: find container "c": container does not exist']);
  });

  test("of one that runs", () => {
    const child = Bun.spawn(["sleep", "60"]);
    recorded(runtime, "c", { pid: child.pid, pidStartTime: startTimeOf(child.pid) as string });
    expect(messages(oci("start", "c").stderr)).toEqual([
      'error: start container "c": cannot start an already running container',
    ]);
    expect(messages(oci("delete", "c").stderr)).toEqual([
      'error: delete container "c": cannot delete container c that is not stopped: running (kill it first, or delete --force)',
    ]);
    expect(oci("delete", "-f", "c")).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("one that cannot be read is told of, and the others are listed", () => {
    recorded(runtime, "bad");
    recorded(runtime, "good");
    writeFileSync(join(runtime.root, "bad/state.json"), "{");
    const { status, stdout, stderr } = oci("list", "-q");
    expect([status, stdout, messages(stderr)]).toEqual([
      0,
      "good\n",
      ['warning: leave out container "bad": read the state of container "bad": it is no JSON; it may be cut short'],
    ]);
    expect(oci("delete", "bad").status).toBe(1);
    expect(oci("delete", "--force", "bad").status).toBe(0);
    expect(oci("list", "-q")).toEqual({ status: 0, stdout: "good\n", stderr: "" });
  });
});
