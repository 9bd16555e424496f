/** Containers are made, found, listed, started, removed and followed by the library; images that they are made of stay. @module */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  Containers,
  type ContainerEvent,
  type ContainerOptions,
  type ContainerRecord,
} from "../lib/containers/index.ts";
import { checkContainerOptions } from "../lib/containers/check-options.ts";
import { eventTest } from "../lib/containers/event-tests.ts";
import { Home } from "../lib/containers/home.ts";
import { lock, tryLock } from "../lib/containers/lock.ts";
import { checkName, isId, newId, newName } from "../lib/containers/names.ts";
import { isAlive } from "../lib/containers/supervisor.ts";
import { Images } from "../lib/images/index.ts";
import { Directory } from "../syscalls/index.ts";
import { TestEngine } from "./support/engine.ts";
import { Tsbox } from "../lib/index.ts";
import { failureOf } from "./support/failure.ts";
import { noMounts, smallDisk } from "./support/full-disk.ts";
import { makeImage } from "./support/images.ts";
import { noBusybox, noLimits, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";
import { Folder } from "./support/rootfs.ts";

let engine: TestEngine;
beforeEach(() => {
  engine = new TestEngine();
});
afterEach(() => engine[Symbol.asyncDispose]());

const containerTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const message = async (attempt: () => unknown) => (await failureOf(attempt)).message;
const code = async (attempt: () => unknown) => (await failureOf(attempt)).code;
const namesIn = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);
const directories = () => namesIn(join(engine.root, "containers"));

const makeBox = (name = "docker.io/library/box:latest") =>
  makeImage(
    engine.root,
    name,
    [(layer) => cpSync(engine.rootfs.path, layer, { recursive: true, verbatimSymlinks: true })],
    {
      Cmd: ["sleep", "1000"],
      Env: ["A=1"],
      Labels: { of: "image" },
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/data": {} },
    },
  );

describe("names", () => {
  test("that are made up are two words, and ids 64 digits", () => {
    for (let at = 0; at < 100; at++) {
      expect(newName(0)).toMatch(/^[a-z]+_[a-z]+$/);
      expect(newName(3)).toMatch(/^[a-z]+_[a-z]+\d+$/);
      expect(isId(newId())).toBe(true);
    }
    expect(new Set(Array.from({ length: 200 }, newId)).size).toBe(200);
  });

  test.each(["web", "/web", "Web-1.2_3", "0a"])("%p is one", (name) => {
    expect(checkName(name)).toBe(name.replace("/", ""));
  });

  test.each(["", "a", "-a", ".a", "a b", "a/b", "//web", "ä1", 'x"y', "a\n"])("%p is none", async (name) => {
    expect(await message(() => checkName(name))).toBe(
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  });
});

describe("options that are refused before anything is made", () => {
  const cases: [string, object, string][] = [
    ["unknown", { nmae: "x" }, 'use the container option "nmae": unknown'],
    ["of another kind", { labels: { a: 1 } }, 'use the label "a" 1: not a string'],
    ["that live in this program", { terminal: { data() {} } }, 'use the container option "terminal.data"'],
    ["a signal", { signal: new AbortController().signal }, 'use the container option "signal": unknown'],
    ["restart and remove", { restart: "always", remove: true }, "conflicting options: cannot specify both --restart"],
    ["a restart policy", { restart: "sometimes" }, 'use the restart policy "sometimes"'],
    ["a limit of CPU time", { limits: { cpuTime: "1s" } }, 'use the limit "cpuTime" of a container'],
    ["a time limit of no time", { limits: { time: 0 } }, "use the time limit 0"],
    ["a limit of no output", { limits: { output: "many" } }, 'use the output limit "many"'],
    ["a policy that is none", { network: { allow: "example.com" } }, 'use allow "example.com": not an array'],
    ["a policy that asks", { network: { connect: () => true } }, 'use the container option "network.connect"'],
    ["a policy with servers", { network: { hosts: {} } }, "use hosts in the policy of a container"],
    ["a policy and servers for names", { network: {}, dns: ["192.0.2.1"] }, "dns and a network policy"],
    ["a list of networks", { network: ["web"] }, "of a container: not a list"],
    ["a log driver", { log: { driver: "syslog" } }, 'use the log driver "syslog": not understood'],
    ["no log files", { log: { maxFiles: 0 } }, "use the log maxFiles 0: not understood"],
    ["a host", { addHosts: ["db"] }, 'bad format for add-host: "db"'],
    ["a stream", { attach: ["stdlog"] }, 'use the stream "stdlog": not understood'],
    ["a command that is none", { command: "ls" }, 'use the command "ls": not an array'],
    ["a health check", { health: { retries: -1 } }, "use the health retries -1: not understood"],
    ["a stop signal", { stopSignal: "SIGNOT" }, "SIGNOT"],
    ["a stop time-out", { stopTimeout: "soon" }, 'stop timeout "soon": not understood'],
  ];
  test.each(cases)("%s", async (_, options, expected) => {
    const failure = await failureOf(() => checkContainerOptions(options as ContainerOptions));
    expect(failure.message).toContain(expected);
    expect(failure.code).toBe("invalid_option");
  });

  test("what is left", () => {
    expect(checkContainerOptions({ name: "/web", env: { GONE: undefined }, stopTimeout: -1 })).toStrictEqual({
      name: "web",
      env: { GONE: undefined },
      stopTimeout: -1,
    });
  });

  containerTest("leave nothing", async () => {
    const failing: [ContainerOptions, string][] = [
      [{ user: "nobody-here" }, "user_not_found"],
      [{ security: { capabilities: ["CAP_NOT"] } }, "invalid_option"],
      [{ volumes: ["data:relative"] }, "invalid_option"],
      [{ volumesFrom: ["nobody"] }, "container_not_found"],
      [{ image: "nosuch", pull: "never" } as ContainerOptions, "invalid_option"],
      [{ image: { reference: "nosuch", pull: "never" } }, "image_not_found"],
    ];
    const found: [ContainerOptions, string][] = [];
    for (const [options] of failing) {
      const volumes = ["/own", ...(options.volumes ?? [])];
      found.push([options, await code(() => engine.create("true", { ...options, name: "web", volumes }))]);
    }
    expect(found).toEqual(failing);
    expect(await code(() => engine.containers.create({ rootfs: engine.rootfs.path }))).toBe("invalid_option");
    expect([await engine.containers.list({ all: true }), directories()]).toEqual([[], []]);
    expect(namesIn(join(engine.root, "volumes"))).toEqual([]);
    await engine.create("true", { name: "web" });
  });
});

describe("a container", () => {
  containerTest("is made, found, started, and removed with all it has", async () => {
    const container = await engine.create("exit 3", { name: "web", labels: { tier: "front" }, volumes: ["/data"] });
    const { id } = container;
    const record = await container.record();
    expect(record).toMatchObject({
      version: 1,
      id,
      name: "web",
      status: "created",
      command: ["sh", "-c", "exit 3"],
      hostname: id.slice(0, 12),
      pid: 0,
      restarts: 0,
      stopped: false,
      volumes: [{ target: "/data", anonymous: true }],
    });
    for (const name of ["web", "/web", id, id.slice(0, 12), id.slice(0, 1)])
      expect((await engine.containers.get(name)).id).toBe(id);
    await container.start();
    expect((await container.wait()).exitCode).toBe(3);
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 3, pid: 0, oomKilled: false });
    expect(engine.events(container)).toEqual(["create", "start", "die 3"]);
    const { attributes } = engine.eventRows(id).at(-1) as ContainerEvent;
    expect(attributes).toMatchObject({ name: "web", tier: "front", exitCode: "3", execDuration: "0" });
    await container.remove({ volumes: true });
    expect([directories(), namesIn(join(engine.root, "volumes"))]).toEqual([[], []]);
    for (const attempt of [() => container.record(), () => container.start(), () => container.remove()])
      expect(await message(attempt)).toBe(`No such container: ${id}`);
  });

  containerTest("that is not there, or not the only one", async () => {
    expect(await message(() => engine.containers.get("web"))).toBe("No such container: web");
    expect(await message(() => engine.containers.get(""))).toBe("No such container: ");
    const made: string[] = [];
    // of seventeen, two begin with the same digit
    for (let at = 0; at < 17; at++) made.push((await engine.create("true")).id[0] as string);
    const twice = made.find((digit, at) => made.indexOf(digit) !== at) as string;
    expect(await message(() => engine.containers.get(twice))).toBe(`multiple IDs found with provided prefix: ${twice}`);
  });

  containerTest("has a name that is nobody else's", async () => {
    const { id } = await engine.create("true", { name: "web" });
    const conflict =
      `Conflict. The container name "/web" is already in use by container "${id}". ` +
      "You have to remove (or rename) that container to be able to reuse that name.";
    const failure = await failureOf(() => engine.create("true", { name: "web" }));
    expect([failure.code, failure.message]).toEqual(["name_in_use", conflict]);
    expect(directories()).toEqual([id]);
  });

  containerTest("that cannot be started says why, and stays", async () => {
    const container = await engine.create(["nosuch"], { name: "bad" });
    expect(await code(() => container.start())).toBe("command_not_found");
    expect(await container.record()).toMatchObject({ status: "created", exitCode: 127, pid: 0 });
    expect((await container.record()).error).toContain("nosuch");
    const other = await engine.create(["/etc/passwd"]);
    expect(await code(() => other.start())).toBe("command_not_executable");
    expect(await other.record()).toMatchObject({ status: "created", exitCode: 126 });
    const passing = await engine.create(["nosuch"], { remove: true });
    expect(await code(() => passing.start())).toBe("command_not_found");
    expect(await code(() => passing.record())).toBe("container_not_found");
    expect(directories().length).toBe(2);
  });

  containerTest("that runs is started once, and not removed unless that is forced", async () => {
    const container = await engine.run("sleep 1000", { name: "web" });
    const { pid, startedAt } = await container.record();
    await container.start();
    expect(await container.record()).toMatchObject({ pid, startedAt: startedAt as number });
    const failure = await failureOf(() => container.remove());
    expect([failure.code, failure.message]).toEqual([
      "container_state",
      'cannot remove container "/web": container is running: stop the container before removing or force remove',
    ]);
    await container.remove({ force: true });
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(engine.events(container)).toEqual(["create", "start", "kill 9", "die 137", "destroy"]);
    expect(directories()).toEqual([]);
  });

  containerTest("whose directory somebody has removed is known to be over", async () => {
    const container = await engine.run("sleep 1000", { rootfs: "host" });
    const { pid } = await container.record();
    engine.home.state.containers.update<ContainerRecord>(container.id, (row) => ({ ...row, pid: 0 }));
    process.kill(pid, "SIGKILL");
    expect(await eventually(() => !isAlive(engine.home, container.id))).toBe(true);
    rmSync(engine.home.path(container.id), { recursive: true });
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 137 });
    await container.remove();
    expect(await engine.containers.list({ all: true })).toEqual([]);
  });

  containerTest("is asked for nothing by an engine that has been disposed of", async () => {
    const container = await engine.create("true", { name: "left" });
    const other = new Tsbox({ root: engine.root });
    const same = await other.containers.get("left");
    other[Symbol.dispose]();
    for (const attempt of [
      () => other.containers.list(),
      () => other.containers.get("left"),
      () => other.containers.create({ rootfs: engine.rootfs.path, command: ["true"] }),
      () => other.containers.prune(),
      () => other.containers.events({ since: 0 }).next(),
      () => same.start(),
      () => same.logs().next(),
      () => same.remove(),
      () => other.images.list(),
      () => other.volumes.create(),
      () => other.networks.list(),
      () => other.build({ context: "." }),
      () => other.buildCacheUsage(),
    ])
      expect(await failureOf(attempt as () => Promise<unknown>)).toMatchObject({
        code: "engine_closed",
        message: "use an engine that has been disposed of",
      });
    expect((await container.record()).status).toBe("created");
  });

  for (const leftKib of [0, 36]) {
    testUnless(noMounts ?? noBusybox, `on a disk with ${leftKib} KiB left is listed, stopped and removed`, async () => {
      using folder = new Folder();
      using disk = smallDisk(folder, 4096);
      const root = join(disk.path, "store");
      // each a program of its own, that opens what it needs
      async function inNew<T>(act: (containers: Containers) => Promise<T>): Promise<T> {
        using other = new Containers(root);
        return await act(other);
      }
      const options = { rootfs: engine.rootfs.path, command: ["sleep", "1000"] };
      for (const name of ["one", "two"]) await inNew((containers) => containers.run({ ...options, name }));
      try {
        disk.fill(leftKib);
        const statuses = () =>
          inNew(async (containers) => (await containers.list({ all: true })).map(({ status }) => status));
        expect(await statuses()).toEqual(["running", "running"]);
        await inNew(async (containers) => (await containers.get("one")).stop({ timeout: 0 }));
        expect((await statuses()).toSorted()).toEqual(["exited", "running"]);
      } finally {
        for (const name of ["one", "two"])
          await inNew(async (containers) => (await containers.get(name)).remove({ force: true }));
      }
      expect(await inNew((containers) => containers.list({ all: true }))).toEqual([]);
    });
  }

  test("whose events somebody waits for when the engine is disposed of: they end, and no store is made anew", async () => {
    const root = join(engine.root, "other");
    const other = new Tsbox({ root });
    const next = other.containers.events().next();
    // what comes before it waits is done in one go
    expect(await eventually(() => existsSync(root))).toBe(true);
    other[Symbol.dispose]();
    rmSync(root, { recursive: true });
    expect(await next).toEqual({ done: true, value: undefined });
    expect(existsSync(root)).toBe(false);
  });

  testUnless(noLimits, "that is paused while the database is lost is found so, and removed", async () => {
    const container = await engine.run("sleep 1000", { name: "paused" });
    const { pid } = await container.record();
    await container.pause();
    engine.reopen();
    for (const name of namesIn(engine.root)) if (name.startsWith("state.db")) rmSync(join(engine.root, name));
    const [found, ...others] = await engine.containers.list();
    expect([found?.name, found?.status, found?.pid, others]).toEqual(["paused", "paused", pid, []]);
    const again = await engine.containers.get("paused");
    await again.unpause();
    await again.pause();
    await again.remove({ force: true });
    expect(await eventually(() => !existsSync(`/proc/${pid}`))).toBe(true);
  });

  containerTest("is found again, running or not, where the database was damaged", async () => {
    const [running, ended, made] = [
      await engine.run("sleep 1000", { name: "running" }),
      await engine.run("exit 5", { name: "ended" }),
      await engine.create("true", { name: "made" }),
    ];
    await ended.wait();
    const { pid } = await running.record();
    await running.rename("renamed");
    engine.reopen();
    writeFileSync(join(engine.root, "state.db"), "x".repeat(10_000));
    const child = Bun.spawnSync(
      [
        process.execPath,
        "-e",
        `const { Containers } = await import(${JSON.stringify(join(import.meta.dir, "../lib/containers/index.ts"))});
         const containers = new Containers(${JSON.stringify(engine.root)});
         console.log(JSON.stringify(await containers.list({ all: true })));`,
      ],
      { stdin: "ignore", stderr: "pipe" },
    );
    const found = JSON.parse(child.stdout.toString()) as ContainerRecord[];
    expect(found.map(({ id, name, status }) => [id, name, status])).toEqual([
      [made.id, "made", "created"],
      [ended.id, "ended", "exited"],
      [running.id, "renamed", "running"],
    ]);
    expect(found.map((each) => [each.pid, each.exitCode])).toEqual([
      [0, undefined],
      [0, 5],
      [pid, 0],
    ] as never);
    expect(child.stderr.toString()).toContain("state.db is damaged: it is kept as");
    const again = await engine.containers.get(running.id);
    await again.stop({ timeout: 0 });
    expect((await again.record()).status).toBe("exited");
  });
});

describe("a lock", () => {
  containerTest("is held by one, goes with the container, and tells", async () => {
    const { id } = await engine.create("true");
    const held = tryLock(engine.home, id);
    expect(tryLock(engine.home, id)).toBeUndefined();
    const waiting = lock(engine.home, id);
    setTimeout(() => held?.[Symbol.dispose](), 20);
    (await waiting)[Symbol.dispose]();
    expect(await code(() => lock(engine.home, newId()))).toBe("container_not_found");
  });

  containerTest("of a directory that somebody removes meanwhile is nobody's", () => {
    using home = new Home(engine.root);
    home.directory = (id) => {
      mkdirSync(home.path(id), { recursive: true });
      const directory = Directory.open(home.path(id));
      rmdirSync(home.path(id));
      return directory;
    };
    expect(tryLock(home, newId())).toBeUndefined();
  });
});

describe("leftovers of commands that were killed", () => {
  containerTest("are removed by the next one: a directory without a row, and rows that are not whole", async () => {
    const kept = await engine.create("true");
    const [orphan, other] = [newId(), "not-an-id"];
    for (const name of [orphan, other]) mkdirSync(join(engine.home.path(name), "layer/upper"), { recursive: true });
    const half = await engine.create("true", { name: "half", volumes: ["/data"] });
    engine.home.state.containers.update<ContainerRecord>(half.id, (row) => ({ ...row, status: "creating" }));
    const going = await engine.create("true", { name: "going" });
    engine.home.state.containers.update<ContainerRecord>(going.id, (row) => ({ ...row, status: "removing" }));
    // neither found nor counted
    expect(await code(() => engine.containers.get("half"))).toBe("container_not_found");
    expect((await engine.containers.list({ all: true })).map(({ id }) => id)).toEqual([kept.id]);
    expect(directories().toSorted()).toEqual([kept.id, other].toSorted());
    expect(namesIn(join(engine.root, "volumes"))).toEqual([]);
    expect(engine.events(half)).toEqual(["create"]);
    expect(engine.events(going)).toEqual(["create", "destroy"]);
  });

  containerTest("that a command is at are left alone", async () => {
    const half = await engine.create("true", { name: "half" });
    engine.home.state.containers.update<ContainerRecord>(half.id, (row) => ({ ...row, status: "creating" }));
    {
      using held = tryLock(engine.home, half.id);
      expect(held).toBeDefined();
      expect(await engine.containers.list({ all: true })).toEqual([]);
      expect(directories()).toEqual([half.id]);
      expect(await code(() => engine.create("true", { name: "half" }))).toBe("name_in_use");
    }
    await engine.create("true", { name: "half" });
  });
});

describe("options of verbs", () => {
  containerTest("are refused where they are misspelt: nothing else is done instead", async () => {
    const container = await engine.create("true", { name: "kept" });
    const { containers } = engine;
    const bad = (options: object) => options as never;
    for (const [work, why] of [
      [() => containers.prune(bad({ filter: { label: ["x"] } })), 'use the option "filter" of prune: unknown'],
      [() => containers.prune(bad({ filters: { label: "x" } })), 'use the filter "label" "x": not an array of strings'],
      [() => containers.list(bad({ al: true })), 'use the option "al" of list: unknown'],
      [() => containers.list(bad({ filters: ["x"] })), "not an object"],
      [() => container.remove(bad({ forced: true })), 'use the option "forced" of remove: unknown'],
      [() => container.stop(bad({ timeoutMs: 1 })), 'use the option "timeoutMs" of stop: unknown'],
      [() => container.restart(bad([])), "not an object"],
      [() => container.update(bad({ memory: "1g" })), 'use the option "memory" of update: unknown'],
      [() => container.wait(bad({ condition: "over" })), 'use the condition to wait for "over": not understood'],
      [() => container.logs(bad({ lines: 3 })).next(), 'use the option "lines" of logs: unknown'],
      [() => containers.events(bad({ filter: {} })).next(), 'use the option "filter" of events: unknown'],
      [() => container.writeLogs(bad({ tial: 1 }), () => {}), 'use the option "tial" of writeLogs: unknown'],
      [() => container.stats(bad({ intervalMs: 3 })).next(), 'use the option "intervalMs" of stats: unknown'],
      [() => container.stats({ interval: "1 parsec" }).next(), 'use the interval "1 parsec"'],
      [() => container.inspect(bad({ sise: true })), 'use the option "sise" of inspect: unknown'],
      [() => container.attach(bad({ log: true })), 'use the option "log" of attach: unknown'],
      [() => container.commit("x", bad({ comment: "x" })), 'use the option "comment" of commit: unknown'],
      [() => container.stat("/", bad({ followLink: false })), 'use the option "followLink" of stat: unknown'],
      [() => container.copyOut("/", bad({ follow: true })), 'use the option "follow" of copyOut: unknown'],
      [
        () => container.copyIn("/", new ReadableStream(), bad({ sameOwner: true })),
        'use the option "sameOwner" of copyIn: unknown',
      ],
      [() => containers.connect("net", "kept", bad({ address: "" })), 'use the option "address" of connect: unknown'],
      [() => containers.bootUnit(bad({ users: true })), 'use the option "users" of bootUnit: unknown'],
      [() => containers.create({ command: ["true"] }, bad({ progress: 1 })), 'use the option "progress" of making'],
    ] as [() => Promise<unknown>, string][])
      expect(await message(work)).toContain(why);
    expect((await container.record()).status).toBe("created");
  });
});

describe("lists", () => {
  containerTest("know containers by ports inside that are published", async () => {
    await makeBox();
    await engine.create("true", { name: "one", ports: ["8080:80", "9000-9001:53-54/udp"] });
    await engine.create("true", { name: "all", image: "box", publishAll: true });
    await engine.create("true", { name: "none", image: "box" });
    for (const [publish, expected] of [
      ["80", ["all", "one"]],
      ["80/udp", []],
      ["8080", []],
      ["54/udp", ["one"]],
      ["1-79/udp", ["one"]],
    ] as [string, string[]][]) {
      const found = await engine.containers.list({ all: true, filters: { publish: [publish] } });
      expect([publish, found.map(({ name }) => name).toSorted()]).toEqual([publish, expected]);
    }
    const exposing = await engine.containers.list({ all: true, filters: { expose: ["54/udp"] } });
    expect(exposing.map(({ name }) => name)).toEqual(["one"]);
  });

  containerTest("have their images' names as long as these lead there", async () => {
    await makeBox();
    await makeImage(engine.root, "docker.io/library/next:1", []);
    using images = new Images(engine.root);
    const { id: old } = await engine.create("true", { name: "old", image: "box" });
    await engine.create("true", { name: "plain" });
    const { containers } = engine;
    const named = async () => [...(await containers.withoutImageName(await containers.list({ all: true })))];
    const children = async (ancestor: string) =>
      (await containers.list({ all: true, filters: { ancestor: [ancestor] } })).map(({ name }) => name);
    expect([await named(), await children("box")]).toEqual([[], ["old"]]);
    await images.tag("next:1", "box");
    expect([await named(), await children("box")]).toEqual([[old], []]);
    await images.remove("box");
    expect([await named(), await children("box")]).toEqual([[old], ["old"]]);
  });

  containerTest("have what a filter means", async () => {
    const { id: image } = await makeBox();
    await makeImage(engine.root, "docker.io/library/other:1", []);
    const first = await engine.create("exit 4", { name: "first", labels: { a: "1", b: "" }, expose: ["90-91/udp"] });
    await first.start();
    await first.wait();
    await Bun.sleep(2);
    const second = await engine.create("true", {
      name: "second",
      image: "box",
      labels: { a: "2" },
      volumes: ["data:/d"],
    });
    await Bun.sleep(2);
    const third = await engine.run("sleep 1000", { name: "third", health: { test: "true", interval: "1h" } });
    const all = ["third", "second", "first"];
    const names = async (filters: Record<string, string[]>, everything = true) =>
      (await engine.containers.list({ all: everything, filters })).map(({ name }) => name);
    const cases: [Record<string, string[]>, string[]][] = [
      [{}, all],
      [{ name: ["ir"] }, ["third", "first"]],
      [{ name: ["^/second$", "^third$"] }, ["third", "second"]],
      [{ name: ["["] }, []],
      [{ id: [first.id.slice(0, 20)] }, ["first"]],
      [{ label: ["a"] }, ["second", "first"]],
      [{ label: ["a=1"] }, ["first"]],
      [{ label: ["a", "b"] }, ["first"]],
      [{ label: ["a=1", "a=2"] }, []],
      [{ status: ["created", "running"] }, ["third", "second"]],
      [{ status: ["exited"], label: ["a=2"] }, []],
      [{ exited: ["4"] }, ["first"]],
      [{ exited: ["0"] }, []],
      [{ before: ["second"] }, ["first"]],
      [{ since: [second.id] }, ["third"]],
      [{ volume: ["data"] }, ["second"]],
      [{ volume: ["/d"] }, ["second"]],
      [{ volume: ["/data"] }, ["second"]],
      [{ ancestor: ["box"] }, ["second"]],
      [{ ancestor: ["docker.io/library/box:latest"] }, ["second"]],
      [{ ancestor: [image] }, ["second"]],
      [{ ancestor: [image.slice(7, 19)] }, ["second"]],
      [{ ancestor: ["other:1"] }, []],
      [{ ancestor: ["nosuch"] }, []],
      [{ health: ["starting", "healthy"] }, ["third"]],
      [{ health: ["none"] }, ["second", "first"]],
      [{ network: ["none"] }, all],
      [{ network: ["bridge"] }, []],
      [{ expose: ["80"] }, ["second"]],
      [{ expose: ["91/udp"] }, ["first"]],
      [{ expose: ["1-100/tcp"] }, ["second"]],
      [{ publish: ["80"] }, []],
      [{ publish: ["1-65535"] }, []],
      [{ "is-task": ["false"] }, all],
      [{ "is-task": ["true"] }, []],
    ];
    for (const [filters, expected] of cases) expect([filters, await names(filters)]).toEqual([filters, expected]);
    expect(await names({}, false)).toEqual(["third"]);
    expect(await names({ status: ["exited"] }, false)).toEqual(["first"]);
    for (const [filters, why] of [
      [{ nosuch: ["x"] }, "invalid filter 'nosuch'"],
      [{ status: ["up"] }, "invalid filter 'status=up'"],
      [{ exited: ["x"] }, "invalid filter 'exited=x'"],
      [{ health: ["ill"] }, "invalid filter 'health=ill'"],
      [{ expose: ["99999"] }, "invalid filter 'expose=99999'"],
      [{ "is-task": ["maybe"] }, "invalid filter 'is-task=maybe'"],
      [{ before: ["nosuch"] }, "No such container: nosuch"],
    ] as [Record<string, string[]>, string][])
      expect(await message(() => engine.containers.list({ filters }))).toBe(why);
    await third.remove({ force: true });
  });

  containerTest("are pruned of what does not run", async () => {
    const running = await engine.run("sleep 1000");
    const ended = await engine.run("echo hello >/file", { labels: { keep: "no" } });
    await ended.wait();
    const kept = await engine.create("true", { labels: { keep: "yes" } });
    expect(await code(() => engine.containers.prune({ filters: { status: ["exited"] } }))).toBe("invalid_option");
    expect((await engine.containers.prune({ filters: { until: ["1h"] } })).removed).toEqual([]);
    expect(await engine.containers.prune({ filters: { "label!": ["keep=yes"] } })).toEqual({
      removed: [ended.id],
      freedBytes: 6,
    });
    expect((await engine.containers.prune()).removed).toEqual([kept.id]);
    expect(directories()).toEqual([running.id]);
  });
});

describe("events", () => {
  const EVENT: ContainerEvent = {
    time: 1,
    sequence: 1,
    type: "container",
    action: "health_status: healthy",
    id: "0123456789abcdef",
    attributes: { name: "web", image: "box:1", tier: "front" },
  };
  test.each<[Record<string, string[]>, boolean]>([
    [{}, true],
    [{ container: ["web"] }, true],
    [{ container: ["0123"] }, true],
    [{ container: ["db", "web"] }, true],
    [{ container: ["db"] }, false],
    [{ event: ["health_status"] }, true],
    [{ event: ["health_status: healthy"] }, true],
    [{ event: ["die"] }, false],
    [{ image: ["box"] }, true],
    [{ image: ["box:1"] }, true],
    [{ image: ["box:2"] }, false],
    [{ label: ["tier"] }, true],
    [{ label: ["tier=front", "tier=back"] }, false],
    [{ type: ["volume"] }, false],
    [{ type: ["container"], event: ["die"] }, false],
    [{ volume: ["web"] }, false],
  ])("%p means it: %p", (filters, expected) => {
    expect(eventTest(filters)(EVENT)).toBe(expected);
  });

  test("of a filter that there is not", async () => {
    expect(await message(() => eventTest({ nosuch: [] }))).toBe("invalid filter 'nosuch'");
  });

  containerTest("are followed as they happen, of others' commands and of ends that nobody watches", async () => {
    const seen: string[] = [];
    const ending = new AbortController();
    const follow = async () => {
      for await (const { action, attributes } of engine.containers.events({ signal: ending.signal }))
        seen.push(`${action} ${attributes["name"]}`);
    };
    const following = follow();
    await Bun.sleep(50);
    const container = await engine.run("sleep 1000", { name: "web" });
    const { pid } = await container.record();
    expect(await eventually(() => seen.length === 2)).toBe(true);
    process.kill(pid, "SIGKILL");
    expect(await eventually(() => seen.length === 3)).toBe(true);
    await container.remove();
    expect(await eventually(() => seen.length === 4)).toBe(true);
    ending.abort();
    await following;
    expect(seen).toEqual(["create web", "start web", "die web", "destroy web"]);
  });

  containerTest("of a time are told, and end there", async () => {
    const first = await engine.run("true", { name: "first" });
    await first.wait();
    await Bun.sleep(5);
    const since = Date.now();
    const second = await engine.run("true", { name: "second" });
    await second.wait();
    const until = Date.now();
    await Bun.sleep(5);
    await first.remove();
    const told = async (options: Parameters<typeof engine.containers.events>[0]) => {
      const found: string[] = [];
      for await (const { action, attributes } of engine.containers.events(options))
        found.push(`${action} ${attributes["name"]}`);
      return found;
    };
    expect(await told({ since, until })).toEqual(["create second", "start second", "die second"]);
    expect(
      await told({ since: 0, until: Date.now(), filters: { container: ["first"], event: ["die", "destroy"] } }),
    ).toEqual(["die first", "destroy first"]);
    expect(await told({ until })).toEqual([]);
    const soon = Date.now() + 100;
    expect(await told({ until: soon })).toEqual([]);
    expect(Date.now()).toBeGreaterThanOrEqual(soon);
  });
});

describe("an image that a container is made of", () => {
  containerTest("stays until the container is gone, in Docker's words", async () => {
    const { id: image } = await makeBox();
    const short = image.slice(7, 19);
    using images = new Images(engine.root);
    const container = await engine.containers.create({ image: "box" });
    expect(await container.record()).toMatchObject({
      image: { reference: "box", id: image },
      command: ["sleep", "1000"],
      options: { image: "box" },
    });
    const by = container.id.slice(0, 12);
    expect(await message(() => images.remove("box"))).toBe(
      `conflict: unable to remove repository reference "box" (must force) - container ${by} is using its referenced image ${short}`,
    );
    expect(await message(() => images.remove(short))).toBe(
      `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container ${by}`,
    );
    expect((await images.prune({ all: true })).untagged).toEqual([]);
    await container.start();
    expect(await message(() => images.remove(short, { force: true }))).toBe(
      `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container ${by}`,
    );
    expect((await images.diskUsage()).active).toBe(1);
    // whoever asks finds out that it has ended, though nobody has written it down
    process.kill((await container.record()).pid, "SIGKILL");
    expect(await eventually(() => !isAlive(engine.home, container.id))).toBe(true);
    expect(await message(() => images.remove(short))).toContain(`(must be forced) - image is being used by stopped`);
    // its name goes, and it stays
    expect(await images.remove("box", { force: true })).toMatchObject({ untagged: ["box:latest"], deleted: [] });
    expect((await images.prune()).deleted).toEqual([]);
    await container.start();
    await container.remove({ force: true, volumes: true });
    expect((await images.prune()).deleted).not.toEqual([]);
    expect(await images.list()).toEqual([]);
  });

  containerTest("is that image, whatever its name means by now", async () => {
    const { id } = await makeBox();
    const container = await engine.containers.create({ image: "box", command: ["sh", "-c", "exit 6"] });
    const { id: other } = await makeImage(engine.root, "docker.io/library/box:latest", []);
    expect(other).not.toBe(id);
    await container.start();
    expect((await container.wait()).exitCode).toBe(6);
    expect((await container.record()).image?.id).toBe(id);
  });
});
