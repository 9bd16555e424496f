/** Commands with a terminal. @module */
import { afterAll, describe, expect } from "bun:test";
import { Sandbox, TsboxError, type SpawnOptions } from "../lib/index.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { descriptors, eventually } from "./support/processes.ts";
import { makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
afterAll(() => root.remove());
const rootfs = root.path;

const terminalTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const line = (script: string) => ["/bin/sh", "-c", script];
const shown = async (script: string, options: Parameters<typeof Sandbox.run>[1] = {}) => {
  const { stdout } = await Sandbox.run(line(script), { rootfs, terminal: true, ...options });
  return stdout.replaceAll("\r\n", "\n").trim();
};

describe("a command with a terminal", () => {
  terminalTest("has it as stdin, stdout and stderr, as its controlling terminal, and as /dev/console", async () => {
    expect(await shown("for fd in 0 1 2; do tty <&$fd; done; stat -c %t:%T /dev/console /dev/pts/0")).toBe(
      "/dev/pts/0\n/dev/pts/0\n/dev/pts/0\n88:0\n88:0",
    );
    expect(await shown("echo own >/dev/tty; echo console >/dev/console; echo error >&2")).toBe("own\nconsole\nerror");
    // session, and foreground process group, are the command's own
    const fields = (await shown("cut -d' ' -f5-8 </proc/$$/stat")).split(" ");
    expect(fields).toEqual(["2", "2", String((136 << 8) | 0), "2"]);
  });

  terminalTest("has the size and the name that are asked for", async () => {
    expect(await shown("stty size; echo $TERM")).toBe("24 80\nxterm-256color");
    const terminal = { cols: 132, rows: 43, name: "vt100" };
    expect(await shown("stty size; echo $TERM", { terminal })).toBe("43 132\nvt100");
    expect(await shown("echo $TERM", { env: { TERM: "dumb" } })).toBe("dumb");
  });

  terminalTest("may open it again as the user that it is", async () => {
    for (const user of ["0:0", "1000:1000"])
      expect(await shown("echo again >$(tty) && id -u", { user })).toBe(`again\n${user.split(":")[0]}`);
  });

  terminalTest("counts towards the limit on output", async () => {
    const options = { rootfs, terminal: true, limits: { output: 1000 } };
    const { reason, stdoutBytes } = await Sandbox.run(["yes"], options);
    expect([reason, stdoutBytes.length]).toEqual(["output", 1000]);
  });

  terminalTest("has none of the owner's, nor the owner's end", async () => {
    expect(await shown("for fd in /proc/$$/fd/*; do readlink $fd; done")).toBe("/dev/pts/0\n/dev/pts/0\n/dev/pts/0");
  });
});

describe("a process that joins with a terminal", () => {
  terminalTest("has one of the sandbox's own, and ^C reaches what runs there", async () => {
    await using box = await Sandbox.create({ rootfs });
    await using first = box.spawn(line("stty -echo; tty; read x; echo got $x"), {
      terminal: { cols: 90, rows: 20 },
    });
    let text = "";
    for await (const chunk of first.terminal?.readable ?? []) {
      if (text === "") await first.terminal?.write("hello\n");
      text += new TextDecoder().decode(chunk);
    }
    expect(text.replaceAll("\r", "")).toBe("/dev/pts/0\ngot hello\n");
    expect(await first.exited).toBe(0);
    await using second = box.spawn(line("trap 'echo caught' INT; stty size; cat; exit 5"), { terminal: true });
    // each is typed once the answer to the one before has been shown
    const typing: [after: string, typed: string][] = [
      ["24 80\r\n", "to cat\n"],
      ["to cat\r\nto cat\r\n", "\x03"],
    ];
    let session = "";
    for await (const chunk of second.terminal?.readable ?? []) {
      session += new TextDecoder().decode(chunk);
      const [after, typed] = typing[0] ?? [];
      if (after === undefined || typed === undefined || !session.includes(after)) continue;
      typing.shift();
      await second.terminal?.write(typed);
    }
    expect(session).toEndWith("^Ccaught\r\n");
    expect(await second.exited).toBe(5);
  });

  terminalTest("two at a time have one each", async () => {
    await using box = await Sandbox.create({ rootfs });
    const options: SpawnOptions = { terminal: true };
    const [a, b] = [box.spawn(line("tty; read x"), options), box.spawn(line("tty; read x"), options)];
    const both = Promise.withResolvers<void>();
    let shows = 0;
    const outputs = [a, b].map(async ({ terminal }) => {
      let text = "";
      for await (const chunk of terminal?.readable ?? []) {
        if (text === "" && ++shows === 2) both.resolve();
        text += new TextDecoder().decode(chunk);
      }
      return text;
    });
    await both.promise;
    await Promise.all([a, b].map(({ terminal }) => terminal?.write("\n")));
    const names = (await Promise.all(outputs)).map((text) => text.trim());
    expect(names.toSorted()).toEqual(["/dev/pts/0", "/dev/pts/1"]);
  });
});

describe("the owner's end", () => {
  terminalTest("gives what is shown to a callback, and then tells the end", async () => {
    let text = "";
    const ended = Promise.withResolvers<boolean>();
    const terminal: SpawnOptions["terminal"] = {
      data: (_, chunk) => void (text += new TextDecoder().decode(chunk)),
      exit: ({ closed }) => ended.resolve(closed),
    };
    await using process = Sandbox.spawn(line("echo one; sleep 0.1; echo two"), { rootfs, terminal });
    expect(await ended.promise).toBe(true);
    expect([text, await process.exited]).toEqual(["one\r\ntwo\r\n", 0]);
  });

  terminalTest("hangs up where its callback fails, which the program is told as of any other", () => {
    const file = root.script(
      `process.on("unhandledRejection", ({ message }) => console.log(message));
       const terminal = { data() { throw new Error("no more"); } };
       const yes = Sandbox.spawn(["sh", "-c", "yes"], { rootfs: ${JSON.stringify(rootfs)}, terminal });
       console.log((await yes.result()).signalCode);`,
    );
    const { stdout } = Bun.spawnSync([process.execPath, file], { timeout: 30_000 });
    expect(stdout.toString()).toBe("no more\nSIGHUP\n");
  });

  terminalTest("tells the command of a new size", async () => {
    const terminal = { cols: 80, rows: 24 };
    await using process = Sandbox.spawn(
      line("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"),
      { rootfs, terminal },
    );
    let text = "";
    for await (const chunk of process.terminal?.readable ?? []) {
      text += new TextDecoder().decode(chunk);
      if (text.includes("ready") && !text.includes("60")) process.terminal?.resize(120, 60);
    }
    expect(text).toContain("60 120");
  });

  terminalTest("when it is closed, the command is hung up", async () => {
    for (const close of ["close", "cancel"] as const) {
      await using box = await Sandbox.create({ rootfs });
      await using process = box.spawn(
        line("trap 'touch /tmp/hup; exit 7' HUP; echo ready; while :; do sleep 0.05; done"),
        {
          terminal: true,
        },
      );
      const reader = process.terminal?.readable.getReader();
      await reader?.read();
      if (close === "close") process.terminal?.close();
      else await reader?.cancel();
      expect(await process.exited).toBe(7);
      expect(process.terminal?.closed).toBe(true);
      expect(await failureOf(() => process.terminal?.write("x"))).toMatchObject({ code: "sandbox_closed" });
      expect(await box.spawn(["test", "-e", "/tmp/hup"]).exited).toBe(0);
    }
  });

  terminalTest("where nobody reads, the command waits, and nothing piles up", async () => {
    await using process = Sandbox.spawn(line("yes | head -c 20000000; echo $? >/tmp/x"), { rootfs, terminal: true });
    await Bun.sleep(200 * SLOW);
    const before = globalThis.process.memoryUsage.rss();
    await Bun.sleep(300 * SLOW);
    expect(process.exitCode).toBe(null);
    expect(globalThis.process.memoryUsage.rss() - before).toBeLessThan(10_000_000);
    process.kill("SIGKILL");
    expect(await process.exited).toBe(137);
  });

  terminalTest("what is written waits until it is read, and all of it comes through", async () => {
    const size = 300_000;
    await using process = Sandbox.spawn(line(`stty raw -echo; echo ready; head -c ${size}`), {
      rootfs,
      terminal: true,
    });
    const bytes = Uint8Array.from({ length: size }, (_, index) => index % 251);
    const chunks: Uint8Array[] = [];
    for await (const chunk of process.terminal?.readable ?? []) {
      if (chunks.length === 0) void process.terminal?.write(bytes);
      chunks.push(chunk);
    }
    const [ready, back] = [new TextEncoder().encode("ready\n"), Buffer.concat(chunks)];
    expect(back.equals(Buffer.concat([ready, bytes]))).toBe(true);
  });

  terminalTest("is closed with the process, and leaves no descriptor", async () => {
    await shown("true");
    const before = descriptors().size;
    for (let round = 0; round < 5; round++) {
      await shown("echo x");
      await using unread = Sandbox.spawn(line("echo y"), { rootfs, terminal: true });
      await unread.exited;
    }
    expect(await eventually(() => descriptors().size <= before)).toBe(true);
  });

  terminalTest("where the command cannot be started there is none, and the error says why", async () => {
    const before = descriptors().size;
    await using process = Sandbox.spawn(["none-such"], { rootfs, terminal: true });
    expect(await new Response(process.terminal?.readable).text()).toBe("");
    expect((await failureOf(() => process.exited)).code).toBe("command_not_found");
    expect(await eventually(() => descriptors().size <= before)).toBe(true);
  });
});

describe("bad input", () => {
  const cases: [what: string, options: object, named: string][] = [
    ["no columns", { terminal: { cols: 0 } }, "cols 0"],
    ["rows that are no number", { terminal: { rows: "24" } }, 'rows "24"'],
    ["more columns than there can be", { terminal: { cols: 65536 } }, "cols 65536"],
    ["a word", { terminal: "yes" }, "terminal"],
    ["an unknown key", { terminal: { width: 80 } }, '"width": unknown'],
    ["a callback that is none", { terminal: { data: 7 } }, "data 7"],
    ["a name that is none", { terminal: { name: 7 } }, "name"],
    ["stdin as well", { terminal: true, stdin: "pipe" }, "stdin with a terminal"],
    ["stdout as well", { terminal: {}, stdout: "ignore" }, "stdout with a terminal"],
    ["the host's pid namespace", { terminal: true, namespaces: { pid: "host" } }, "the host's pid namespace"],
  ];
  for (const [what, options, named] of cases) {
    terminalTest(what, async () => {
      const error = await failureOf(() => Sandbox.spawn(["true"], { rootfs, ...options }));
      expect(error).toBeInstanceOf(TsboxError);
      expect([error.code, error.message.includes(named) ? named : error.message]).toEqual(["invalid_option", named]);
    });
  }
});
