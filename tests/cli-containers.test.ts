/** The verbs of containers from outside: what they print, what they refuse, how they end. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Verb } from "../lib/cli/verb.ts";
import { CommandLine as Words } from "../lib/cli/later.ts";
import { addVerbs } from "../lib/cli/verbs.ts";
import { Descriptors, socketPair } from "../syscalls/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { noBusybox, noLimits, SLOW, testUnless } from "./support/machine.ts";

const TIMEOUT_MS = 60_000 * SLOW;
const ID = /^[0-9a-f]{64}$/;

let made: CommandLine;
beforeAll(async () => void (made = await CommandLine.open()));
afterAll(() => made?.[Symbol.asyncDispose](), TIMEOUT_MS);

const tsbox = (...words: string[]) => made.tsbox(...words);
const said = (...words: string[]) => made.said(...words);
const boxTest = (name: string, body: () => void | Promise<void>) => testUnless(noBusybox, name, body, TIMEOUT_MS);

let count = 0;
const newName = () => `c${count++}-x`;
/** One that waits until it is told to end. @returns its name */
function waiting(...flags: string[]): string {
  const name = newName();
  said("run", "-d", "--name", name, ...flags, "busy", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done");
  return name;
}
const status = (name: string) => said("inspect", "--format", "{{.State.Status}}", name);
const refused = (message: string, code = 1) => ({ status: code, stdout: "", stderr: `tsbox: ${message}\n` });

describe("run -d", () => {
  boxTest("prints the id, and leaves the container alone", () => {
    const id = said("run", "-d", "--name", "first", "busy", "sleep", "1000");
    expect(id).toMatch(ID);
    expect(said("inspect", "--format", "{{.Id}} {{.State.Running}} {{.Name}}", "first")).toBe(`${id} true /first`);
    expect(tsbox("run", "-d", "--name", "first", "busy")).toEqual(
      refused(
        `Conflict. The container name "/first" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
        125,
      ),
    );
  });

  boxTest("is 127 where the command is not found, and the container stays as created", () => {
    const ended = tsbox("run", "-d", "--name", "nosuch", "busy", "no-such-command");
    expect([ended.status, ended.stdout]).toEqual([127, expect.stringMatching(/^[0-9a-f]{64}\n$/)]);
    expect(ended.stderr).toContain('tsbox: execute "no-such-command": ENOENT');
    expect(status("nosuch")).toBe("created");
  });

  boxTest("is 126 where it cannot be executed, and with --rm nothing stays", () => {
    const ended = tsbox("run", "-d", "--rm", "--name", "unable", "busy", "/etc/passwd");
    expect([ended.status, ended.stderr]).toEqual([126, expect.stringContaining("EACCES")]);
    expect(tsbox("inspect", "unable").status).toBe(1);
  });

  boxTest("is 125 where there is no such image, and nothing stays", () => {
    const ended = tsbox("run", "-d", "--name", "imageless", "--pull", "never", "no/such:image");
    expect([ended.status, ended.stdout]).toEqual([125, ""]);
    expect(tsbox("inspect", "imageless").status).toBe(1);
  });

  boxTest("with --rm it goes when it has ended", async () => {
    const id = said("run", "-d", "--rm", "busy", "true");
    for (let tries = 0; tsbox("inspect", id).status === 0 && tries < 100; tries++) await Bun.sleep(50);
    expect(tsbox("rm", id)).toEqual(refused(`No such container: ${id}`));
  });
});

describe("wait", () => {
  boxTest("that a signal ends has that status, and says nothing of containers that go on", async () => {
    const name = waiting();
    const child = Bun.spawn(made.command("wait", name), {
      env: made.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const catches = () => /^SigCgt:\s*\w*[4-7c-f]\w{3}$/m.test(readFileSync(`/proc/${child.pid}/status`, "utf8"));
    while (!catches()) await Bun.sleep(5);
    child.kill("SIGTERM");
    expect([await child.exited, await child.stdout.text(), await child.stderr.text()]).toEqual([143, "", ""]);
    said("rm", "-f", name);
  });
});

describe("run", () => {
  boxTest("of an image for another platform that nobody asked for works where it can, with a warning", async () => {
    const foreign = await made.image(undefined, { Env: ["PATH=/bin"] }, { architecture: "s390x" });
    const warning = expect.stringMatching(
      /^tsbox: warning: The requested image's platform \(linux\/s390x\) does not match the detected host platform \(linux\/\w+\) and no specific platform was requested\n$/,
    );
    for (const flags of [[], ["--rm"], ["-q"]])
      expect(tsbox("run", ...flags, foreign, "echo", "hi")).toEqual({ status: 0, stdout: "hi\n", stderr: warning });
    expect(tsbox("create", foreign, "true").stderr).toEqual(warning);
    for (const flags of [[], ["--rm"]])
      expect(tsbox("run", ...flags, "--platform", "linux/s390x", foreign, "echo", "hi").stderr).toBe("");
  });

  boxTest("follows the container, ends as it does, and leaves it", () => {
    const name = newName();
    const ended = tsbox("run", "--name", name, "busy", "sh", "-c", "echo out; echo err >&2; exit 5");
    expect(ended).toEqual({ status: 5, stdout: "out\n", stderr: "err\n" });
    expect(said("ps", "-a", "--filter", `name=${name}`, "--format", "{{.Status}}")).toStartWith("Exited (5)");
    expect(tsbox("start", "-a", name)).toEqual(ended);
  });

  boxTest("with --rm nothing stays, be it a sandbox or a container", () => {
    const name = newName();
    expect(tsbox("run", "--rm", "busy", "sh", "-c", "kill -TERM $$").status).toBe(143);
    expect(tsbox("run", "--rm", "--name", name, "busy", "sh", "-c", "kill -TERM $$").status).toBe(143);
    expect(said("ps", "-aq", "--filter", `name=${name}`)).toBe("");
  });

  boxTest("stdin is the command's with -i, and ends with tsbox's", () => {
    const flags = ["--rm", "--label", "of=test"];
    expect(made.call(["run", ...flags, "-i", "busy", "cat"], { stdin: "given" }).stdout).toBe("given");
    expect(made.call(["run", ...flags, "busy", "cat"], { stdin: "given" }).stdout).toBe("");
    const name = newName();
    said("create", "-i", "--name", name, "busy", "cat");
    expect(made.call(["start", "-ai", name], { stdin: "again" })).toEqual({ status: 0, stdout: "again", stderr: "" });
  });

  boxTest("what is not attached to is in the log alone", () => {
    const name = newName();
    const ended = tsbox("run", "-a", "stderr", "--name", name, "busy", "sh", "-c", "echo out; echo err >&2");
    expect(ended).toEqual({ status: 0, stdout: "", stderr: "err\n" });
    expect(tsbox("logs", name)).toEqual({ status: 0, stdout: "out\n", stderr: "err\n" });
  });

  boxTest("is 125 for keys that are none, before anything is made", () => {
    const name = newName();
    const ended = tsbox("run", "--detach-keys", "ctrl-", "--name", name, "busy");
    expect([ended.status, ended.stdout]).toEqual([125, ""]);
    expect(tsbox("inspect", name).status).toBe(1);
  });

  boxTest("is 124 where its time is over, which inspect knows as well", () => {
    const name = newName();
    const ended = tsbox("run", "--timeout", "200ms", "--name", name, "busy", "sh", "-c", "echo begun; sleep 1000");
    expect(ended).toEqual({
      status: 124,
      stdout: "begun\n",
      stderr: "tsbox: killed: its time is over (limits.time)\n",
    });
    const state = "{{.State.ExitCode}} {{.State.Error}}";
    expect(said("inspect", "-f", state, name)).toBe("137 killed: its time is over (limits.time)");
    said("run", "-d", "--timeout", "200ms", "--name", `${name}-2`, "busy", "sleep", "1000");
    expect(said("wait", `${name}-2`)).toBe("137");
  });

  boxTest("in the namespaces of another container", () => {
    const other = waiting();
    const script = "ls /proc | grep -c '^[0-9]'";
    const own = Number(said("run", "--rm", "busy", "sh", "-c", script));
    const theirs = Number(said("run", "--rm", "--pid", `container:${other}`, "busy", "sh", "-c", script));
    expect(theirs).toBeGreaterThan(own);
    const ipc = (...flags: string[]) => said("run", "--rm", ...flags, "busy", "readlink", "/proc/self/ns/ipc");
    expect(ipc("--ipc", `container:${other}`)).toBe(said("exec", other, "readlink", "/proc/self/ns/ipc"));
    said("kill", other);
    said("wait", other);
    const ended = tsbox("run", "-d", "--pid", `container:${other}`, "busy");
    expect([ended.status, ended.stderr]).toEqual([
      125,
      expect.stringContaining(`cannot join PID of a non running container: ${other}`),
    ]);
  });
});

describe("stdout and stderr of a command", () => {
  /** With two files of the caller's, which are nobody else's. */
  function toFiles(...words: string[]): { status: number | null; out: string; err: string } {
    const files = ["out", "err"].map((name) => join(made.folder.path, name));
    const [stdout, stderr] = files.map((file) => openSync(file, "w", 0o600)) as [number, number];
    const { exitCode } = Bun.spawnSync(made.command(...words), { env: made.env, stdin: "ignore", stdout, stderr });
    for (const fd of [stdout, stderr]) closeSync(fd);
    const [out = "", err = ""] = files.map((file) => readFileSync(file, "utf8"));
    return { status: exitCode, out, err };
  }
  const BOTH = "echo out >/dev/stdout; echo err >/dev/stderr; exit 3";

  boxTest("can be opened again, whatever those of tsbox are", () => {
    expect(toFiles("run", "--rm", "busy", "sh", "-c", BOTH)).toEqual({ status: 3, out: "out\n", err: "err\n" });
    const name = waiting();
    expect(toFiles("exec", name, "sh", "-c", BOTH)).toEqual({ status: 3, out: "out\n", err: "err\n" });
  });

  boxTest("are all there, and who has got away with them is not waited for", () => {
    const many = toFiles("run", "--rm", "busy", "sh", "-c", "seq 100000; seq 7 >&2");
    expect([many.status, many.out.length, many.out.slice(-7), many.err.length]).toEqual([0, 588_895, "100000\n", 14]);
    const name = waiting();
    const began = performance.now();
    expect(toFiles("exec", name, "sh", "-c", "sleep 1000 & echo on")).toEqual({ status: 0, out: "on\n", err: "" });
    expect(performance.now() - began).toBeLessThan(10_000 * SLOW);
  });

  boxTest("that nobody reads keep no signal from ending it", async () => {
    using opened = new Descriptors();
    const [, stdout] = socketPair().map((fd) => opened.add(fd)) as [number, number];
    const child = Bun.spawn(made.command("run", "--rm", "busy", "yes"), { env: made.env, stdout, stderr: "ignore" });
    await Bun.sleep(2000 * SLOW);
    child.kill("SIGINT");
    const late = setTimeout(() => child.kill("SIGKILL"), 10_000 * SLOW);
    expect([await child.exited, child.signalCode]).toEqual([130, null]);
    clearTimeout(late);
  });
});

describe("what a container is asked for", () => {
  boxTest("reaches its command", () => {
    made.folder.write("vars.env", "FROM_FILE=1\n");
    const script = 'echo "$FROM_FILE $A $(hostname) $(pwd) $(id -u)"; cat /etc/hosts; exit 7';
    const flags = ["-e", "A=b", "--env-file", "vars.env", "-h", "box", "-w", "/tmp", "-u", "1000"];
    const hosts = ["--add-host", "db:10.1.2.3", "--domainname", "example.org"];
    const id = said("create", "--label", "of=test", ...flags, ...hosts, "busy", "sh", "-c", `(${script}) >/tmp/told`);
    said("start", id);
    expect(said("wait", id)).toBe("7");
    const told = join(made.root, "containers", id, "layer/upper/tmp/told");
    expect(readFileSync(told, "utf8")).toStartWith("1 b box /tmp 1000\n");
    expect(readFileSync(told, "utf8")).toMatch(/^10\.1\.2\.3\s+db$/m);
    expect(readFileSync(told, "utf8")).toMatch(/^127\.0\.1\.1\tbox\.example\.org box$/m);
    expect(said("inspect", "--format", "{{json .Config.Labels}}", id)).toBe('{"of":"test"}');
  });

  boxTest("is kept, with what has no words in JSON", () => {
    const id = said("create", "--ulimit", "core=-1", "--memory-swap", "-1", "-m", "64m", "--restart", "always", "busy");
    expect(said("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.MemorySwap}}", id)).toBe(
      "always -1",
    );
  });

  test.each([
    [["-d", "-a", "stdout"], 'use --attach "stdout": conflicting options: cannot specify both --attach and --detach'],
    [["--rm", "--restart", "always"], "conflicting options: cannot specify both --restart and --rm"],
    [["--no-healthcheck", "--health-cmd", "true"], "--no-healthcheck conflicts with --health-* options"],
    [["--restart", "sometimes"], "unknown policy 'sometimes'"],
    [["--name", "-x"], "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"],
    [["--stop-signal", "SIGNOPE"], "SIGNOPE"],
    [["-it"], "the input device is not a TTY", 1],
    [["--cpu-time", "1s"], "a container has no such thing"],
  ] as [string[], string, number?][])("%j is refused before anything is made", (flags, message, code = 125) => {
    const ended = tsbox("run", ...flags, "busy", "true");
    expect([ended.status, ended.stdout]).toEqual([code, ""]);
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toContain("    at ");
  });
});

describe("create", () => {
  boxTest("prints the id, and with --cidfile writes it", () => {
    const id = said("create", "--cidfile", "made.cid", "busy", "true");
    expect(id).toMatch(ID);
    expect(readFileSync(join(made.folder.path, "made.cid"), "utf8")).toBe(id);
    expect(status(id)).toBe("created");
    const again = tsbox("create", "--cidfile", "made.cid", "busy");
    expect([again.status, again.stderr]).toEqual([
      1,
      expect.stringContaining(
        "container ID file found, make sure the other container isn't running or delete made.cid",
      ),
    ]);
  });

  boxTest("leaves no file with an id where nothing was made", () => {
    expect(tsbox("create", "--cidfile", "none.cid", "--pull", "never", "no/such:image").status).toBe(1);
    expect(existsSync(join(made.folder.path, "none.cid"))).toBe(false);
    expect(tsbox("create", "--cidfile", "no/dir/cid", "busy").stderr).toContain(
      'use --cidfile "no/dir/cid": failed to create the container ID file: ENOENT',
    );
  });

  boxTest(
    "is 125 where the value of a flag is wrong, whoever reads it, and 1 where something is missing, or may not be called so",
    () => {
      for (const flags of [
        ["-m", "much"],
        ["--restart", "sometimes"],
        ["-e", "=x"],
        ["--pull", "often"],
        ["--ulimit", "x"],
      ])
        expect([flags, tsbox("create", ...flags, "busy").status]).toEqual([flags, 125]);
      expect(tsbox("create", "-u", "no-such-user", "busy").status).toBe(1);
      expect(tsbox("create", "--name", "a b", "busy").status).toBe(1);
      said("rm", said("create", "--cidfile", "", "--pull", "", "--volume-driver", "", "busy"));
    },
  );

  boxTest("has no flags of who follows a container", () => {
    const ended = tsbox("create", "-d", "busy");
    expect([ended.status, ended.stderr]).toEqual([125, expect.stringContaining('unknown option "-d"')]);
  });
});

describe("start, stop, kill, restart, wait", () => {
  boxTest("each prints the name as it was given", () => {
    const name = waiting();
    const id = said("inspect", "--format", "{{.Id}}", name);
    expect(said("start", name)).toBe(name); // one that runs
    expect(said("stop", id.slice(0, 8))).toBe(id.slice(0, 8));
    expect(said("wait", name)).toBe("3");
    expect(status(name)).toBe("exited");
    expect(said("stop", name)).toBe(name); // one that does not
    expect(said("restart", "-t", "5", name)).toBe(name);
    expect(status(name)).toBe("running");
    expect(said("kill", name)).toBe(name);
    expect(said("wait", name)).toBe("137");
    expect(tsbox("kill", name)).toEqual(refused(`cannot kill container: ${name}: container ${id} is not running`));
  });

  boxTest("several at a time, in their order, and what there is not", () => {
    const [one, two] = [waiting(), waiting()];
    const ended = tsbox("stop", one, "nothing-here", two);
    expect(ended).toEqual({
      status: 1,
      stdout: `${one}\n${two}\n`,
      stderr: "tsbox: No such container: nothing-here\n",
    });
    expect(said("wait", two, one)).toBe("3\n3");
  });

  boxTest("a signal by its name or number", () => {
    const name = newName();
    const script = "trap 'exit 11' HUP; trap 'exit 12' USR1; while :; do sleep 0.05; done";
    said("create", "--name", name, "busy", "sh", "-c", script);
    for (const [words, code] of [
      [["kill", "-s", "HUP", name], "11"],
      [["kill", "--signal=10", name], "12"],
      [["stop", "-s", "sigusr1", name], "12"],
      [["stop", "--signal", "1", "--time", "5", name], "11"],
    ] as const) {
      said("start", name);
      said(...words);
      expect([words, said("wait", name)]).toEqual([words, code]);
    }
    for (const verb of ["kill", "stop", "restart"]) {
      const ended = tsbox(verb, "-s", "NOPE", name);
      expect([ended.status, ended.stderr]).toEqual([1, expect.stringContaining('use --signal "NOPE"')]);
    }
  });

  boxTest("what does not stop is killed", () => {
    const name = newName();
    said("run", "-d", "--name", name, "busy", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done");
    expect(said("stop", "-t", "0", name)).toBe(name);
    expect(said("wait", name)).toBe("137");
    expect(tsbox("stop", "-t", "soon", name).stderr).toContain('use --timeout "soon": not a number of seconds');
  });

  boxTest("of several none can be attached to", () => {
    const ended = tsbox("start", "-a", "one", "two");
    expect([ended.status, ended.stderr]).toEqual([
      1,
      expect.stringContaining("you cannot start and attach multiple containers at once"),
    ]);
  });
});

describe("pause", () => {
  testUnless(
    noLimits,
    "and unpause print names",
    () => {
      const name = waiting();
      expect(said("pause", name)).toBe(name);
      expect(status(name)).toBe("paused");
      expect(tsbox("pause", name).stderr).toContain("is already paused");
      expect(said("unpause", name)).toBe(name);
      expect(status(name)).toBe("running");
      expect(tsbox("unpause", name).stderr).toContain("is not paused");
    },
    TIMEOUT_MS,
  );
});

describe("rm", () => {
  boxTest("one that runs has to be forced", () => {
    const name = waiting();
    const ended = tsbox("rm", name);
    expect([ended.status, ended.stdout]).toEqual([1, ""]);
    expect(ended.stderr).toContain("container is running: stop the container before removing or force remove");
    expect(said("rm", "-f", name)).toBe(name);
    expect(tsbox("rm", name)).toEqual(refused(`No such container: ${name}`));
  });

  boxTest("forced, what is not there is told, and no failure", () => {
    expect(tsbox("rm", "-f", "never-was")).toEqual(refused("No such container: never-was", 0));
    const name = newName();
    said("create", "--name", name, "busy");
    expect(tsbox("rm", "--force", "never-was", name)).toEqual({
      status: 0,
      stdout: `${name}\n`,
      stderr: "tsbox: No such container: never-was\n",
    });
  });
});

describe("rename", () => {
  boxTest("prints nothing", () => {
    const [old, renamed, other] = [newName(), newName(), newName()];
    said("create", "--name", old, "busy");
    const id = said("create", "--name", other, "busy");
    expect(tsbox("rename", old, renamed)).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(tsbox("inspect", old).status).toBe(1);
    expect(status(renamed)).toBe("created");
    const ended = tsbox("rename", renamed, other);
    expect([ended.status, ended.stderr]).toEqual([
      1,
      expect.stringContaining(`Conflict. The container name "/${other}" is already in use by container "${id}".`),
    ]);
  });
});

describe("update", () => {
  boxTest("prints names, and changes the policy", () => {
    const name = newName();
    said("create", "--name", name, "busy");
    expect(said("update", "--restart", "on-failure:3", name)).toBe(name);
    const policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    expect(said("inspect", "--format", policy, name)).toBe("on-failure 3");
    const ended = tsbox("update", name);
    expect([ended.status, ended.stderr]).toEqual([1, expect.stringContaining("you must provide one or more flags")]);
    expect(tsbox("update", "--restart", "no", "nothing-here")).toEqual(refused("No such container: nothing-here"));
  });

  testUnless(
    noLimits,
    "limits of one that runs, and back to none",
    () => {
      const name = waiting("--pids-limit", "50");
      expect(said("update", "--pids-limit", "60", "-m", "64m", name)).toBe(name);
      const limits = "{{.HostConfig.PidsLimit}} {{.HostConfig.Memory}}";
      expect(said("inspect", "--format", limits, name)).toBe(`60 ${64 * 1024 * 1024}`);
      said("update", "--pids-limit", "-1", name);
      expect(said("inspect", "--format", "{{.HostConfig.PidsLimit}}", name)).toMatch(/^(?:-1|0|<nil>)$/);
    },
    TIMEOUT_MS,
  );
});

describe("container prune", () => {
  boxTest("asks, and removes what does not run", async () => {
    await using own = await CommandLine.open();
    const stopped = own.said("create", "busy");
    const running = own.said("run", "-d", "busy", "sleep", "1000");
    const labelled = own.said("create", "--label", "keep=me", "busy");
    expect(own.call(["container", "prune"], { stdin: "n\n" })).toEqual({
      status: 0,
      stdout: "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ",
      stderr: "",
    });
    const pruned = own.call(["container", "prune", "--filter", "label!=keep"], { stdin: "y\n" });
    expect(pruned.stdout).toMatch(
      new RegExp(`\\[y/N\\] Deleted Containers:\n${stopped}\n\nTotal reclaimed space: .+B\n$`),
    );
    expect(own.said("container", "prune", "-f")).toMatch(
      new RegExp(`^Deleted Containers:\n${labelled}\n\nTotal reclaimed space: .+B$`),
    );
    expect(own.said("container", "prune", "--force")).toBe("Total reclaimed space: 0B");
    expect(own.said("inspect", "--format", "{{.State.Status}}", running)).toBe("running");
    expect(own.tsbox("container", "prune", "-f", "--filter", "name=x").status).toBe(1);
  });
});

describe("system", () => {
  boxTest("df counts containers and volumes, and prune takes what nobody uses", async () => {
    await using own = await CommandLine.open();
    const stopped = own.said("run", "-d", "-v", "/own", "busy", "sh", "-c", "echo 12345 >/file");
    own.said("wait", stopped);
    own.said("run", "-d", "--name", "up", "-v", "data:/data", "busy", "sleep", "1000");
    own.said("volume", "create", "--label", "a=b");
    const counts = () => own.said("system", "df", "--format", "{{.Type}}:{{.TotalCount}}:{{.Active}}").split("\n");
    expect(counts()).toEqual(["Images:1:1", "Containers:2:1", "Local Volumes:3:2", "Build Cache:0:0"]);
    const sizes = own.said("system", "df", "--format", "{{.Type}}:{{.Size}}:{{.Reclaimable}}").split("\n");
    expect(sizes[1]).toBe("Containers:6B:6B (100%)");
    const verbose = own.said("system", "df", "-v");
    for (const part of ["Containers space usage:", "Local Volumes space usage:", "LINKS", " up\n"])
      expect(`${verbose}\n`).toContain(part);
    expect(JSON.parse(own.said("system", "df", "-v", "--format", "json"))).toMatchObject({
      Images: [{ Containers: "2" }],
      Containers: [{ Names: "up" }, { Size: "6B" }],
    });

    expect(own.call(["system", "prune", "--volumes"], { stdin: "n\n" }).stdout).toBe(`WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all anonymous volumes not used by at least one container
  - all dangling images
  - unused build cache
  - what was left of downloads that broke off

Are you sure you want to continue? [y/N] `);
    expect(own.tsbox("system", "prune", "--volumes", "--filter", "until=1h").stderr).toContain(
      'the "until" filter is not supported with "--volumes"',
    );
    const pruned = own.said("system", "prune", "--force", "--volumes");
    expect(pruned).toMatch(
      new RegExp(`^Deleted Containers:\n${stopped}\n\nDeleted Volumes:\n[^]*\n\nTotal reclaimed space: .+B$`),
    );
    expect(counts()).toEqual(["Images:1:1", "Containers:1:1", "Local Volumes:1:1", "Build Cache:0:0"]);
    // what a container is made of stays
    expect(own.said("system", "prune", "--all", "--force")).toBe("Total reclaimed space: 0B");
  });
});

describe("help", () => {
  test("what is said of a verb that is not loaded is what it says itself", async () => {
    const verbs = async (...words: string[]) => {
      const top = new Verb("tsbox").enablePositionalOptions();
      await addVerbs(top, new Words(words));
      return top;
    };
    const summaries = (verb: Verb | undefined) => verb?.commands.map((each) => [each.name(), each.summary()]) ?? [];
    const below = (verb: Verb, name: string) => verb.commands.find((each) => each.name() === name) as Verb | undefined;
    const all = await verbs("completion");
    expect(summaries(await verbs("none-of-them"))).toEqual(summaries(all));
    for (const group of ["container", "image", "volume", "system"]) {
      const [some, whole] = [below(await verbs(group, "none-of-them"), group), below(all, group)];
      expect(summaries(whole).length).toBeGreaterThan(3);
      expect(summaries(some)).toEqual(summaries(whole));
    }
  });

  test("tsbox container lists what there is, as the verbs say it", () => {
    const list = tsbox("container", "--help").stdout;
    for (const verb of [
      "create",
      "kill",
      "pause",
      "prune",
      "rename",
      "restart",
      "rm",
      "run",
      "start",
      "stop",
      "wait",
    ]) {
      const { stdout, status: code } = tsbox("container", verb, "--help");
      const [, summary = "?"] = stdout.split("\n\n");
      expect([verb, code]).toEqual([verb, 0]);
      expect(list).toMatch(
        new RegExp(`^  ${verb}\\S* +${summary.slice(0, 20).replaceAll(/[.*+?^$()[\]|]/g, "\\$&")}`, "m"),
      );
    }
  });
  test("it lists all that there is, also where words follow that it is not asked for", () => {
    const help = (...words: string[]) => tsbox(...words).stdout;
    expect(help("--help", "ps")).toBe(help("--help"));
    expect(help("-h", "run")).toBe(help("--help"));
    expect(help("container", "--help", "ls")).toBe(help("container", "--help"));
    expect(help("help", "container", "ls")).toBe(help("container", "--help"));
    expect(help("container", "help", "ls")).toBe(help("container", "ls", "--help"));
  });
  test.each(["create", "update"])("tsbox %s explains its flags", (verb) => {
    const { stdout, status: code } = tsbox(verb, "--help");
    expect(code).toBe(0);
    expect(stdout).toContain("-m, --memory <SIZE>");
    expect(stdout).toContain("--restart <POLICY>");
    expect(stdout).not.toContain("--detach");
  });
});
