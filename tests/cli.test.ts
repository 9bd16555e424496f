/** The `tsbox` command from outside: exit statuses, stdio, signals, errors and hints. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../package.json" with { type: "json" };

const ROOT = join(import.meta.dir, "..");
const FROM_SOURCE = [process.execPath, join(ROOT, "lib/cli/main.ts")];
const BINARY = join(ROOT, "dist/tsbox");
const asRoot = process.getuid?.() === 0;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tsbox-cli-"));
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "data/file"), "from the host\n");
  writeFileSync(join(folder, "data/latin1.env"), Buffer.from("NAME=caf\xe9\n", "latin1"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

function tsboxAs(program: string[], words: string[], options: { stdin?: string; env?: Record<string, string> } = {}) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...program, ...words], {
    cwd: folder,
    env: { PATH: process.env["PATH"], TSBOX_ROOT: join(folder, "store"), ...options.env },
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() } satisfies Ended;
}
const tsbox = (...words: string[]) => tsboxAs(FROM_SOURCE, words);
const HOST = ["run", "--rootfs", "host"];
const run = (...words: string[]) => tsbox(...HOST, ...words);

/** A shell line whose stdin, stdout and processes are its own; `$tsbox` is the command. */
function shell(line: string): Ended {
  const quoted = FROM_SOURCE.map((word) => `'${word}'`).join(" ");
  const script = `tsbox() { ${quoted} "$@"; }; ${line}`;
  return tsboxAs(["bash", "-c", script], []);
}

/** Runs where the reason is undefined; elsewhere it is reported as skipped, with the reason. */
function testUnless(reason: string | undefined, name: string, body: () => void | Promise<void>): void {
  test.skipIf(reason !== undefined)(reason === undefined ? name : `${name} (skipped: ${reason})`, body);
}
const userNamespaces = asRoot || Bun.spawnSync(["unshare", "--user", "true"]).exitCode === 0;
const noSandbox = userNamespaces ? undefined : "this user may not make user namespaces";
const noLimits = asRoot || process.env["TSBOX_GUEST"] ? noSandbox : "limits need root or a delegated cgroup";
const noBusybox = noSandbox ?? (existsSync("/bin/busybox") ? undefined : "busybox-static is not installed");
const sandboxTest = (name: string, body: () => void | Promise<void>) => testUnless(noSandbox, name, body);

describe("help and usage", () => {
  test("--version is the package's", () => {
    expect(tsbox("--version")).toEqual({ status: 0, stdout: `tsbox ${version}\n`, stderr: "" });
  });
  test("version names what a report of a problem needs", () => {
    const { status, stdout } = tsbox("version");
    expect([status, stdout.split("\n").map((line) => line.split(" ")[0])]).toEqual([
      0,
      ["tsbox", "bun", "linux", "architecture", ""],
    ]);
    expect(JSON.parse(tsbox("version", "--json").stdout)).toMatchObject({ tsbox: version, bun: Bun.version });
  });
  test("version and info have templates, as scripts ask Docker", () => {
    expect(tsbox("version", "--format", "{{.Server.Version}}").stdout).toBe(`${version}\n`);
    expect(JSON.parse(tsbox("version", "-f", "json").stdout)).toMatchObject({ Client: { Os: "linux" } });
    const root = join(folder, "of-info");
    const info = (...words: string[]) => tsbox("--root", root, ...words);
    const format = "{{.Containers}} {{.OSType}} {{.NCPU}} {{.DockerRootDir}}";
    const asked = info("info", "-f", format);
    expect(asked).toEqual({ status: 0, stdout: `0 linux ${cpus().length} ${root}\n`, stderr: "" });
    expect(JSON.parse(info("system", "info", "--format", "json").stdout)).toMatchObject({ ServerVersion: version });
    expect(info("info").stdout).toContain("\nImages: 0\n");
    expect(info("info", "-f", "{{.No}}")).toMatchObject({ status: 1, stdout: "" });
  });
  test.each([[[]], [["--help"]], [["-h"]], [["help"]]])("tsbox %j lists the commands", (words) => {
    const { status, stdout, stderr } = tsbox(...words);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("Run a command in a sandbox of its own, or in a container");
  });
  test.each([[["run", "--help"]], [["help", "run"]], [["plan", "run", "--help"]]])("tsbox %j explains", (words) => {
    const { status, stdout, stderr } = tsbox(...words);
    expect([status, stderr]).toEqual([0, ""]);
    for (const part of ["[FLAGS] IMAGE [COMMAND] [ARG...]", "Limits:\n", "-m, --memory <SIZE>", "Examples:"]) {
      expect(stdout).toContain(part);
    }
    expect(stdout.replace("--no-healthcheck", "")).not.toContain("--no-");
    expect(stdout.split("\n").filter((line) => line.length > 90)).toEqual([]);
  });
  test.each([
    [["run", "--memroy", "1g", "true"], 'unknown option "--memroy"', "did you mean --memory?"],
    [["run", "--gpus", "all", "true"], "use --gpus: there is no toolkit of a maker", "--device /dev/dri/card0"],
    [["create", "--cpu-count=1", "alpine"], "use --cpu-count: that is for Windows", "leave it out"],
    [["run", "--isolation=x", "alpine"], 'use --isolation "x": there is one way, "default"', "leave it out"],
    [["pull", "--disable-content-trust", "debian"], "use --disable-content-trust: signatures", "digests"],
    [["images", "--tree"], "use --tree: an image is for one platform here", "leave it out"],
    [["rm", "-l", "web"], "use -l: links between containers are not supported", "--network NAME for both"],
  ])("tsbox %j is a mistake", (words, message, hint) => {
    const { status, stdout, stderr } = tsbox(...words);
    expect([status, stdout]).toEqual([125, ""]);
    expect(stderr).toStartWith(`tsbox: ${message}`);
    expect(stderr).toMatch(/^tsbox: .+\n {2}hint: .+\n$/);
    expect(stderr).toContain(hint);
  });
  test.each([
    [["rnu"], 'unknown command "rnu"', "did you mean run?"],
    [["frobnicate"], 'unknown command "frobnicate"', 'see "tsbox --help"'],
    [["plan", "rum"], 'unknown command "rum"', "did you mean run?"],
    [["compose", "up"], 'run the command "compose": files of compose are not understood yet', "tsbox run -d"],
    [["buildx", "build", "."], 'run the command "buildx": there is one builder', "tsbox build"],
    [["run"], 'missing required argument "IMAGE"', 'see "tsbox run --help"'],
    [["exec", "web"], 'missing required argument "COMMAND"', 'see "tsbox exec --help"'],
    [["ps", "web"], 'too many arguments for "ps"', 'see "tsbox ps --help"'],
  ])("tsbox %j has a word too many or too few, and exits with 1, as Docker", (words, message, hint) => {
    const { status, stdout, stderr } = tsbox(...words);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toStartWith(`tsbox: ${message}`);
    expect(stderr).toContain(hint);
  });
  test("a group of commands without one of them prints its help", () => {
    const { status, stdout, stderr } = tsbox("volume");
    expect([status, (stdout + stderr).split("\n")[0]]).toEqual([0, "Usage: tsbox volume COMMAND"]);
  });
});

describe("exit status", () => {
  sandboxTest("is the command's own", () => {
    expect(run("true")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(run("sh", "-c", "exit 7").status).toBe(7);
  });
  sandboxTest("is 128 + N where signal N killed it", () => {
    expect(run("sh", "-c", "kill -KILL $$").status).toBe(137);
    expect(run("sh", "-c", "kill -TERM $$").status).toBe(143);
  });
  sandboxTest("is 127 where the command is not found", () => {
    const { status, stderr } = run("no-such-command");
    expect(status).toBe(127);
    expect(stderr).toMatch(/^tsbox: .*"no-such-command".*\n {2}hint: .+\n$/);
  });
  sandboxTest("is 126 where it cannot be executed", () => {
    const { status, stderr } = run("/etc/passwd");
    expect(status).toBe(126);
    expect(stderr).toMatch(/^tsbox: .*"\/etc\/passwd".*EACCES\n {2}hint: .+\n$/);
  });
  test.each([
    [["--rootfs", "/no/such/directory"], "/no/such/directory"],
    [["--mount", "type=bind,src=/no/such/source,dst=/data"], "/no/such/source"],
    [["-m", "lots"], "lots"],
    [["-w", "relative"], "relative"],
    [["--stop-signal", "SIGNOPE"], "SIGNOPE"],
    [["--env-file", "data/latin1.env"], "data/latin1.env"],
    [["--ulimit", "bogus=1"], "bogus"],
  ])("is 125 where tsbox fails: %j", (flags, named) => {
    const { status, stdout, stderr } = run(...flags, "true");
    expect([status, stdout]).toEqual([125, ""]);
    expect(stderr).toStartWith("tsbox: ");
    expect(stderr).toContain(`"${named}"`);
    expect(stderr).not.toContain("    at ");
  });
  sandboxTest("is 124 after --timeout", () => {
    const started = performance.now();
    const { status, stdout, stderr } = run("--timeout", "300ms", "sh", "-c", "echo before; sleep 30");
    expect({ status, stdout, stderr }).toEqual({
      status: 124,
      stdout: "before\n",
      stderr: "tsbox: killed after 300ms (--timeout)\n",
    });
    expect(performance.now() - started).toBeLessThan(10_000);
  });
  testUnless(noLimits, "is 137 where it ran out of memory", () => {
    const { status, stderr } = run("-m", "32m", "sh", "-c", "exec tail /dev/zero");
    expect([status, stderr]).toEqual([137, "tsbox: out of memory (-m 32m)\n"]);
  });
});

describe("stdio", () => {
  sandboxTest("stdout and stderr are tsbox's own", () => {
    const ended = run("sh", "-c", "echo out; echo err >&2");
    expect(ended).toEqual({ status: 0, stdout: "out\n", stderr: "err\n" });
  });
  sandboxTest("stdin is connected by -i, and is empty otherwise", () => {
    expect(tsboxAs(FROM_SOURCE, [...HOST, "-i", "cat"], { stdin: "in" }).stdout).toBe("in");
    expect(tsboxAs(FROM_SOURCE, [...HOST, "cat"], { stdin: "in" }).stdout).toBe("");
  });
  sandboxTest("a reader that stops ends the command, as it would outside", () => {
    const { stdout, stderr } = shell(`tsbox run --rootfs host yes | head -n 1; echo "\${PIPESTATUS[0]}"`);
    expect([stdout, stderr]).toEqual(["y\n141\n", ""]);
  });
  sandboxTest("a large output arrives whole", () => {
    expect(run("head", "-c", "3000000", "/dev/zero").stdout.length).toBe(3_000_000);
  });
});

/** Starts a command, waits until it says "ready", sends the signal to tsbox. */
async function signalled(signal: NodeJS.Signals, script: string, ...flags: string[]): Promise<Ended> {
  const child = Bun.spawn([...FROM_SOURCE, ...HOST, ...flags, "sh", "-c", script], { stdout: "pipe", stderr: "pipe" });
  let stdout = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    stdout += decoder.decode(chunk, { stream: true });
    if (stdout === "ready\n") child.kill(signal);
  }
  return { status: await child.exited, stdout, stderr: await new Response(child.stderr).text() };
}

describe("signals", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const) {
    sandboxTest(`${signal} reaches the command`, async () => {
      const script = `trap 'echo got; exit 3' ${signal.slice(3)}; echo ready; while :; do sleep 0.02; done`;
      expect(await signalled(signal, script)).toEqual({ status: 3, stdout: "ready\ngot\n", stderr: "" });
    });
  }
  sandboxTest("with --sig-proxy=false it ends tsbox, and the command with it", async () => {
    const script = "trap 'echo got' TERM; echo ready; while :; do sleep 0.02; done";
    expect(await signalled("SIGTERM", script, "--sig-proxy=false")).toEqual({
      status: 143,
      stdout: "ready\n",
      stderr: "",
    });
  });
  sandboxTest("SIGTERM is passed on as --stop-signal", async () => {
    const script = "trap 'echo got; exit 3' INT; trap 'echo wrong' TERM; echo ready; while :; do sleep 0.02; done";
    const ended = await signalled("SIGTERM", script, "--stop-signal", "SIGINT");
    expect(ended).toEqual({ status: 3, stdout: "ready\ngot\n", stderr: "" });
  });
  sandboxTest("what it does not stop is killed after --stop-timeout", async () => {
    const script = "trap 'echo still here' TERM; echo ready; while :; do sleep 0.02; done";
    const ended = await signalled("SIGTERM", script, "--stop-timeout", "1");
    expect(ended).toEqual({ status: 137, stdout: "ready\nstill here\n", stderr: "" });
  });
  sandboxTest("each one that comes is passed on, also the second of a kind", async () => {
    const script = "trap 'echo got; trap \"exit 4\" INT' INT; echo ready; while :; do sleep 0.02; done";
    const child = Bun.spawn([...FROM_SOURCE, ...HOST, "sh", "-c", script], { stdout: "pipe" });
    for await (const _ of child.stdout) child.kill("SIGINT");
    expect(await child.exited).toBe(4);
  });
  sandboxTest("a command that does not handle it dies of it", async () => {
    expect(await signalled("SIGTERM", "echo ready; exec sleep 30")).toMatchObject({ status: 143, stdout: "ready\n" });
  });
  sandboxTest("nothing is left when tsbox is killed", async () => {
    const mark = `30.${Math.floor(Math.random() * 1e9)}`;
    await signalled("SIGKILL", `echo ready; exec sleep ${mark}`);
    let left = true;
    for (let turn = 0; left && turn < 100; turn++) {
      left = processes().some((commandLine) => commandLine === `sleep\0${mark}\0`);
      await Bun.sleep(20);
    }
    expect(left).toBe(false);
  });
});

function processes(): string[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      return ""; // it has ended
    }
  });
}

describe("flags", () => {
  sandboxTest("-a connects what it names, and no other stream", () => {
    const script = "read word; echo out $word; echo err >&2";
    const attached = (...flags: string[]) =>
      tsboxAs(FROM_SOURCE, [...HOST, ...flags, "sh", "-c", script], { stdin: "in" });
    expect(attached("-a", "stdout")).toMatchObject({ stdout: "out\n", stderr: "" });
    expect(attached("-a", "stdin", "-a", "stderr")).toMatchObject({ stdout: "", stderr: "err\n" });
    expect(attached("-a=STDIN", "-a=STDOUT")).toMatchObject({ stdout: "out in\n", stderr: "" });
  });
  sandboxTest("-e and --env-file make the environment, and nothing else of the caller's is in it", () => {
    writeFileSync(join(folder, "some.env"), "# comment\nFILE=yes\nBOTH=file\n");
    const words = [...HOST, "-e", "A=1", "-eTAKEN", "-e", "BOTH=flag", "--env-file", "some.env", "env"];
    const { stdout } = tsboxAs(FROM_SOURCE, words, { env: { TAKEN: "taken", SECRET: "secret" } });
    const lines = stdout.trim().split("\n");
    expect(lines).toContain("A=1");
    expect(lines).toContain("TAKEN=taken");
    expect(lines).toContain("FILE=yes");
    expect(lines).toContain("BOTH=flag");
    expect(stdout).not.toContain("SECRET");
  });
  sandboxTest("-v mounts a directory, relative paths as well, and :ro keeps it as it is", () => {
    expect(run("-v", `${folder}/data:/data`, "sh", "-c", "cat /data/file; echo new > /data/new").stdout).toBe(
      "from the host\n",
    );
    expect(readFileSync(join(folder, "data/new"), "utf8")).toBe("new\n");
    const { status, stdout, stderr } = run("-v", "./data:/data:ro", "sh", "-c", "cat /data/new; echo x > /data/file");
    expect([status === 0, stdout]).toEqual([false, "new\n"]);
    expect(stderr).toContain("Read-only file system");
    expect(readFileSync(join(folder, "data/file"), "utf8")).toBe("from the host\n");
  });
  sandboxTest("--tmpfs mounts a filesystem in memory of that size", () => {
    const { stdout } = run("--tmpfs", "/scratch:size=1m,mode=750", "sh", "-c", "stat -c %a /scratch; df -k /scratch");
    expect(stdout).toMatch(/^750\n[^]*\n\S+ +1024 /);
  });
  sandboxTest("-w, -h and -u set directory, host name and user", () => {
    const { stdout } = run("-w", "/tmp", "-h", "box", "-u", "1000:1000", "sh", "-c", "pwd; hostname; id -u; id -g");
    expect(stdout).toBe("/tmp\nbox\n1000\n1000\n");
  });
  sandboxTest("--ulimit sets soft and hard limit", () => {
    expect(run("--ulimit", "nofile=100:200", "bash", "-c", "ulimit -Sn; ulimit -Hn").stdout).toBe("100\n200\n");
  });
  sandboxTest("--network none leaves the loopback interface only", () => {
    const { stdout } = run("--network", "none", "cat", "/proc/net/dev");
    const names = stdout
      .split("\n")
      .slice(2)
      .filter(Boolean)
      .map((line) => line.split(":")[0]?.trim() ?? "");
    expect(names).toContain("lo");
    // some kernels make these in every namespace, down
    expect(names.filter((name) => !/^(lo|sit0|tunl0|ip\w*0|gre\w*0|erspan0)$/.test(name))).toEqual([]);
  });
  sandboxTest("--cap-drop ALL leaves no capability", () => {
    const { stdout } = run("--cap-drop", "ALL", "grep", "^Cap", "/proc/self/status");
    expect(stdout.match(/^Cap\w+:\t0+$/gm)?.length).toBe(5);
  });
  sandboxTest("--security-opt seccomp=unconfined takes the filter away", () => {
    expect(run("grep", "^Seccomp:", "/proc/self/status").stdout).toBe("Seccomp:\t2\n");
    const words = ["--security-opt", "seccomp=unconfined", "grep", "^Seccomp:", "/proc/self/status"];
    expect(run(...words).stdout).toBe("Seccomp:\t0\n");
  });
  testUnless(noBusybox, "--rootfs is a directory that stays as it is; --read-only forbids writing", () => {
    const rootfs = join(folder, "rootfs");
    mkdirSync(join(rootfs, "bin"), { recursive: true });
    copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
    symlinkSync("busybox", join(rootfs, "bin/sh"));
    const before = readdirSync(rootfs);
    const written = tsbox(
      "run",
      "--rootfs",
      "./rootfs",
      "sh",
      "-c",
      "echo inside > /file; read line < /file; echo $line",
    );
    expect(written).toEqual({ status: 0, stdout: "inside\n", stderr: "" });
    expect(readdirSync(rootfs)).toEqual(before);
    const refused = tsbox("run", "--rootfs", "./rootfs", "--read-only", "sh", "-c", "echo x > /file");
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain("Read-only file system");
  });
  sandboxTest("flags behind the command are the command's", () => {
    expect(run("--rm", "echo", "--rm", "-i", "--", "x").stdout).toBe("--rm -i -- x\n");
    expect(run("--", "echo", "-n", "x").stdout).toBe("x");
  });
});

describe("plan", () => {
  test("prints the calls, and runs nothing", () => {
    const words = ["plan", ...HOST, "-v", "./data:/data", "touch", "/data/touched"];
    const { status, stdout, stderr } = tsbox(...words);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("execve");
    expect(stdout).toContain("/data");
    expect(existsSync(join(folder, "data/touched"))).toBe(false);
  });
  test("--spec prints an OCI runtime spec", () => {
    const { status, stdout } = tsbox("plan", ...HOST, "--spec", "-h", "box", "echo", "--spec");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ hostname: "box", process: { args: ["echo", "--spec"], cwd: "/" } });
  });
  test("a reader that stops ends it; a full disk is an error", () => {
    expect(shell(`tsbox plan run --rootfs host true | true; echo "\${PIPESTATUS[0]}"`).stdout).toMatch(/^(141|0)\n$/);
    expect(shell("tsbox plan run --rootfs host true > /dev/full")).toEqual({
      status: 125,
      stdout: "",
      stderr: "tsbox: ENOSPC: no space left on device, write\n",
    });
  });
});

describe("dist/tsbox", () => {
  const missing = existsSync(BINARY)
    ? isStale()
      ? "dist/tsbox is older than its sources"
      : undefined
    : "not compiled";

  testUnless(missing, "does the same", () => {
    expect(tsboxAs([BINARY], ["--version"])).toEqual({ status: 0, stdout: `tsbox ${version}\n`, stderr: "" });
    expect(tsboxAs([BINARY], ["run", "--help"]).stdout).toBe(run("--help").stdout);
    expect(tsboxAs([BINARY], ["rnu"])).toEqual(tsbox("rnu"));
  });
  testUnless(missing, "reads no .env and no bunfig.toml", () => {
    const trap = join(folder, "trap");
    mkdirSync(trap);
    writeFileSync(join(trap, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    writeFileSync(join(trap, "preload.ts"), 'console.log("preloaded");\n');
    writeFileSync(join(trap, ".env"), "TRAP=sprung\n");
    const { stdout } = Bun.spawnSync([BINARY, "plan", ...HOST, "--spec", "-e", "TRAP", "true"], { cwd: trap });
    expect(stdout.toString()).toStartWith("{");
    expect(stdout.toString()).not.toContain("sprung");
  });
  /** What a variable makes of `tsbox plan run --spec true`, in a folder with a preload script. */
  function sprung(env: Record<string, string>, ...words: string[]): Ended {
    writeFileSync(join(folder, "sprung.ts"), 'console.log("sprung");\n');
    writeFileSync(join(folder, "sprung.toml"), 'preload = ["./sprung.ts"]\n');
    return tsboxAs([BINARY], words.length === 0 ? ["plan", ...HOST, "--spec", "true"] : words, { env });
  }
  const PRELOADS: Record<string, string>[] = [
    { BUN_OPTIONS: "--preload ./sprung.ts" },
    { BUN_OPTIONS: "-r ./sprung.ts" },
    { BUN_OPTIONS: "--import ./sprung.ts" },
    { BUN_OPTIONS: "--config=./sprung.toml" },
    { BUN_INSPECT_PRELOAD: "./sprung.ts" },
  ];
  for (const env of PRELOADS) {
    testUnless(missing, `${JSON.stringify(env)} brings no code into it`, () => {
      const { status, stdout, stderr } = sprung(env);
      expect(stdout + stderr).not.toContain("sprung");
      expect(status).not.toBe(0);
      // it would, were it not for the flags that are compiled in
      const asBun = sprung({ ...env, BUN_BE_BUN: "1" }, "-e", "0");
      expect([asBun.status, asBun.stdout]).toEqual([0, "sprung\n"]);
    });
  }
  testUnless(noSandbox ?? missing, "no variable opens an inspector", () => {
    const inspect = "127.0.0.1:0";
    expect(sprung({ BUN_INSPECT: inspect }).stderr).toContain("BUN_INSPECT cannot be used");
    const env = { BUN_OPTIONS: `--inspect=${inspect}` };
    expect(sprung(env, ...HOST, "sleep", "0.5")).toEqual({ status: 0, stdout: "", stderr: "" });
    writeFileSync(join(folder, "sleep.ts"), "await Bun.sleep(500)");
    expect(sprung({ ...env, BUN_BE_BUN: "1" }, "sleep.ts").stderr).toContain("Listening");
  });
  testUnless(missing, "variables do not become words, and do not weaken what is compiled in", () => {
    const options = "run -e console.log('sprung') --disallow-code-generation-from-strings --preload=./sprung.ts";
    expect(sprung({ BUN_OPTIONS: options }).stdout).not.toContain("sprung");
    const { status, stdout } = sprung({ BUN_OPTIONS: "--eval console.log('sprung')" });
    expect([status, stdout.startsWith("{")]).toEqual([0, true]);
    expect(JSON.parse(stdout)).toMatchObject({ process: { args: ["true"] } });
  });
  testUnless(noSandbox ?? missing, "is the Bun that runs a script inside", () => {
    writeFileSync(join(folder, "data/script.ts"), "const n: number = 42; console.log(n, process.argv.length);");
    const { status, stdout, stderr } = tsboxAs(
      [BINARY],
      [...HOST, "-v", "./data:/app:ro", "-w", "/app", "bun", "script.ts"],
    );
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "42 2\n", stderr: "" });
  });
  testUnless(noSandbox ?? missing, "runs commands", () => {
    expect(tsboxAs([BINARY], [...HOST, "-i", "cat"], { stdin: "in" })).toEqual({ status: 0, stdout: "in", stderr: "" });
    expect(tsboxAs([BINARY], [...HOST, "sh", "-c", "exit 7"]).status).toBe(7);
  });
});

function isStale(): boolean {
  const compiled = statSync(BINARY).mtimeMs;
  const sources = [...new Bun.Glob("{lib,syscalls}/**/*.ts").scanSync(ROOT), "package.json"];
  return sources.some((path) => statSync(join(ROOT, path)).mtimeMs > compiled);
}
