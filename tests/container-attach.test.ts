/** `attach`, and containers in the foreground: streams, terminals, signals, keys that leave them alone. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { follow } from "../lib/cli/containers/foreground.ts";
import { Containers } from "../lib/containers/index.ts";
import { DetachKeys } from "../lib/terminal/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { noBusybox, noLimits, SLOW, testUnless } from "./support/machine.ts";
import { adoptOrphans, eventually } from "./support/processes.ts";

const TIMEOUT_MS = 40_000 * SLOW;
const WAIT_MS = 15_000 * SLOW;

adoptOrphans();
let made: CommandLine;
beforeAll(async () => void (made = await CommandLine.open()));
afterAll(() => made?.[Symbol.asyncDispose](), TIMEOUT_MS);

const tsbox = (...words: string[]) => made.tsbox(...words);
const said = (...words: string[]) => made.said(...words);
const boxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, TIMEOUT_MS);

let count = 0;
const newName = () => `t${count++}-x`;
const status = (name: string) => said("inspect", "--format", "{{.State.Status}}", name);

const open: { kill(signal?: number): void; exited: Promise<number> }[] = [];
afterAll(async () => {
  for (const child of open.splice(0)) {
    child.kill(9);
    await child.exited;
  }
});

/** Somebody who sits at a terminal where a shell runs this line; `tsbox` is the command. */
function sit(line: string) {
  let text = "";
  const words = made.command().map((word) => `'${word}'`);
  const child = Bun.spawn(["bash", "-c", `tsbox() { ${words.join(" ")} "$@"; }; ${line}`], {
    env: { ...made.env, TERM: "xterm" },
    cwd: made.folder.path,
    terminal: { cols: 111, rows: 33, data: (_, chunk) => void (text += new TextDecoder().decode(chunk)) },
  });
  open.push(child);
  return {
    child,
    shown: () => text.replaceAll("\r\n", "\n"),
    /** Once it is shown; from then on only what comes later counts. */
    async after(wanted: string, act: (terminal: NonNullable<typeof child.terminal>) => unknown = () => {}) {
      const isShown = await eventually(() => text.includes(wanted), WAIT_MS);
      expect([isShown, isShown || text]).toEqual([true, true]);
      text = text.slice(text.indexOf(wanted) + wanted.length);
      if (child.terminal) await act(child.terminal);
    },
    type(wanted: string, typed: string) {
      return this.after(wanted, (terminal) => terminal.write(typed));
    },
  };
}

/** What a terminal is like for a shell: lines, echo, ^C. */
const MODE =
  "stty -a | tr ';' '\\n' | tr ' ' '\\n' | grep -xE -- '-?(icanon|echo|isig|opost|icrnl)' | sort | tr '\\n' ' '";
const USUAL = "echo icanon icrnl isig opost";
const then = `echo "then $? $(${MODE})"`;

/** A program beside this one, with pipes. */
function call(...words: string[]) {
  const child = Bun.spawn(made.command(...words), { env: made.env, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  open.push(child);
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    void (async () => {
      for await (const chunk of child[name]) text[name] += new TextDecoder().decode(chunk);
    })();
  return { child, text, says: (wanted: string) => eventually(() => text.stdout.includes(wanted), WAIT_MS) };
}

describe("detach keys", () => {
  const typed = (keys: DetachKeys, ...texts: string[]) =>
    texts.map((text) => {
      const passed = keys.take(new TextEncoder().encode(text));
      return passed && new TextDecoder().decode(passed);
    });

  test("are not passed on, nor what may be the beginning of them", () => {
    expect(typed(new DetachKeys(), "abc", "a\x10", "b", "\x10", "\x10", "\x10x", "\x10\x11")).toEqual([
      "abc",
      "a",
      "\x10b",
      "",
      "\x10",
      "\x10\x10x",
      undefined,
    ]);
    expect(typed(new DetachKeys("ctrl-a,a"), "\x01", "\x11", "x\x01a")).toEqual(["", "\x01\x11", undefined]);
    expect(typed(new DetachKeys("q"), "abc", "q")).toEqual(["abc", undefined]);
    expect(typed(new DetachKeys(""), "\x10\x11")).toEqual(["\x10\x11"]);
    expect(
      typed(new DetachKeys("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,Z"), "\0\x1b\x1c\x1d\x1e\x1f", "Z"),
    ).toEqual(["", undefined]);
  });

  test("that are none are refused", () => {
    for (const keys of ["ctrl-", "ctrl-1", "foo", "a,,b", "é"])
      expect(() => new DetachKeys(keys)).toThrow(`Invalid detach keys (${keys}) provided`);
  });
});

describe("in the foreground", () => {
  boxTest("what a container writes goes where it belongs, and its status is tsbox's", () => {
    const name = newName();
    expect(tsbox("run", "--name", name, "busy", "sh", "-c", "echo out; echo err >&2; echo more; exit 4")).toEqual({
      status: 4,
      stdout: "out\nmore\n",
      stderr: "err\n",
    });
    expect(status(name)).toBe("exited");
    expect(tsbox("start", "-a", name)).toEqual({ status: 4, stdout: "out\nmore\n", stderr: "err\n" });
    expect(tsbox("run", "--name", newName(), "-a", "stderr", "busy", "sh", "-c", "echo out; echo err >&2")).toEqual({
      status: 0,
      stdout: "",
      stderr: "err\n",
    });
    expect(tsbox("run", "--name", newName(), "busy", "sh", "-c", "kill -9 $$").status).toBe(137);
  });

  boxTest("nothing is lost, also of one that is gone at once", () => {
    for (let turn = 0; turn < 3; turn++)
      expect(tsbox("run", "--rm", "--name", newName(), "busy", "echo", "hello").stdout).toBe("hello\n");
    const { stdout } = tsbox("run", "--rm", "--name", newName(), "busy", "sh", "-c", "seq 1 300000");
    expect(stdout).toBe(Array.from({ length: 300_000 }, (_, at) => `${at + 1}\n`).join(""));
  });

  boxTest("nothing is lost where the log goes on in other files, nor where it is not kept", () => {
    const length = ["busy", "dd", "if=/dev/zero", "bs=64k", "count=300"];
    const written = 300 * 65_536;
    for (const flags of [
      ["--log-driver", "none"],
      ["--log-opt", "max-size=100k", "--log-opt", "max-file=2"],
    ])
      expect(tsbox("run", "--name", newName(), ...flags, ...length).stdout.length).toBe(written);
    const name = newName();
    const slowly =
      "i=0; while [ $i -lt 40 ]; do dd if=/dev/zero bs=20k count=1 2>/dev/null; sleep 0.02; i=$((i+1)); done";
    const flags = ["--log-opt", "max-size=100k", "--log-opt", "max-file=3"];
    expect(tsbox("run", "--name", name, ...flags, "busy", "sh", "-c", slowly).stdout.length).toBe(40 * 20_480);
    const directory = join(made.root, "containers", said("inspect", "--format", "{{.Id}}", name));
    const files = readdirSync(directory).filter((each) => /^log(\.\d)?$/.test(each));
    expect(files.toSorted()).toEqual(["log", "log.1", "log.2"]);
    for (const file of files) expect(statSync(join(directory, file)).size).toBeLessThan(300_000);
  });

  boxTest("stdin is piped, and its end is the container's", () => {
    const large = "some words\n".repeat(200_000);
    const ended = made.call(["run", "-i", "--name", newName(), "busy", "sh", "-c", "wc -c; cat; exit 5"], {
      stdin: large,
    });
    expect(ended).toEqual({ status: 5, stdout: `${large.length}\n`, stderr: "" });
    const name = newName();
    said("create", "-i", "--name", name, "busy", "cat");
    expect(made.call(["start", "-ai", name], { stdin: "typed" }).stdout).toBe("typed");
    expect(made.call(["run", "--name", newName(), "busy", "cat"], { stdin: "unread" }).stdout).toBe("");
  });

  boxTest("signals are passed on", async () => {
    const name = newName();
    const { child, says } = call(
      "run",
      "--name",
      name,
      "busy",
      "sh",
      "-c",
      "trap 'exit 9' INT; echo up; while :; do sleep 0.05; done",
    );
    expect(await says("up\n")).toBe(true);
    child.kill("SIGINT");
    expect(await child.exited).toBe(9);
    expect(status(name)).toBe("exited");
  });

  boxTest("a signal that comes while it is being started is not lost", async () => {
    using containers = new Containers(made.root);
    const container = await containers.create({ image: "busy", command: ["sleep", "1000"] });
    const how = { stdin: false, stdout: true, stderr: true, sigProxy: true };
    const ended = follow(container, how, async () => {
      await Bun.sleep(1);
      process.emit("SIGINT");
      await Bun.sleep(50);
      await container.start();
    });
    try {
      expect(await ended).toBe(130);
    } finally {
      for (const name of Object.keys(constants.signals)) process.removeAllListeners(name);
    }
  });

  boxTest("with --sig-proxy=false they end tsbox alone", async () => {
    const name = newName();
    const { child, says } = call("run", "--sig-proxy=false", "--name", name, "busy", "sh", "-c", "echo up; sleep 1000");
    expect(await says("up\n")).toBe(true);
    child.kill("SIGTERM");
    await child.exited;
    expect([child.signalCode, status(name)]).toEqual(["SIGTERM", "running"]);
  });
});

describe("attach", () => {
  const LOOP = "trap 'exit 3' TERM; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.1; done";

  boxTest("shows what comes from now on to any number, and ends as the container does", async () => {
    const name = newName();
    said("run", "-d", "--name", name, "busy", "sh", "-c", LOOP);
    const [first, second] = [call("attach", name), call("attach", "--no-stdin", name)];
    expect([await first.says("line"), await second.says("line")]).toEqual([true, true]);
    said("kill", "-s", "TERM", name);
    expect([await first.child.exited, await second.child.exited]).toEqual([3, 3]);
    const lines = said("logs", name).split("\n");
    for (const { text } of [first, second]) {
      const seen = text.stdout.trimEnd().split("\n");
      expect(seen).toEqual(lines.slice(-seen.length));
    }
  });

  boxTest("passes signals on, unless it is not to", async () => {
    const name = newName();
    said("run", "-d", "--name", name, "busy", "sh", "-c", LOOP);
    const deaf = call("attach", "--sig-proxy=false", name);
    expect(await deaf.says("line")).toBe(true);
    deaf.child.kill("SIGTERM");
    await deaf.child.exited;
    expect([deaf.child.signalCode, status(name)]).toEqual(["SIGTERM", "running"]);
    const { child, says } = call("attach", name);
    expect(await says("line")).toBe(true);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(3);
  });

  boxTest("writes to its stdin, which stays open", async () => {
    const name = newName();
    said("run", "-d", "-i", "--name", name, "busy", "sh", "-c", "while read x; do echo got $x; done; echo end");
    const first = call("attach", name);
    await first.child.stdin.write("one\n");
    expect(await first.says("got one\n")).toBe(true);
    await first.child.stdin.end();
    first.child.kill(9);
    const second = call("attach", name);
    await second.child.stdin.write("two\n");
    expect(await second.says("got two\n")).toBe(true);
    expect(second.text.stdout).toBe("got two\n");
    said("rm", "-f", name);
    expect(await second.child.exited).toBe(137);
  });

  boxTest("to what does not run is refused in Docker's words", () => {
    const name = newName();
    said("create", "--name", name, "busy");
    const refused = (why: string) => expect.stringContaining(`tsbox: ${why}\n`);
    expect(tsbox("attach", name)).toMatchObject({
      status: 1,
      stderr: refused("You cannot attach to a stopped container, start it first"),
    });
    expect(tsbox("attach", "no-such-x")).toMatchObject({ status: 1, stderr: refused("No such container: no-such-x") });
  });

  testUnless(
    noLimits,
    "to one that is paused as well",
    () => {
      const name = newName();
      said("run", "-d", "--name", name, "busy", "sleep", "1000");
      said("pause", name);
      expect(tsbox("attach", name)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("You cannot attach to a paused container, unpause it first"),
      });
      said("unpause", name);
    },
    TIMEOUT_MS,
  );
});

describe("at a terminal", () => {
  boxTest("the two are one: size, typing, ^C, a new size, and the exit status", async () => {
    const script = "trap 'echo caught' INT; tty; stty size; read x; echo got \\$x; cat; stty size; exit 3";
    const session = sit(`tsbox run -it --name ${newName()} busy sh -c "${script}"; ${then}`);
    await session.type("/dev/pts/0\r\n33 111\r\n", "some words\n");
    await session.type("got some words\r\n", "to cat\n");
    await session.after("to cat\r\nto cat\r\n", (terminal) => terminal.resize(90, 44));
    await Bun.sleep(200 * SLOW); // the signal that tells of it
    session.child.terminal?.write("\x03");
    await session.after("caught\r\n44 90\r\n");
    await session.after(`then 3 ${USUAL} `);
  });

  boxTest("keys leave it alone, and one may come back, with others", async () => {
    const name = newName();
    const session = sit(
      `tsbox run -it --name ${name} busy sh -c 'echo up; while read x; do echo got $x; done'; ${then}`,
    );
    await session.type("up\r\n", "one\n");
    await session.type("got one\r\n", "\x10\x11");
    await session.after(`then 0 ${USUAL} `);
    expect(status(name)).toBe("running");
    const first = sit(`tsbox attach ${name}; ${then}`);
    const second = sit(`tsbox attach --detach-keys ctrl-x,x ${name}; ${then}`);
    await Bun.sleep(100);
    const both = async (typed: string, shown: string) => {
      expect(
        await eventually(() => {
          first.child.terminal?.write(typed);
          return first.shown().includes(shown) && second.shown().includes(shown);
        }, WAIT_MS),
      ).toBe(true);
    };
    await both("two\n", "got two\n");
    second.child.terminal?.write("\x10\x11\x18x");
    await second.after(`then 0 ${USUAL} `);
    first.child.terminal?.write("\x04");
    await first.after(`then 0 ${USUAL} `);
    expect(status(name)).toBe("exited");
  });

  boxTest("it is as it was, whatever happens to the container", async () => {
    const ends: [what: string, act: (name: string) => void, status: number][] = [
      ["it is killed", (name) => void said("kill", name), 137],
      ["it is removed", (name) => void said("rm", "-f", name), 137],
      ["it is stopped", (name) => void said("stop", name), 143],
    ];
    for (const [what, act, code] of ends) {
      const name = newName();
      const session = sit(`tsbox run -it --name ${name} busy sh -c 'echo up; sleep 1000'; ${then}`);
      await session.after("up\r\n", ({ localFlags }) => expect(localFlags & 2).toBe(0));
      act(name);
      await session.after(`then ${code} `);
      expect([what, await eventually(() => session.shown().includes(`${USUAL} `))]).toEqual([what, true]);
    }
    const session = sit(`tsbox run -it --name ${newName()} busy no-such-command; ${then}`);
    await session.after(`then 127 ${USUAL} `);
  });

  boxTest("it is as it was when tsbox gets a signal, and the container goes on", async () => {
    for (const [signal, code] of [
      ["TERM", 143],
      ["HUP", 129],
    ] as const) {
      const name = newName();
      const start = made.folder.write("start", `echo pid $$; exec "$@"\n`);
      const words = made.command("run", "-it", "--name", name, "busy", "sh", "-c", "echo up; sleep 1000");
      const session = sit(`sh ${start} ${words.map((word) => `'${word}'`).join(" ")}; ${then}`);
      await session.after("pid ");
      await eventually(() => /^\d+\r/.test(session.shown().replaceAll("\n", "\r")));
      const pid = Number.parseInt(session.shown());
      await session.after("up\r\n");
      process.kill(pid, `SIG${signal}`);
      await session.after(`then ${code} `);
      expect(await eventually(() => session.shown().includes(`${USUAL} `))).toBe(true);
      expect(status(name)).toBe("running");
    }
  });

  boxTest("exec -it has a size, typing, and keys that leave the command alone", async () => {
    const name = newName();
    said("run", "-d", "--name", name, "busy", "sleep", "1000");
    const session = sit(`tsbox exec -it ${name} sh -c 'stty size; read x; echo got $x; stty size; exit 6'; ${then}`);
    await session.after("33 111\r\n", (terminal) => terminal.resize(80, 20));
    await Bun.sleep(200 * SLOW);
    session.child.terminal?.write("words\n");
    await session.after("got words\r\n20 80\r\n");
    await session.after(`then 6 ${USUAL} `);
    const left = sit(`tsbox exec -it ${name} sh -c 'echo up; while :; do echo more; sleep 0.1; done'; ${then}`);
    await left.type("up\r\n", "\x10\x11");
    await left.after("read escape sequence\r\n");
    await left.after(`then 0 ${USUAL} `);
    expect(await left.child.exited).toBe(0);
    await Bun.sleep(300);
    expect(said("exec", name, "ps")).toContain("echo more");
    const { status, stderr } = made.tsbox("exec", "--detach-keys", "foo", name, "true");
    expect([status, stderr]).toEqual([1, expect.stringContaining("(foo)")]);
  });

  boxTest("^C at a question ends tsbox, and nothing is done", async () => {
    const name = newName();
    said("create", "--name", name, "busy");
    const session = sit(`trap : INT; tsbox container prune; ${then}`);
    await session.type("continue? [y/N] ", "\x03");
    await session.after(`then 130 ${USUAL} `);
    expect(status(name)).toBe("created");
    const other = sit(`tsbox container prune --filter label=none-such; ${then}`);
    await other.type("continue? [y/N] ", "yes\n");
    await other.after(`then 0 ${USUAL} `);
  });

  boxTest("without one, -it is refused", () => {
    const name = newName();
    said("create", "--name", name, "busy");
    for (const words of [
      ["run", "-it", "--name", newName(), "busy"],
      ["exec", "-it", name, "sh"],
    ]) {
      const { status: code, stderr } = made.call(words, { stdin: "" });
      expect([code === 0, stderr]).toEqual([false, expect.stringContaining("the input device is not a TTY")]);
    }
  });
});

describe("the library", () => {
  boxTest("attaches before a container is started, writes, and closes", async () => {
    using containers = new Containers(made.root);
    const container = await containers.create({
      image: "busy",
      openStdin: "once",
      command: ["sh", "-c", "echo begun; cat; echo err >&2"],
    });
    const attachment = await container.attach();
    await container.start();
    await attachment.write?.(new TextEncoder().encode("typed\n"));
    await attachment.end?.();
    const seen: string[] = [];
    for await (const { stream, bytes } of attachment.output) seen.push(`${stream} ${new TextDecoder().decode(bytes)}`);
    expect(seen.join("").replaceAll("\nstdout ", "\n")).toBe("stdout begun\ntyped\nstderr err\n");
    expect((await container.wait()).exitCode).toBe(0);
    const again = await container.attach({ logs: true });
    const reader = again.output.getReader();
    expect(new TextDecoder().decode((await reader.read()).value?.bytes)).toBe("begun\ntyped\n");
    again.close();
    await reader.read();
    expect((await reader.read()).done).toBe(true);
  });
});
