/** `start stop kill restart pause unpause rm rename wait update`. @module */
import { expect } from "bun:test";
import { e2e, UNTIL_TERM, NO_SUCH } from "../case.ts";
import { BOX } from "../images.ts";

e2e("start prints what it was given", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "sleep", "1000");
  expect(await c.ok("start", name)).toBe(name);
  expect(await c.inspect(name, "{{.State.Running}}")).toBe("true");
});

e2e("start of what runs is no error, and changes nothing", async (c) => {
  const name = await c.up();
  const pid = await c.inspect(name, "{{.State.Pid}}");
  expect(await c.ok("start", name)).toBe(name);
  expect(await c.inspect(name, "{{.State.Pid}}")).toBe(pid);
});

e2e("start of several, of which one is not there, starts the others and exits with 1", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "sleep", "1000");
  const { status, stdout, stderr } = await c.call(["start", "no-such", name]);
  expect([status, stdout]).toEqual([1, `${name}\n`]);
  expect(stderr).toMatch(NO_SUCH);
});

e2e("start -a shows what it prints, and exits as it", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "sh", "-c", "echo out; exit 3");
  expect(await c.call(["start", "-a", name])).toMatchObject({ status: 3, stdout: "out\n" });
});

e2e("start -ai gives stdin", async (c) => {
  const name = c.name();
  await c.ok("create", "-i", "--name", name, BOX, "cat");
  expect(await c.call(["start", "-a", "-i", name], "typed\n")).toMatchObject({ status: 0, stdout: "typed\n" });
});

e2e("start of a command that is not there is an error", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "/no/such/command");
  expect((await c.call(["start", name])).status).not.toBe(0);
  expect(await c.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")).toBe("created 127");
});

e2e("what a container wrote is there when it is started again", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "sh", "-c", "echo x >>/file; wc -l </file");
  expect(await c.ok("start", "-a", name)).toBe("2");
});

e2e("stop sends SIGTERM, and prints what it was given", async (c) => {
  const name = await c.up(
    [],
    ["sh", "-c", 'trap "echo ending; exit 4" TERM; echo ready; while :; do sleep 0.05; done'],
  );
  await c.until("it is ready", async () => (await c.ok("logs", name)) === "ready");
  expect(await c.ok("stop", name)).toBe(name);
  expect(await c.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 4");
  expect(await c.ok("logs", name)).toBe("ready\nending");
});

e2e("stop -t kills what does not end", async (c) => {
  const name = await c.up([], ["sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 0.05; done']);
  await c.until("it is ready", async () => (await c.ok("logs", name)) === "ready");
  await c.ok("stop", "-t", "0", name);
  expect(await c.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 137");
});

e2e("--stop-timeout is how long stop waits", async (c) => {
  const name = await c.up(["--stop-timeout", "1"], ["sh", "-c", 'trap "" TERM; while :; do sleep 0.05; done']);
  const before = performance.now();
  await c.ok("stop", name);
  expect(performance.now() - before).toBeLessThan(9000);
  expect(await c.inspect(name, "{{.State.ExitCode}}")).toBe("137");
});

e2e("--stop-signal is what stop sends", async (c) => {
  const script = 'trap "exit 5" USR1; trap "" TERM; echo ready; while :; do sleep 0.05; done';
  const name = await c.up(["--stop-signal", "SIGUSR1"], ["sh", "-c", script]);
  await c.until("it is ready", async () => (await c.ok("logs", name)) === "ready");
  await c.ok("stop", name);
  expect(await c.inspect(name, "{{.State.ExitCode}}")).toBe("5");
});

e2e("stop of what does not run is no error", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "true");
  expect(await c.ok("stop", name)).toBe(name);
  expect(await c.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 0");
});

e2e("stop of a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "stop", "no-such")).toMatch(NO_SUCH);
});

e2e("stop of several", async (c) => {
  const names = [await c.up([], UNTIL_TERM, BOX, "a"), await c.up([], UNTIL_TERM, BOX, "b")];
  expect((await c.ok("stop", ...names)).split("\n").toSorted()).toEqual(names);
  expect(await c.ok("ps", "-q")).toBe("");
});

e2e("pid 1 without a handler is not ended by SIGTERM", async (c) => {
  const name = await c.up([], ["sleep", "1000"]);
  await c.ok("stop", "-t", "1", name);
  expect(await c.inspect(name, "{{.State.ExitCode}}")).toBe("137");
});

e2e("with --init, SIGTERM ends a command that has no handler", async (c) => {
  const name = await c.up(["--init"], ["sleep", "1000"]);
  await c.ok("stop", name);
  expect(await c.inspect(name, "{{.State.ExitCode}}")).toBe("143");
});

e2e("kill sends SIGKILL, and prints what it was given", async (c) => {
  const name = await c.up();
  expect(await c.ok("kill", name)).toBe(name);
  await c.untilIs(name, "exited");
  expect(await c.inspect(name, "{{.State.ExitCode}}")).toBe("137");
});

e2e("kill -s sends another signal, by name or number", async (c) => {
  const script = 'trap "echo usr1" USR1; trap "echo hup" HUP; echo ready; while :; do sleep 0.05; done';
  const name = await c.up([], ["sh", "-c", script]);
  await c.until("it is ready", async () => (await c.ok("logs", name)) === "ready");
  await c.ok("kill", "-s", "SIGUSR1", name);
  await c.until("it came", async () => (await c.ok("logs", name)) === "ready\nusr1");
  await c.ok("kill", "--signal", "HUP", name);
  await c.until("it came", async () => (await c.ok("logs", name)) === "ready\nusr1\nhup");
  await c.ok("kill", "-s", "10", name);
  await c.until("it came", async () => (await c.ok("logs", name)) === "ready\nusr1\nhup\nusr1");
  expect(await c.inspect(name, "{{.State.Running}}")).toBe("true");
});

e2e("kill of what does not run is an error", async (c) => {
  const name = c.name();
  await c.ok("run", "--name", name, BOX, "true");
  expect(await c.fails(1, "kill", name)).toContain("is not running");
});

e2e("kill with a signal that is none is an error", async (c) => {
  const name = await c.up();
  expect((await c.fails(1, "kill", "-s", "NOSUCH", name)).toLowerCase()).toContain("invalid signal: nosuch");
});

e2e("restart is another process, and prints what it was given", async (c) => {
  const name = await c.up([], UNTIL_TERM);
  const pid = await c.inspect(name, "{{.State.Pid}}");
  expect(await c.ok("restart", name)).toBe(name);
  const [running, after] = (await c.inspect(name, "{{.State.Running}} {{.State.Pid}}")).split(" ");
  expect([running, after === pid]).toEqual(["true", false]);
});

e2e("restart starts what does not run", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "sleep", "1000");
  await c.ok("restart", name);
  expect(await c.inspect(name, "{{.State.Running}}")).toBe("true");
});

e2e("restart by hand does not count as a restart", async (c) => {
  const name = await c.up([], UNTIL_TERM);
  await c.ok("restart", name);
  expect(await c.inspect(name, "{{.RestartCount}}")).toBe("0");
});

e2e(
  "pause stops all processes, unpause lets them go on",
  async (c) => {
    const name = await c.up();
    expect(await c.ok("pause", name)).toBe(name);
    expect(await c.inspect(name, "{{.State.Status}} {{.State.Paused}} {{.State.Running}}")).toBe("paused true true");
    expect(await c.ok("unpause", name)).toBe(name);
    expect(await c.inspect(name, "{{.State.Status}} {{.State.Paused}}")).toBe("running false");
  },
  "freezer",
);

e2e(
  "pause of what is paused, and unpause of what is not, are errors",
  async (c) => {
    const name = await c.up();
    expect(await c.fails(1, "unpause", name)).toContain("is not paused");
    await c.ok("pause", name);
    expect(await c.fails(1, "pause", name)).toContain("already paused");
  },
  "freezer",
);

e2e(
  "pause of what does not run is an error",
  async (c) => {
    const id = await c.ok("create", BOX, "true");
    expect(await c.fails(1, "pause", id)).toContain("is not running");
  },
  "freezer",
);

e2e(
  "what is paused can be stopped",
  async (c) => {
    const name = await c.up([], UNTIL_TERM);
    await c.ok("pause", name);
    await c.ok("stop", "-t", "1", name);
    expect(await c.inspect(name, "{{.State.Status}}")).toBe("exited");
  },
  "freezer",
);

e2e(
  "start of what is paused is an error",
  async (c) => {
    const name = await c.up();
    await c.ok("pause", name);
    expect(await c.fails(1, "start", name)).toContain("paused");
  },
  "freezer",
);

e2e("rm prints what it was given, and it is gone", async (c) => {
  const name = c.name();
  await c.ok("create", "--name", name, BOX, "true");
  expect(await c.ok("rm", name)).toBe(name);
  await c.fails(1, "inspect", name);
});

e2e("rm of what runs is refused", async (c) => {
  const name = await c.up();
  const said = await c.fails(1, "rm", name);
  expect(said.toLowerCase()).toMatch(/cannot remove (a running )?container/);
  expect(await c.inspect(name, "{{.State.Running}}")).toBe("true");
});

e2e(
  "rm of what is paused is refused",
  async (c) => {
    const name = await c.up();
    await c.ok("pause", name);
    expect((await c.fails(1, "rm", name)).toLowerCase()).toContain("paused");
  },
  "freezer",
);

e2e("rm -f of what runs kills it first", async (c) => {
  const name = await c.up();
  expect(await c.ok("rm", "-f", name)).toBe(name);
  expect(await c.ok("ps", "-aq")).toBe("");
});

e2e(
  "rm -f of what is paused kills it as well",
  async (c) => {
    const name = await c.up();
    await c.ok("pause", name);
    expect(await c.ok("rm", "-f", name)).toBe(name);
    expect(await c.ok("ps", "-aq")).toBe("");
  },
  "freezer",
);

e2e("rm of a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "rm", "no-such")).toMatch(NO_SUCH);
});

e2e("rm of several goes on after one that fails", async (c) => {
  const names = ["a", "b"].map((which) => c.name(which));
  for (const name of names) await c.ok("create", "--name", name, BOX, "true");
  const [first = "", last = ""] = names;
  const { status, stdout } = await c.call(["rm", first, "no-such", last]);
  expect([status, stdout]).toEqual([1, `${first}\n${last}\n`]);
});

e2e("rename gives another name, and the old one is free", async (c) => {
  const [from, to] = [c.name("from"), c.name("to")];
  const id = await c.ok("create", "--name", from, BOX, "true");
  expect(await c.ok("rename", from, to)).toBe("");
  expect(await c.inspect(to, "{{.Id}}")).toBe(id);
  await c.ok("create", "--name", from, BOX, "true");
});

e2e("rename of what runs", async (c) => {
  const name = await c.up();
  await c.ok("rename", name, c.name("other"));
  expect(await c.ok("ps", "--format", "{{.Names}}")).toBe(c.name("other"));
});

e2e("rename to a name in use is refused", async (c) => {
  const [first, second] = [c.name("a"), c.name("b")];
  await c.ok("create", "--name", first, BOX, "true");
  await c.ok("create", "--name", second, BOX, "true");
  expect(await c.fails(1, "rename", first, second)).toContain("is already in use");
  expect(await c.inspect(first, "{{.Id}}")).not.toBe(await c.inspect(second, "{{.Id}}"));
});

e2e("wait prints the exit code once it has ended", async (c) => {
  const name = await c.up([], ["sh", "-c", "sleep 0.3; exit 6"]);
  expect(await c.ok("wait", name)).toBe("6");
});

e2e("wait for what has ended already", async (c) => {
  const name = c.name();
  await c.call(["run", "--name", name, BOX, "sh", "-c", "exit 9"]);
  expect(await c.ok("wait", name)).toBe("9");
});

e2e("wait for several prints a line each", async (c) => {
  const first = await c.up([], ["sh", "-c", "exit 1"], BOX, "a");
  const second = await c.up([], ["sh", "-c", "sleep 0.2; exit 2"], BOX, "b");
  expect(await c.ok("wait", first, second)).toBe("1\n2");
});

e2e("wait for a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "wait", "no-such")).toMatch(NO_SUCH);
});

e2e("wait for one that is killed prints 137", async (c) => {
  const name = await c.up();
  const waiting = c.background(["wait", name]);
  await Bun.sleep(200);
  await c.ok("kill", name);
  expect(await waiting.exited()).toBe(0);
  expect(waiting.shown()).toBe("137\n");
});

e2e(
  "update changes the limits of what runs, and prints what it was given",
  async (c) => {
    const name = await c.up(["-m", "64m", "--memory-swap", "64m"]);
    expect(await c.ok("update", "-m", "128m", "--memory-swap", "128m", "--pids-limit", "50", name)).toBe(name);
    expect(await c.inspect(name, "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}")).toBe("134217728 50");
  },
  "limits",
);

e2e("update --restart changes the policy", async (c) => {
  const name = await c.up();
  await c.ok("update", "--restart", "on-failure:3", name);
  expect(
    await c.inspect(name, "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"),
  ).toBe("on-failure 3");
});

e2e("update of a container that is not there is an error", async (c) => {
  expect(await c.fails(1, "update", "--restart", "no", "no-such")).toMatch(NO_SUCH);
});

e2e("container prune removes what does not run, and says how much that was", async (c) => {
  const running = await c.up();
  const ended = c.name("ended");
  await c.ok("run", "--name", ended, BOX, "true");
  const id = await c.inspect(ended, "{{.Id}}");
  const said = await c.ok("container", "prune", "--force");
  expect(said).toStartWith(`Deleted Containers:\n${id}\n\nTotal reclaimed space: `);
  expect(await c.ok("ps", "-a", "--format", "{{.Names}}")).toBe(running);
});

e2e("container prune --filter label chooses", async (c) => {
  const kept = await c.ok("create", "--label", "keep", BOX, "true");
  await c.ok("create", BOX, "true");
  await c.ok("container", "prune", "-f", "--filter", "label!=keep");
  expect(await c.ok("ps", "-aq", "--no-trunc")).toBe(kept);
});

e2e("container prune --filter until keeps what is younger", async (c) => {
  const id = await c.ok("create", BOX, "true");
  await c.ok("container", "prune", "-f", "--filter", "until=1h");
  expect(await c.ok("ps", "-aq", "--no-trunc")).toBe(id);
});
