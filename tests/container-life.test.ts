/** Containers are stopped, killed, restarted, paused, waited for, changed, renamed; and what is done when they have ended. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Container, ContainerOptions } from "../lib/containers/index.ts";
import { unitOf } from "../lib/containers/unit.ts";
import { commandLines, stateOf, TestEngine } from "./support/engine.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, noLimits, testUnless, withLimits } from "./support/machine.ts";
import { adoptOrphans, eventually, processes, reapOrphans } from "./support/processes.ts";

let engine: TestEngine;
beforeAll(() => {
  adoptOrphans();
  engine = new TestEngine();
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  expect(await eventually(() => (reapOrphans(), !ours()))).toBe(true);
});

/** Supervisors, and who waits to start something again. */
const ours = () =>
  processes().some(({ name, parent }) => parent === process.pid && /^tsbox-(super|restart|init)/.test(name));

/** What tsbox is executed for takes its time on a busy machine. */
const WAIT_MS = 60_000;
const TIMEOUT_MS = 120_000;

const lifeTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, TIMEOUT_MS);
const limitTest = (name: string, body: () => unknown) => testUnless(noLimits, name, body);

/** What it has written over its root filesystem. */
function written(container: Container, file: string): string {
  const path = join(engine.home.path(container.id), "layer/upper", file);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
const hasWritten = (container: Container, file: string, text = "") =>
  eventually(() => written(container, file).includes(`${text}\n`));

/** Says that it is there, and what it is sent. */
async function listening(signal: string, options: ContainerOptions = {}): Promise<Container> {
  const line = `trap 'echo ${signal} >>/got; exit 7' ${signal}; echo here >/here; while :; do sleep 0.05; done`;
  return whenHere(await engine.run(line, options));
}

async function whenHere(container: Container): Promise<Container> {
  expect(await hasWritten(container, "here", "here")).toBe(true);
  return container;
}

const DEAF = "trap '' TERM; echo here >/here; while :; do sleep 0.05; done";
const statusOf = async (container: Container) => (await container.record()).status;
const becomes = (container: Container, holds: (row: NonNullable<ReturnType<TestEngine["row"]>>) => boolean) =>
  eventually(() => {
    const row = engine.row(container);
    return row !== undefined && holds(row);
  }, WAIT_MS);

describe("stop", () => {
  lifeTest("sends SIGTERM, waits, and tells in Docker's order", async () => {
    const container = await listening("TERM");
    await container.stop();
    expect(written(container, "got")).toBe("TERM\n");
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 7, stopped: true, pid: 0 });
    expect(engine.events(container)).toEqual(["create", "start", "kill 15", "die 7", "stop"]);
  });

  lifeTest("kills after its time-out", async () => {
    const container = await whenHere(await engine.run(DEAF));
    await container.stop({ timeout: "100ms" });
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 137 });
    expect(engine.events(container)).toEqual(["create", "start", "kill 15", "kill 9", "die 137", "stop"]);
  });

  lifeTest("of a container with a time-out and a signal of its own", async () => {
    const container = await listening("USR1", { stopSignal: "SIGUSR1", stopTimeout: -1 });
    await container.stop();
    expect(await container.record()).toMatchObject({ exitCode: 7 });
    const deaf = await whenHere(await engine.run(DEAF, { stopTimeout: 0 }));
    await deaf.stop();
    expect(engine.events(deaf)).toEqual(["create", "start", "kill 15", "kill 9", "die 137", "stop"]);
  });

  lifeTest("of a container of an image, as that says", async () => {
    const image = await engine.image("signals", ["STOPSIGNAL SIGRTMIN+2", "ENV PATH=/bin"]);
    const container = await listening("36", { image });
    await container.stop();
    expect(await container.record()).toMatchObject({ exitCode: 7 });
    expect(engine.events(container)).toContain("kill 36");
    // what is asked for is what counts
    const other = await listening("USR2", { image, stopSignal: "12" });
    await other.stop();
    expect(await other.record()).toMatchObject({ exitCode: 7 });
  });

  lifeTest("with a real-time signal, by name and by number", async () => {
    for (const signal of ["RTMIN+3", "37", 37]) {
      const container = await listening("37");
      await container.stop({ signal });
      expect(await container.record()).toMatchObject({ exitCode: 7 });
      expect(engine.events(container)).toContain("kill 37");
    }
  });

  lifeTest("leaves one that does not run as it is", async () => {
    const created = await engine.create("true");
    await created.stop();
    expect(await created.record()).toMatchObject({ status: "created", stopped: false });
    const container = await engine.run("exit 3");
    await container.wait();
    await container.stop();
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 3, stopped: false });
    expect(engine.events(container)).toEqual(["create", "start", "die 3"]);
  });

  lifeTest("refuses what it does not understand, before anything happens", async () => {
    const container = await listening("TERM");
    expect(await failureOf(() => container.stop({ signal: "SIGNONE" }))).toMatchObject({ code: "invalid_option" });
    expect(await failureOf(() => container.stop({ timeout: "soon" }))).toMatchObject({ code: "invalid_option" });
    expect(await container.record()).toMatchObject({ status: "running", stopped: false });
    await container.stop();
  });
});

describe("kill", () => {
  lifeTest("ends all of it", async () => {
    const container = await engine.run("sleep 1000 & sleep 1000 & wait");
    const init = engine.init(container);
    await container.kill();
    expect(existsSync(`/proc/${init}`)).toBe(false);
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 137 });
    expect(engine.events(container)).toEqual(["create", "start", "kill 9", "die 137"]);
  });

  lifeTest("sends any signal to the command", async () => {
    for (const [signal, name] of [
      ["SIGUSR2", "USR2"],
      ["HUP", "HUP"],
      [10, "USR1"],
      ["SIGURG", "URG"], // nothing that the shell gets by itself
      ["64", "64"],
    ] as const) {
      const container = await listening(name);
      await container.kill(signal);
      expect(await container.wait()).toMatchObject({ exitCode: 7 });
      expect(written(container, "got")).toBe(`${name}\n`);
    }
  });

  lifeTest("SIGSTOP and SIGCONT stop the command, and not what looks after it", async () => {
    const container = await listening("TERM");
    const [init, command] = [engine.init(container), engine.command(container)];
    await container.kill("SIGSTOP");
    expect(await eventually(() => stateOf(command) === "T")).toBe(true);
    expect(stateOf(init)).not.toBe("T");
    await container.kill("SIGCONT");
    expect(await eventually(() => stateOf(command) !== "T")).toBe(true);
    await container.stop();
    expect(await container.record()).toMatchObject({ exitCode: 7 });
  });

  lifeTest("is refused in Docker's words where nothing runs, and for signals that there are not", async () => {
    const container = await engine.run("true", { name: "short" });
    await container.wait();
    expect(await failureOf(() => container.kill())).toMatchObject({
      code: "container_state",
      message: `cannot kill container: short: container ${container.id} is not running`,
    });
    for (const signal of ["SIGNONE", 0, 65, "0"])
      expect(await failureOf(() => container.kill(signal))).toMatchObject({ code: "invalid_option" });
  });
});

describe("a supervisor that somebody has stopped", () => {
  /** A container that ends at nothing but SIGKILL, whose supervisor answers nobody. */
  async function deaf(): Promise<Container> {
    const container = await whenHere(await engine.run(DEAF));
    const supervisor = Number(
      /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${engine.init(container)}/status`, "utf8"))?.[1],
    );
    process.kill(supervisor, "SIGSTOP");
    expect(await eventually(() => stateOf(supervisor) === "T")).toBe(true);
    return container;
  }
  for (const [what, end] of [
    ["stop", (container: Container) => container.stop({ timeout: "10ms" })],
    ["kill", (container: Container) => container.kill()],
    ["restart", (container: Container) => container.restart({ timeout: "10ms" })],
    ["remove", (container: Container) => container.remove({ force: true })],
  ] as const)
    lifeTest(`goes on for ${what}, which ends its container`, async () => {
      const container = await deaf();
      await end(container);
      if (what === "stop" || what === "kill")
        expect(await container.record()).toMatchObject({ status: "exited", exitCode: 137 });
      if (what === "restart") await container.kill();
    });
});

describe("abort", () => {
  const reason = new Error("enough");
  const deaf = async () => whenHere(await engine.run(DEAF));

  lifeTest("ends the waiting of stop, and the container goes on", async () => {
    const container = await deaf();
    const enough = new AbortController();
    const stopping = container.stop({ timeout: -1, abort: enough.signal });
    expect(await eventually(() => engine.events(container).includes("kill 15"))).toBe(true);
    enough.abort(reason);
    expect((await stopping.catch((error: unknown) => error)) as Error).toBe(reason);
    expect(await container.record()).toMatchObject({ status: "running", stopped: true });
    expect(await container.stop({ abort: enough.signal }).catch((error: unknown) => error)).toBe(reason);
    expect((await failureOf(() => container.stop({ abort: "now" as never }))).code).toBe("invalid_option");
    await container.kill();
  });

  lifeTest("ends that of restart, and what ends then is not started again", async () => {
    const container = await deaf();
    const enough = new AbortController();
    const restarting = container.restart({ timeout: "1h", abort: enough.signal });
    expect(await eventually(() => engine.events(container).includes("kill 15"))).toBe(true);
    expect(engine.row(container)).toMatchObject({ after: "restart" });
    enough.abort(reason);
    expect((await restarting.catch((error: unknown) => error)) as Error).toBe(reason);
    expect(engine.row(container)).not.toHaveProperty("after");
    expect(engine.row(container)).toMatchObject({ status: "running", stopped: true });
    await container.kill();
    expect(await statusOf(container)).toBe("exited");
  });
});

describe("restart", () => {
  lifeTest("stops and starts", async () => {
    const container = await listening("TERM");
    const before = engine.init(container);
    await container.restart();
    expect(engine.init(container)).not.toBe(before);
    expect(await container.record()).toMatchObject({ status: "running", stopped: false, restarts: 0 });
    expect(engine.row(container)).not.toHaveProperty("after");
    expect(engine.events(container).slice(1)).toEqual(["start", "kill 15", "die 7", "stop", "start", "restart"]);
    await container.kill();
  });

  lifeTest("starts one that does not run", async () => {
    const container = await engine.create("sleep 1000");
    await container.restart();
    expect(engine.events(container)).toEqual(["create", "start", "restart"]);
    await container.kill();
  });

  lifeTest("that was broken off does not bring back what is stopped later", async () => {
    const container = await listening("TERM", { restart: "always" });
    engine.home.state.containers.update(container.id, (row) => ({ ...row, after: "restart" }));
    await container.stop();
    expect(await isDecided(container)).toBe(true);
    expect(await statusOf(container)).toBe("exited");
  });

  lifeTest("keeps one that is removed when it ends", async () => {
    const container = await listening("TERM", { remove: true });
    await container.restart();
    expect(await statusOf(container)).toBe("running");
    await container.stop();
    expect(await eventually(() => engine.row(container) === undefined, WAIT_MS)).toBe(true);
  });
});

describe("pause", () => {
  limitTest("stands still, and goes on", async () => {
    const container = await listening("TERM");
    await container.pause();
    expect(await statusOf(container)).toBe("paused");
    expect(await failureOf(() => container.pause())).toMatchObject({
      message: `Container ${container.id} is already paused`,
    });
    // what is sent waits
    await container.kill("SIGUSR1");
    await container.unpause();
    expect(await failureOf(() => container.unpause())).toMatchObject({
      message: `Container ${container.id} is not paused`,
    });
    expect(await container.wait()).toMatchObject({ exitCode: 128 + 10 });
    expect(engine.events(container).slice(2)).toEqual(["pause", "kill 10", "unpause", "die 138"]);
  });

  limitTest("what is paused is stopped, and killed", async () => {
    const stopped = await listening("TERM");
    await stopped.pause();
    await stopped.stop();
    expect(engine.events(stopped).slice(2)).toEqual(["pause", "kill 15", "unpause", "die 7", "stop"]);
    const killed = await listening("TERM");
    await killed.pause();
    await killed.kill();
    expect(await killed.record()).toMatchObject({ status: "exited", exitCode: 137 });
  });

  testUnless(withLimits, "is refused where there is no control group, as are limits", async () => {
    const container = await engine.run("sleep 1000");
    for (const attempt of [() => container.pause(), () => container.update({ limits: { pids: 10 } })])
      expect(await failureOf(attempt)).toMatchObject({ code: "limit_unavailable" });
    expect(await container.record()).toMatchObject({ status: "running", options: { command: expect.any(Array) } });
    expect((await container.record()).options).not.toHaveProperty("limits");
    await container.kill();
  });

  lifeTest("is refused where nothing runs", async () => {
    const container = await engine.create("true");
    expect(await failureOf(() => container.pause())).toMatchObject({
      code: "container_state",
      message: `container ${container.id} is not running`,
    });
  });
});

describe("wait", () => {
  lifeTest("for the end, which may have been", async () => {
    const container = await engine.run("sleep 0.2; exit 5");
    expect(await container.wait()).toEqual({ exitCode: 5, oomKilled: false });
    expect(await container.wait()).toEqual({ exitCode: 5, oomKilled: false });
    expect(await (await engine.create("true")).wait()).toEqual({ exitCode: 0, oomKilled: false });
  });

  lifeTest("for the next end", async () => {
    const container = await engine.run("exit 5");
    await container.wait();
    const next = container.wait({ condition: "next-exit" });
    await container.start();
    expect(await next).toMatchObject({ exitCode: 5 });
  });

  lifeTest("until it is removed", async () => {
    const container = await engine.run("sleep 0.2; exit 6", { remove: true });
    expect(await container.wait({ condition: "removed" })).toMatchObject({ exitCode: 6 });
    expect(engine.row(container)).toBeUndefined();
    expect(existsSync(engine.home.path(container.id))).toBe(false);
  });

  lifeTest("until somebody gives up", async () => {
    const container = await engine.run("sleep 1000");
    const stop = new AbortController();
    const waited = container.wait({ signal: stop.signal }).catch((error: unknown) => error);
    stop.abort(new Error("enough"));
    expect(await waited).toMatchObject({ message: "enough" });
    await container.kill();
  });
});

describe("update", () => {
  limitTest("changes limits of one that runs, and for its next start", async () => {
    const container = await engine.run("sleep 1000", { limits: { memory: "64mb", pids: 20 } });
    expect(await container.update({ limits: { memory: "32mb", pids: 10 } })).toEqual([]);
    const { cgroup, options } = await container.record();
    expect(options.limits).toEqual({ memory: "32mb", pids: 10 });
    const file = (controller: string, v1: string, v2: string) => {
      const paths = cgroup?.paths ?? {};
      const own = paths[controller];
      return readFileSync(own === undefined ? `${paths[""]}/${v2}` : `${own}/${v1}`, "utf8").trim();
    };
    expect(file("memory", "memory.limit_in_bytes", "memory.max")).toBe(String(32 * 2 ** 20));
    expect(file("pids", "pids.max", "pids.max")).toBe("11");
    await container.update({ limits: { pids: Infinity } });
    expect(file("pids", "pids.max", "pids.max")).toBe("max");
    expect((await container.record()).options.limits).toEqual({ memory: "32mb" });
    await container.kill();
  });

  lifeTest("changes one that does not run", async () => {
    const container = await engine.create("true");
    await container.update({ limits: { pids: 12 }, restart: "on-failure:3" });
    expect((await container.record()).options).toMatchObject({ limits: { pids: 12 }, restart: "on-failure:3" });
    expect(engine.events(container)).toEqual(["create", "update"]);
  });

  lifeTest("of a policy counts for a container that runs", async () => {
    const container = await engine.run("sleep 1000");
    await container.update({ restart: "on-failure:1" });
    process.kill(engine.command(container), "SIGKILL");
    expect(await becomes(container, ({ restarts, status }) => restarts === 1 && status === "running")).toBe(true);
    await container.update({ restart: "no" });
    process.kill(engine.command(container), "SIGKILL");
    await container.wait();
    expect(await container.record()).toMatchObject({ status: "exited", restarts: 1 });
  });

  lifeTest("refuses what cannot be changed", async () => {
    const container = await engine.create("true", { remove: true });
    for (const options of [
      { limits: { disk: "1mb" } },
      { limits: { memory: "1k" } },
      { limits: { memorySwap: "1mb" } },
      { restart: "sometimes" as never },
    ])
      expect(await failureOf(() => container.update(options))).toMatchObject({ code: "invalid_option" });
    expect(await failureOf(() => container.update({ restart: "always" }))).toMatchObject({
      message: "Restart policy cannot be updated because AutoRemove is enabled for the container",
    });
    expect(engine.events(container)).toEqual(["create"]);
  });
});

describe("rename", () => {
  lifeTest("gives a name that nobody has", async () => {
    const container = await engine.create("true", { name: "first" });
    const other = await engine.create("true", { name: "other" });
    await container.rename("second");
    expect((await engine.containers.get("second")).id).toBe(container.id);
    expect(await failureOf(() => engine.containers.get("first"))).toMatchObject({ code: "container_not_found" });
    expect(await failureOf(() => container.rename("other"))).toMatchObject({
      code: "name_in_use",
      message: expect.stringContaining(`The container name "/other" is already in use by container "${other.id}"`),
    });
    for (const name of ["", "second"])
      expect(await failureOf(() => container.rename(name))).toMatchObject({ code: "invalid_option" });
    for (const name of ["a b", "/"])
      expect(await failureOf(() => container.rename(name))).toMatchObject({ code: "name_invalid" });
    const renamed = engine.eventRows(container.id).find(({ action }) => action === "rename");
    expect(renamed?.attributes).toMatchObject({ name: "second", oldName: "/first" });
    const copy = readFileSync(join(engine.home.path(container.id), "record.json"), "utf8");
    expect(copy).toContain('"second"');
  });
});

/** Its command is killed from outside, as if it had ended often before. */
async function waitsLong(container: Container): Promise<void> {
  engine.home.state.containers.update(container.id, (row) => ({
    ...row,
    restartDelay: 600_000,
    // not so long ago that it had run well
    startedAt: Date.now() + 600_000,
  }));
  process.kill(engine.command(container), "SIGKILL");
  expect(await becomes(container, ({ status, restarts }) => status === "restarting" && restarts > 0)).toBe(true);
  expect((await container.record()).restartDelay).toBe(60_000);
}

async function waitingLong(): Promise<Container> {
  const container = await engine.run("sleep 1000", { restart: "always" });
  await waitsLong(container);
  return container;
}

describe("a restart policy", () => {
  lifeTest("starts after failures, so often and no more", async () => {
    const container = await engine.run("echo run >>/runs; exit 9", { restart: "on-failure:2" });
    expect(await becomes(container, ({ status, restarts }) => status === "exited" && restarts === 2)).toBe(true);
    expect(written(container, "runs")).toBe("run\n".repeat(3));
    expect(await container.record()).toMatchObject({ exitCode: 9, restartDelay: 200 });
    const expected = ["create", "start", "die 9", "start", "die 9", "start", "die 9"];
    expect(engine.events(container)).toEqual(expected);
    // whoever starts it lets it begin anew
    await container.start();
    expect(await becomes(container, ({ status, restarts }) => status === "exited" && restarts === 2)).toBe(true);
    expect(written(container, "runs")).toBe("run\n".repeat(6));
  });

  lifeTest("leaves alone what has done its work, or was stopped", async () => {
    const done = await engine.run("exit 0", { restart: "on-failure" });
    const stopped = await listening("TERM", { restart: "always" });
    await stopped.stop();
    const killed = await engine.run("sleep 1000", { restart: "unless-stopped" });
    await killed.kill();
    await done.wait();
    for (const container of [done, stopped, killed]) {
      expect(await isDecided(container)).toBe(true);
      expect(await statusOf(container)).toBe("exited");
      expect(engine.events(container).filter((event) => event === "start")).toHaveLength(1);
    }
  });

  lifeTest("lets nothing but a small image wait, and that is called off", async () => {
    const container = await waitingLong();
    const waitingNow = () => processes().filter(({ name }) => name === "tsbox-restart");
    expect(await eventually(() => waitingNow().length > 0)).toBe(true);
    const waiting = waitingNow();
    expect(await statusOf(container)).toBe("restarting");
    expect(await failureOf(() => container.pause())).toMatchObject({ message: expect.stringContaining("restarting") });
    expect(await failureOf(() => container.remove())).toMatchObject({ code: "container_state" });
    await container.stop();
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 137, stopped: true });
    const own = new Set(waiting.map(({ pid }) => pid));
    expect(
      await eventually(() => (reapOrphans(), !processes().some(({ pid, state }) => own.has(pid) && state !== "Z"))),
    ).toBe(true);
    expect(await statusOf(container)).toBe("exited");
  });

  lifeTest("waits, and whoever wants it starts or removes it meanwhile", async () => {
    const container = await waitingLong();
    await container.start();
    expect(await container.record()).toMatchObject({ status: "running", restarts: 0, restartDelay: 0 });
    const other = await waitingLong();
    await other.restart();
    expect(await statusOf(other)).toBe("running");
    await other.kill();
    await waitsLong(container);
    await container.remove({ force: true });
    expect(engine.row(container)).toBeUndefined();
    expect(existsSync(engine.home.path(container.id))).toBe(false);
  });

  lifeTest("removes what goes with its end", async () => {
    const container = await engine.run("exit 1", { remove: true });
    expect(await eventually(() => engine.row(container) === undefined, WAIT_MS)).toBe(true);
    expect(engine.events(container)).toEqual(["create", "start", "die 1", "destroy"]);
    expect(await eventually(() => !existsSync(engine.home.path(container.id)), WAIT_MS)).toBe(true);
  });
});

/** What its supervisor became has come to its end. */
const isDecided = ({ id }: Container) =>
  eventually(() => (reapOrphans(), !commandLines().includes(`container ended ${id}`)), WAIT_MS);

describe("when the machine goes down and comes up", () => {
  lifeTest("what is to run runs again, and nothing else", async () => {
    await using machine = new TestEngine();
    const always = await machine.run("sleep 1000", { restart: "always", stopTimeout: 0 });
    const stopped = await machine.run("sleep 1000", { restart: "always", stopTimeout: 0 });
    const unless = await machine.run("sleep 1000", { restart: "unless-stopped", stopTimeout: 0 });
    const ended = await machine.run("sleep 1000", { restart: "unless-stopped", stopTimeout: 0 });
    const plain = await machine.run("sleep 1000", { stopTimeout: 0 });
    const created = await machine.create("sleep 1000", { restart: "always" });
    await stopped.stop();
    await ended.stop();
    await machine.containers.halt();
    for (const container of [always, stopped, unless, ended, plain]) expect(await statusOf(container)).toBe("exited");
    const started = await machine.containers.boot();
    expect(started.map(({ id }) => id)).toEqual([always.id, stopped.id, unless.id]);
    expect(await statusOf(always)).toBe("running");
    expect(await statusOf(created)).toBe("created");
    expect(await machine.containers.boot()).toEqual([]);
  });

  lifeTest("other hierarchies of control groups than before keep nothing from starting, or from going", async () => {
    const container = await engine.run("sleep 1000");
    await container.kill();
    const paths = { "": "/sys/fs/elsewhere/group", memory: "/sys/fs/cgroup/no/such/group" };
    const cgroup = { paths, asked: false, rootless: false, made: true };
    engine.home.state.containers.update(container.id, (row) => ({ ...row, cgroup }));
    await container.start();
    expect(await statusOf(container)).toBe("running");
    await container.kill();
    engine.home.state.containers.update(container.id, (row) => ({ ...row, cgroup }));
    await container.remove();
    expect(engine.row(container)).toBeUndefined();
  });

  lifeTest("one that cannot be started is told, and keeps no other from it", async () => {
    await using machine = new TestEngine();
    const broken = await machine.run("sleep 1000", { restart: "always", stopTimeout: 0, cwd: "/" });
    const other = await machine.run("sleep 1000", { restart: "always", stopTimeout: 0 });
    await machine.containers.halt();
    machine.home.state.containers.update(broken.id, (row) => ({ ...row, command: ["/no/such/program"] }));
    const failed: string[] = [];
    const started = await machine.containers.boot(({ id }) => void failed.push(id));
    expect(started.map(({ id }) => id)).toEqual([other.id]);
    expect(failed).toEqual([broken.id]);
  });
});

describe("tsbox system", () => {
  const main = join(import.meta.dir, "../lib/cli/main.ts");
  async function system(root: string, ...words: string[]) {
    const child = Bun.spawn([process.execPath, main, "--root", root, "system", ...words], { stderr: "pipe" });
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { stdout, stderr, code };
  }

  lifeTest("halt and boot end and start containers, and say which", async () => {
    await using machine = new TestEngine();
    const container = await machine.run("sleep 1000", { restart: "unless-stopped", stopTimeout: 0 });
    expect(await system(machine.root, "halt")).toEqual({ stdout: "", stderr: "", code: 0 });
    expect(await statusOf(container)).toBe("exited");
    expect(await system(machine.root, "boot")).toEqual({ stdout: `${container.id}\n`, stderr: "", code: 0 });
    expect(await statusOf(container)).toBe("running");
    await machine.containers.halt();
    machine.home.state.containers.update(container.id, (row) => ({ ...row, command: ["/no/such/program"] }));
    const { stdout, stderr, code } = await system(machine.root, "boot");
    expect([stdout, code]).toEqual(["", 1]);
    expect(stderr).toContain(`${(await container.record()).name}: tsbox: `);
    expect(stderr).toContain("/no/such/program");
  });

  test("unit prints a service, for the machine or a user", async () => {
    const { stdout, code } = await system("/srv/tsbox", "unit");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ExecStart=.* --root \/srv\/tsbox system boot$/m);
    expect((await system("/srv/tsbox", "unit", "--user")).stdout).toContain("WantedBy=default.target");
  });
});

test("the unit calls tsbox, whatever its words are", () => {
  const text = unitOf({ command: ["/opt/my bun", "/a%b/$c.ts"], root: '/srv/"x\\y', user: false });
  expect(text).toContain('ExecStart="/opt/my bun" /a%%b/$$c.ts --root "/srv/\\"x\\\\y" system boot\n');
  expect(text).toContain("system halt\n");
  expect(text).toContain("WantedBy=multi-user.target\n");
  expect(unitOf({ command: ["/usr/bin/tsbox"], root: "/r", user: true })).toContain("WantedBy=default.target\n");
});
