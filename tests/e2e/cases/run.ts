/** `run`: in the foreground, in the background, and how it ends. @module */
import { expect } from "bun:test";
import { e2e } from "../case.ts";
import { BOX, FULL } from "../images.ts";

e2e("run prints what the command prints, each on its own stream", async (c) => {
  expect(await c.call(["run", BOX, "sh", "-c", "echo out; echo err >&2"])).toEqual({
    status: 0,
    stdout: "out\n",
    stderr: "err\n",
  });
});

e2e("run exits as its command", async (c) => {
  expect((await c.call(["run", BOX, "sh", "-c", "exit 7"])).status).toBe(7);
});

e2e("what ran stays, with its exit code", async (c) => {
  const name = c.name();
  await c.call(["run", "--name", name, BOX, "sh", "-c", "exit 3"]);
  expect(await c.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 3");
});

e2e("run --rm leaves nothing", async (c) => {
  await c.ok("run", "--rm", "--name", c.name(), BOX, "true");
  expect(await c.ok("ps", "-aq")).toBe("");
});

e2e("run --rm of a command that fails leaves nothing either", async (c) => {
  expect((await c.call(["run", "--rm", "--name", c.name(), BOX, "sh", "-c", "exit 3"])).status).toBe(3);
  expect(await c.ok("ps", "-aq")).toBe("");
});

e2e("a command that is not there exits with 127", async (c) => {
  await c.fails(127, "run", BOX, "/no/such/command");
});

e2e("a command that is not there leaves its container as created", async (c) => {
  const name = c.name();
  await c.fails(127, "run", "--name", name, BOX, "no-such-command");
  expect(await c.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")).toBe("created 127");
});

e2e("run -d of a command that is not there exits with 127 as well", async (c) => {
  await c.fails(127, "run", "-d", BOX, "/no/such/command");
});

e2e("run --rm of a command that is not there leaves nothing", async (c) => {
  await c.fails(127, "run", "--rm", "--name", c.name(), BOX, "no-such-command");
  expect(await c.ok("ps", "-aq")).toBe("");
});

e2e("a file that cannot be executed exits with 126", async (c) => {
  await c.fails(126, "run", BOX, "/etc/not-executable");
});

e2e("a command that a signal killed exits with 128 and its number", async (c) => {
  const name = c.name();
  const running = c.background(["run", "--name", name, BOX, "sleep", "1000"]);
  await c.untilIs(name, "running");
  await c.ok("kill", name);
  expect(await running.exited()).toBe(137);
});

e2e("run -d prints the whole id, and does not wait", async (c) => {
  const id = await c.ok("run", "-d", BOX, "sleep", "1000");
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  expect(await c.inspect(id, "{{.State.Status}} {{.State.Running}}")).toBe("running true");
});

e2e("run -d --rm is gone once it has ended", async (c) => {
  await c.up(["--rm"], ["sleep", "0.2"]);
  await c.until("it is gone", async () => (await c.ok("ps", "-aq")) === "");
});

e2e("the command of run -d has an empty stdin", async (c) => {
  const name = await c.up([], ["cat"]);
  expect(await c.ok("wait", name)).toBe("0");
});

e2e("run -i gives its stdin to the command", async (c) => {
  expect(await c.call(["run", "--rm", "-i", BOX, "cat"], "line one\nline two\n")).toMatchObject({
    status: 0,
    stdout: "line one\nline two\n",
  });
});

e2e("without -i the command has no stdin", async (c) => {
  expect(await c.call(["run", BOX, "cat"], "unread\n")).toMatchObject({ status: 0, stdout: "" });
});

e2e("run -i passes a megabyte through both ways", async (c) => {
  const much = "0123456789abcdef".repeat(65_536);
  const { stdout } = await c.call(["run", "-i", BOX, "cat"], much);
  expect(stdout.length).toBe(much.length);
  expect(stdout === much).toBe(true);
});

e2e("run -t gives a terminal, which joins both streams", async (c) => {
  const running = c.background(["run", "-t", BOX, "sh", "-c", "tty; echo err >&2"], { cols: 80, rows: 24 });
  expect(await running.exited()).toBe(0);
  expect(running.shown()).toContain("/dev/");
  expect(running.shown()).toMatch(/^err\r*\n/m);
});

e2e("run -it has the size of the terminal, and follows it", async (c) => {
  const running = c.background(["run", "-it", "--name", c.name(), BOX, "sh"], { cols: 91, rows: 17 });
  await running.shows("#");
  running.type("stty size\r");
  await running.shows("17 91");
  running.resize(77, 21);
  for (let turn = 0; turn < 50 && !running.shown().includes("21 77"); turn++) {
    running.type("stty size\r");
    await Bun.sleep(50);
  }
  await running.shows("21 77");
  running.type("exit 4\r");
  expect(await running.exited()).toBe(4);
});

e2e("run -it passes ctrl-c to what runs inside", async (c) => {
  const running = c.background(
    ["run", "-it", BOX, "sh", "-c", 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done'],
    { cols: 80, rows: 24 },
  );
  await running.shows("ready");
  running.type("\x03");
  expect(await running.exited()).toBe(9);
  expect(running.shown()).toContain("caught");
});

e2e("SIGTERM of run in the foreground goes to the command", async (c) => {
  const running = c.background([
    "run",
    BOX,
    "sh",
    "-c",
    'trap "echo caught; exit 8" TERM; echo ready; while :; do sleep 0.05; done',
  ]);
  await running.shows("ready");
  running.signal("SIGTERM");
  expect(await running.exited()).toBe(8);
  expect(running.shown()).toContain("caught");
});

e2e("the image's entry point goes before the words of the command line", async (c) => {
  expect(await c.ok("run", FULL, "a", "b c")).toBe("entry a b c");
});

e2e("--entrypoint takes the place of the image's, and of its command", async (c) => {
  expect(await c.ok("run", "--entrypoint", "cat", FULL, "/etc/motd")).toBe("hello");
  expect(await c.ok("run", "--entrypoint", "pwd", FULL)).toBe("/work");
});

e2e("an empty --entrypoint takes the image's away", async (c) => {
  expect(await c.ok("run", "--entrypoint", "", FULL, "echo", "plain")).toBe("plain");
});

e2e("-e adds to the image's environment, and takes the place of what is there", async (c) => {
  expect(await c.sh(["-e", "B=mine", "-e", "C=x=y"], 'echo "$A $B $C"', FULL)).toBe("image mine x=y");
});

e2e("-e with a name only takes the value of who calls, or nothing", async (c) => {
  const words = [
    "run",
    "--rm",
    "-e",
    "E2E_SET",
    "-e",
    "E2E_UNSET",
    BOX,
    "sh",
    "-c",
    'echo "$E2E_SET ${E2E_UNSET-none}"',
  ];
  expect((await c.call(words, undefined, { E2E_SET: "from here" })).stdout).toBe("from here none\n");
});

e2e("--env-file has lines, with comments between, and -e goes before it", async (c) => {
  const file = c.file('# comment\n\nONE=1\nTWO="quoted"\nTHREE=three \n');
  const shown = await c.sh(["--env-file", file, "-e", "ONE=one"], 'echo "[$ONE] [$TWO] [$THREE]"');
  expect(shown).toBe('[one] ["quoted"] [three ]');
});

e2e("an --env-file that is not there is an error", async (c) => {
  expect(await c.fails(125, "run", "--env-file", "no-such-file", BOX, "true")).toContain("no-such-file");
});

e2e("PATH, HOSTNAME and HOME are set", async (c) => {
  expect(await c.sh(["-h", "named"], 'echo "$HOSTNAME $HOME $PATH"')).toBe(
    "named /root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  );
});

e2e("a terminal comes with TERM", async (c) => {
  const running = c.background(["run", "-t", BOX, "sh", "-c", "echo $TERM"], { cols: 80, rows: 24 });
  expect(await running.exited()).toBe(0);
  expect(running.shown()).toMatch(/^xterm\r*\n$/);
});

e2e("the hostname is the beginning of the id, where none is named", async (c) => {
  const id = await c.ok("run", "-d", BOX, "sleep", "1000");
  expect(await c.ok("exec", id, "hostname")).toBe(id.slice(0, 12));
});

e2e("-a stderr -a stdout can be chosen among", async (c) => {
  expect(await c.call(["run", "-a", "stderr", BOX, "sh", "-c", "echo out; echo err >&2"])).toMatchObject({
    stdout: "",
    stderr: "err\n",
  });
});

e2e("-a and -d contradict each other", async (c) => {
  const { status, stderr } = await c.call(["run", "-d", "-a", "stdout", BOX, "true"]);
  expect(status).not.toBe(0);
  expect(stderr).toMatch(/attach|-a\b/);
});

e2e("--rm and a restart policy contradict each other", async (c) => {
  expect(await c.fails(125, "run", "-d", "--rm", "--restart", "always", BOX, "true")).toMatch(
    /--restart.*--rm|--rm.*--restart/,
  );
});

e2e("a detached container with a terminal writes into its log", async (c) => {
  const name = await c.up(["-t"], ["sh", "-c", "tty >/dev/null && echo terminal; sleep 1000"]);
  await c.until("it has written", async () => (await c.call(["logs", name])).stdout === "terminal\r\n");
});

e2e("run -dit waits for who attaches", async (c) => {
  const name = await c.up(["-it"], ["sh"]);
  await Bun.sleep(100);
  expect(await c.inspect(name, "{{.State.Status}} {{.Config.Tty}} {{.Config.OpenStdin}}")).toBe("running true true");
});
