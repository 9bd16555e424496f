/** `logs` and `attach`. @module */
import { expect } from "bun:test";
import { e2e, NO_SUCH } from "../case.ts";
import { BOX } from "../images.ts";

const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /;

/** A container that has printed the numbers up to 5, and ended. */
const FIVE = ["sh", "-c", "for i in 1 2 3 4 5; do echo $i; done"];

e2e("logs prints what was written, each on its own stream", async (c) => {
  const name = c.name();
  await c.ok("run", "-d", "--name", name, BOX, "sh", "-c", "echo out; echo err >&2");
  await c.ok("wait", name);
  expect(await c.call(["logs", name])).toEqual({ status: 0, stdout: "out\n", stderr: "err\n" });
});

e2e("stdout and stderr can be opened again by their names", async (c) => {
  const name = c.name();
  await c.ok("run", "-d", "--name", name, BOX, "sh", "-c", "echo out >/dev/stdout; echo err >/proc/self/fd/2");
  await c.ok("wait", name);
  expect(await c.call(["logs", name])).toEqual({ status: 0, stdout: "out\n", stderr: "err\n" });
});

e2e(
  "and so they can as another user, stdin as well",
  async (c) => {
    const words = ["run", "-i", "-u", "1000", "--name", c.name(), BOX, "sh", "-c", "cat /dev/stdin >/dev/stdout"];
    expect(await c.call(words, "in\n")).toEqual({ status: 0, stdout: "in\n", stderr: "" });
  },
  "root",
);

e2e("logs of what ran in the foreground", async (c) => {
  await c.ok("run", "--name", c.name(), BOX, ...FIVE);
  expect(await c.ok("logs", c.name())).toBe("1\n2\n3\n4\n5");
});

e2e("logs --tail prints so many of the last lines", async (c) => {
  await c.ok("run", "--name", c.name(), BOX, ...FIVE);
  expect(await c.ok("logs", "--tail", "2", c.name())).toBe("4\n5");
  expect(await c.ok("logs", "-n", "0", c.name())).toBe("");
  expect(await c.ok("logs", "--tail", "all", c.name())).toBe("1\n2\n3\n4\n5");
});

e2e("logs -t puts the time before each line", async (c) => {
  await c.ok("run", "--name", c.name(), BOX, ...FIVE);
  const lines = (await c.ok("logs", "-t", c.name())).split("\n");
  expect(lines.length).toBe(5);
  for (const [at, line] of lines.entries()) {
    expect(line).toMatch(STAMP);
    expect(line.replace(STAMP, "")).toBe(`${at + 1}`);
  }
});

e2e("logs --since and --until take times and durations", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "sh", "-c", "echo early; sleep 0.6; echo late");
  const [, late = ""] = (await c.ok("logs", "-t", name)).split("\n").map((line) => line.split(" ")[0]);
  expect(await c.ok("logs", "--since", late, name)).toBe("late");
  expect(await c.ok("logs", "--until", new Date(Date.parse(late) - 300).toISOString(), name)).toBe("early");
  expect(await c.ok("logs", "--since", "1h", name)).toBe("early\nlate");
});

e2e("logs -f goes on until the container ends", async (c) => {
  const name = await c.up([], ["sh", "-c", "echo one; sleep 0.5; echo two"]);
  expect(await c.ok("logs", "-f", name)).toBe("one\ntwo");
});

e2e("logs -f prints lines as they come", async (c) => {
  const name = await c.up([], ["sh", "-c", "echo one; while ! test -e /go; do sleep 0.05; done; echo two; sleep 1000"]);
  const following = c.background(["logs", "-f", name]);
  await following.shows("one\n");
  await c.call(["exec", name, "touch", "/go"]); // it may end before that is told
  await following.shows("one\ntwo\n");
});

e2e("logs -f --tail 0 prints new lines only", async (c) => {
  const name = await c.up([], ["sh", "-c", "echo one; while ! test -e /go; do sleep 0.05; done; echo two"]);
  await c.until("it has written", async () => (await c.ok("logs", name)) === "one");
  const following = c.background(["logs", "-f", "--tail", "0", name]);
  await Bun.sleep(300);
  await c.call(["exec", name, "touch", "/go"]); // it may end before that is told
  expect(await following.exited()).toBe(0);
  expect(following.shown()).toBe("two\n");
});

e2e("logs has all runs of a container", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "echo", "again");
  await c.ok("start", "-a", name);
  expect(await c.ok("logs", name)).toBe("again\nagain");
});

e2e("logs of what has never run is empty", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect(await c.ok("logs", id)).toBe("");
});

e2e("logs keeps what ends without a newline", async (c) => {
  await c.call(["run", "--name", c.name(), BOX, "sh", "-c", "printf 'no end'"]);
  expect((await c.call(["logs", c.name()])).stdout).toBe("no end");
});

e2e("logs keeps a line of a hundred thousand characters whole", async (c) => {
  await c.call(["run", "--name", c.name(), BOX, "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo"]);
  expect((await c.call(["logs", c.name()])).stdout).toBe(`${"x".repeat(100_000)}\n`);
});

e2e("logs keeps all of what is written fast", async (c) => {
  const name = await c.up([], ["seq", "100000"]);
  await c.ok("wait", name);
  const { stdout } = await c.call(["logs", name]);
  expect(stdout.length).toBe(588_895);
  expect(stdout.endsWith("\n99999\n100000\n")).toBe(true);
});

e2e("what exec prints is not in the log", async (c) => {
  const name = await c.up();
  await c.ok("exec", name, "echo", "x");
  expect(await c.ok("logs", name)).toBe("");
});

e2e("logs of a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "logs", "no-such")).toMatch(NO_SUCH);
});

e2e("logs with a time that is none is an error", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect((await c.call(["logs", "--since", "whenever", id])).status).not.toBe(0);
});

e2e("attach prints from now on, and exits as the container", async (c) => {
  const name = await c.up(
    [],
    ["sh", "-c", "echo before; while ! test -e /go; do sleep 0.05; done; echo after; exit 4"],
  );
  await c.until("it has written", async () => (await c.ok("logs", name)) === "before");
  const attached = c.background(["attach", name]);
  await Bun.sleep(500);
  await c.call(["exec", name, "touch", "/go"]); // it may end before that is told
  expect(await attached.exited()).toBe(4);
  expect(attached.shown()).toBe("after\n");
});

e2e("attach gives its stdin to a container with -i", async (c) => {
  const name = await c.up(["-i"], ["sh", "-c", 'read line; echo "got $line"']);
  const attached = c.background(["attach", name]);
  await Bun.sleep(300);
  attached.type("a line\n");
  expect(await attached.exited()).toBe(0);
  expect(attached.shown()).toBe("got a line\n");
});

e2e("attach to a terminal, detached from with ctrl-p ctrl-q, and again", async (c) => {
  const name = await c.up(["-it"], ["sh"]);
  for (const text of ["one", "two"]) {
    const attached = c.background(["attach", name], { cols: 80, rows: 24 });
    await Bun.sleep(300);
    attached.type(`echo ${text}-$((1+1))\r`);
    await attached.shows(`${text}-2`);
    attached.type("\x10\x11");
    await attached.exited();
  }
  expect(await c.inspect(name, "{{.State.Running}}")).toBe("true");
});

e2e("--detach-keys chooses others", async (c) => {
  const name = await c.up(["-it"], ["sh"]);
  const attached = c.background(["attach", "--detach-keys", "ctrl-a,z", name], { cols: 80, rows: 24 });
  await Bun.sleep(300);
  attached.type("echo seen-$((1+1))\r");
  await attached.shows("seen-2");
  attached.type("\x01z");
  await attached.exited();
  expect(await c.inspect(name, "{{.State.Running}}")).toBe("true");
});

e2e("run -it can be detached from as well", async (c) => {
  const running = c.background(["run", "-it", "--name", c.name(), BOX, "sh"], { cols: 80, rows: 24 });
  await running.shows("#");
  running.type("\x10\x11");
  expect(await running.exited()).toBe(0);
  expect(await c.inspect(c.name(), "{{.State.Running}}")).toBe("true");
});

e2e("several are attached at once", async (c) => {
  const name = await c.up([], ["sh", "-c", "while ! test -e /go; do sleep 0.05; done; echo all"]);
  const attached = [1, 2, 3].map(() => c.background(["attach", "--no-stdin", name]));
  await Bun.sleep(700);
  await c.call(["exec", name, "touch", "/go"]); // it may end before that is told
  for (const each of attached) {
    expect(await each.exited()).toBe(0);
    expect(each.shown()).toBe("all\n");
  }
});

e2e("attach passes signals on", async (c) => {
  const name = await c.up([], ["sh", "-c", 'trap "exit 6" INT; while :; do sleep 0.05; done']);
  const attached = c.background(["attach", name]);
  await Bun.sleep(500);
  attached.signal("SIGINT");
  expect(await attached.exited()).toBe(6);
});

e2e("attach --sig-proxy=false passes no signals on", async (c) => {
  const name = await c.up([], ["sh", "-c", 'trap "exit 6" INT; while :; do sleep 0.05; done']);
  const attached = c.background(["attach", "--sig-proxy=false", name]);
  await Bun.sleep(500);
  attached.signal("SIGINT");
  await Bun.sleep(300);
  expect(await c.inspect(name, "{{.State.Running}}")).toBe("true");
});

e2e("attach to what does not run is an error", async (c) => {
  const id = await c.ok("create", BOX, "true");
  expect((await c.fails(1, "attach", id)).toLowerCase()).toContain("cannot attach to a stopped container");
});

e2e(
  "attach to what is paused is an error",
  async (c) => {
    const name = await c.up();
    await c.ok("pause", name);
    expect((await c.fails(1, "attach", name)).toLowerCase()).toContain("cannot attach to a paused container");
  },
  "freezer",
);

e2e("attach to a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "attach", "no-such")).toMatch(NO_SUCH);
});
