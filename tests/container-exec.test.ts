/** `exec`: further commands in containers that run. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { Containers, type Container } from "../lib/containers/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, noLimits, SLOW, testUnless } from "./support/machine.ts";
import { adoptOrphans, descendants, eventually, reapOrphans } from "./support/processes.ts";

const TIMEOUT_MS = 30_000 * SLOW;

// what a detached command leaves outside would not be seen otherwise
adoptOrphans();
let made: CommandLine;
let containers: Containers;
beforeAll(async () => {
  made = await CommandLine.open();
  containers = new Containers(made.root);
});
afterAll(async () => {
  containers[Symbol.dispose]();
  await made[Symbol.asyncDispose]();
}, TIMEOUT_MS);

const tsbox = (...words: string[]) => made.tsbox(...words);
const said = (...words: string[]) => made.said(...words);
const boxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, TIMEOUT_MS);

let count = 0;
/** One that runs. @returns its name */
function running(...flags: string[]): string {
  const name = `e${count++}-x`;
  said("run", "-d", "--name", name, ...flags, "busy", "sleep", "1000");
  return name;
}
/** Of those below this program that wait outside for a command. */
const waiters = () => (reapOrphans(), descendants().filter(({ pid }) => commandLine(pid).startsWith("tsbox-join")));

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it has ended
  }
}

describe("a command in a container that runs", () => {
  boxTest("is in its namespaces, with its files, and ends as it ends", () => {
    const name = running("-h", "inside");
    expect(tsbox("exec", name, "sh", "-c", "hostname; echo $$ >/tmp/pid; echo err >&2; exit 7")).toEqual({
      status: 7,
      stdout: "inside\n",
      stderr: "err\n",
    });
    expect(said("exec", name, "sh", "-c", "ps | grep -c 'sleep 1000$'; test -s /tmp/pid && echo there")).toBe(
      "1\nthere",
    );
    expect(tsbox("exec", name, "sh", "-c", "kill -9 $$").status).toBe(137);
    expect(tsbox("exec", name, "sh", "-c", "kill -15 $$").status).toBe(143);
  });

  boxTest("is in a directory that is there, and makes none", async () => {
    const name = running();
    said("exec", name, "ln", "-s", "/bin", "/link");
    expect(said("exec", "-w", "/link", name, "pwd", "-P")).toBe("/bin");
    for (const flags of [[], ["-d"]])
      expect(tsbox("exec", ...flags, "-w", "/no/such", name, "pwd")).toEqual({
        status: 126,
        stdout: "",
        stderr: 'tsbox: chdir to the working directory "/no/such": it is not there\n',
      });
    expect(tsbox("exec", name, "test", "-e", "/no").status).toBe(1);
    const container = await containers.get(name);
    expect(await failureOf(() => container.exec(["pwd"], { cwd: "/no/such" }))).toMatchObject({
      code: "file_not_found",
      path: "/no/such",
    });
  });

  boxTest("has the environment of the container, and what is said besides", () => {
    const name = running("-e", "A=container", "-e", "B=container", "-w", "/tmp");
    const env = made.folder.write("env", "# one\nC=file\nB=file\n");
    const script = "echo $A $B $C $D $HOME; pwd";
    expect(said("exec", name, "sh", "-c", script)).toBe("container container /root\n/tmp");
    const flags = ["--env-file", env, "-e", "B=flag", "-e", "D", "-w", "/bin"];
    expect(made.call(["exec", ...flags, name, "sh", "-c", script], { env: { D: "caller" } }).stdout).toBe(
      "container flag file caller /root\n/bin\n",
    );
  });

  boxTest("is of another user, by number or name", () => {
    const name = running();
    expect(said("exec", "-u", "0:0", name, "id", "-u")).toBe("0");
    const ofRoot = tsbox("exec", "-u", "root", name, "sh", "-c", "id -u; echo $HOME");
    expect(ofRoot).toEqual({ status: 0, stdout: "0\n/root\n", stderr: "" });
    expect(said("exec", "-u", "", "-w", "", name, "id", "-u")).toBe("0");
    const { status, stderr } = tsbox("exec", "-u", "no-such-user", name, "true");
    expect([status, stderr]).toEqual([126, expect.stringContaining('use the user "no-such-user"')]);
  });

  boxTest("reads stdin with -i, and nothing without", () => {
    const name = running();
    expect(made.call(["exec", "-i", name, "cat"], { stdin: "some words" }).stdout).toBe("some words");
    expect(made.call(["exec", name, "cat"], { stdin: "some words" }).stdout).toBe("");
    const large = "x".repeat(3_000_000);
    expect(made.call(["exec", "-i", name, "cat"], { stdin: large }).stdout === large).toBe(true);
  });

  boxTest("has no more capabilities than the container, but with --privileged", () => {
    const name = running("--cap-drop", "ALL");
    const status = ["sh", "-c", "grep -E 'CapEff|^Seccomp:' /proc/self/status | cut -f 2 | tr '\\n' ' '"];
    const [few, filtered] = said("exec", name, ...status).split(" ");
    expect([Number.parseInt(few ?? "", 16), filtered]).toEqual([0, "2"]);
    const [all, free] = said("exec", "--privileged", name, ...status).split(" ");
    expect([BigInt(`0x${all}`) > 2n ** 30n, free]).toEqual([true, "0"]);
  });

  boxTest("is 127 where it is not found, and 126 where it cannot be executed", () => {
    const name = running();
    const missing = tsbox("exec", name, "no-such-command");
    expect([missing.status, missing.stderr]).toEqual([
      127,
      expect.stringContaining('execute "no-such-command": ENOENT'),
    ]);
    expect(tsbox("exec", name, "/etc/passwd").status).toBe(126);
    expect(tsbox("exec", "-d", name, "no-such-command").status).toBe(127);
    expect(tsbox("exec", "-w", "relative", name, "true").status).toBe(126);
    expect(tsbox("exec", "-w", "/etc/passwd", name, "true").status).toBe(126);
    expect(waiters()).toEqual([]);
  });

  boxTest("is 125 where a flag is wrong, and 1 where there is no container that runs", () => {
    const name = running();
    for (const flags of [["-e", "=x"], ["--env-file", "/no/such"], ["--nope"], ["--tty=maybe"]])
      expect([flags, tsbox("exec", ...flags, name, "true").status]).toEqual([flags, 125]);
    said("rm", "-f", name);
    expect(tsbox("exec", "-u", "no-such-user", name, "true").status).toBe(1);
    expect(tsbox("exec", "-w", "/no/such", said("create", "busy"), "true").status).toBe(1);
  });

  boxTest("gets all words behind its name, flags too", () => {
    const name = running();
    expect(said("exec", name, "echo", "-i", "--tty", "-u", "x")).toBe("-i --tty -u x");
  });

  boxTest("ends with the container, and with tsbox", async () => {
    const name = running();
    const child = Bun.spawn(made.command("exec", name, "sleep", "500"), { env: made.env });
    expect(await eventually(() => said("exec", name, "ps").includes("sleep 500"))).toBe(true);
    const another = Bun.spawn(made.command("exec", name, "sleep", "600"), { env: made.env });
    expect(await eventually(() => said("exec", name, "ps").includes("sleep 600"))).toBe(true);
    another.kill(9);
    await another.exited;
    expect(await eventually(() => !said("exec", name, "ps").includes("sleep 600"))).toBe(true);
    said("kill", name);
    expect(await child.exited).toBe(137);
    expect(await eventually(() => waiters().length === 0)).toBe(true);
  });
});

testUnless(noLimits, "what ends while something is executed in it is not running", async () => {
  for (const begin of ["exec", "execDetached"] as const) {
    const container = await containers.get(running());
    const { pid, cgroup } = await container.record();
    const isThere = () => Object.values(cgroup?.paths ?? {}).some((path) => existsSync(path));
    let isOver = false;
    const options = {
      /** Looked at once it is known to run. */
      get env(): Record<string, string> {
        if (!isOver) process.kill(pid, "SIGKILL");
        for (const end = performance.now() + TIMEOUT_MS; isThere() && performance.now() < end;) Bun.sleepSync(1);
        isOver = true;
        return {};
      },
    };
    const { message } = await failureOf(() => container[begin](["true"], options));
    expect([isOver, message]).toEqual([true, `container ${container.id} is not running`]);
  }
});

describe("exec -d", () => {
  boxTest("leaves the command alone, which goes on and ends with the container", async () => {
    const name = running();
    expect(tsbox("exec", "-d", name, "sh", "-c", "echo begun >/tmp/x; sleep 700")).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect(await eventually(() => tsbox("exec", name, "cat", "/tmp/x").stdout === "begun\n")).toBe(true);
    expect(said("exec", name, "ps")).toContain("sleep 700");
    expect(waiters().length).toBe(1);
    said("rm", "-f", name);
    expect(await eventually(() => waiters().length === 0)).toBe(true);
  });

  boxTest("is gone when the command has ended", async () => {
    const name = running();
    said("exec", "-d", name, "true");
    expect(await eventually(() => waiters().length === 0)).toBe(true);
    expect(said("exec", name, "ps")).not.toContain("true");
  });
});

describe("what cannot be entered", () => {
  boxTest("is a container that is not there, or does not run", () => {
    expect(tsbox("exec", "no-such-x", "true")).toEqual({
      status: 1,
      stdout: "",
      stderr: "tsbox: No such container: no-such-x\n",
    });
    const id = said("create", "--name", "stopped", "busy");
    expect(tsbox("exec", "stopped", "true")).toEqual({
      status: 1,
      stdout: "",
      stderr: `tsbox: container ${id} is not running\n`,
    });
  });

  testUnless(
    noLimits,
    "is one that is paused",
    () => {
      const name = running();
      const id = said("inspect", "--format", "{{.Id}}", name);
      said("pause", name);
      expect(tsbox("exec", name, "true")).toEqual({
        status: 1,
        stdout: "",
        stderr: `tsbox: container ${id} is paused, unpause the container before exec\n`,
      });
      said("unpause", name);
      expect(tsbox("exec", name, "true").status).toBe(0);
    },
    TIMEOUT_MS,
  );
});

describe("the library", () => {
  const open = async (): Promise<Container> => containers.get(running());

  boxTest("has streams, a terminal, and signals", async () => {
    const container = await open();
    const piped = await container.exec(["cat"], { stdin: "pipe" });
    await piped.stdin?.write("hello");
    await piped.stdin?.end();
    expect([await new Response(piped.stdout).text(), await piped.exited]).toEqual(["hello", 0]);
    const shown = await container.exec(["sh", "-c", "tty; stty size"], { terminal: { cols: 99, rows: 11 } });
    expect(await new Response(shown.terminal?.readable).text()).toBe("/dev/pts/0\r\n11 99\r\n");
    await using slept = await container.exec(["sleep", "800"]);
    slept.kill("SIGTERM");
    expect((await slept.result()).signalCode).toBe("SIGTERM");
  });

  boxTest("tells events", async () => {
    const container = await open();
    const since = Date.now() - 1;
    await (
      await container.exec(["sh", "-c", "exit 3"])
    ).exited;
    const seen: [string, string | undefined][] = [];
    for await (const { id, action, attributes } of containers.events({ since, until: Date.now() + 1 }))
      if (id === container.id && action.startsWith("exec_")) seen.push([action, attributes["exitCode"]]);
    expect(seen).toEqual([
      ["exec_create: sh -c exit 3", undefined],
      ["exec_start: sh -c exit 3", undefined],
      ["exec_die", "3"],
    ]);
  });

  boxTest("tells how what nobody waits for has ended: by itself, by a signal, with its container", async () => {
    const own = await open();
    const since = Date.now() - 1;
    const descriptors = "ls /proc/self/fd >/tmp/descriptors; ";
    await own.execDetached(["sh", "-c", `${descriptors}sleep 0.1; exit 5`]);
    await own.execDetached(["sh", "-c", "kill -9 $$"]);
    const dead = async () => {
      const seen: string[] = [];
      for await (const { id, action, attributes } of containers.events({ since, until: Date.now() + 1 }))
        if (id === own.id && action.startsWith("exec_")) seen.push(attributes["exitCode"] ?? action);
      return seen;
    };
    for (const end = Date.now() + 10_000; Date.now() < end && (await dead()).length < 6;) await Bun.sleep(20);
    // by when it happened: one may end before the other begins
    expect((await dead()).toSorted()).toEqual([
      "137",
      "5",
      "exec_create: sh -c kill -9 $$",
      `exec_create: sh -c ${descriptors}sleep 0.1; exit 5`,
      "exec_start: sh -c kill -9 $$",
      `exec_start: sh -c ${descriptors}sleep 0.1; exit 5`,
    ]);
    // the fourth is the directory that ls reads
    expect(said("exec", own.id, "cat", "/tmp/descriptors")).toBe("0\n1\n2\n3");
    await own.execDetached(["sleep", "900"]);
    await failureOf(() => own.execDetached(["/nosuch"]));
    await own.kill();
    expect((await dead()).slice(9)).toEqual(["exec_create: sleep 900", "exec_start: sleep 900", "137"]);
    // nothing of it is told twice, or left
    expect((await dead()).length).toBe(12);
    expect(readdirSync(`${made.root}/containers/${own.id}`).filter((name) => name.startsWith("exec"))).toEqual([]);
    await own.remove();
  });

  boxTest("refuses what it does not understand", async () => {
    const container = await open();
    expect(await failureOf(() => container.exec([]))).toMatchObject({ code: "invalid_option" });
    expect(await failureOf(() => container.exec(["true"], { colour: "red" } as object))).toMatchObject({
      code: "invalid_option",
    });
  });
});
