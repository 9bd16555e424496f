/** Containers as directories: crashes at any point, two commands at once, other versions, and what others put there. @module */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { checkId, Container, kill, list, remove, signalProcess, startTimeOf, state } from "../lib/oci/index.ts";
import { parseRecord } from "../lib/oci/record.ts";
import { WAITING } from "../lib/oci/container.ts";
import { close, sealedFile, TsboxError } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { ociAs, recorded, recordOf, runtimeIn } from "./support/oci.ts";
import { eventually } from "./support/processes.ts";
import { call, probe } from "./support/probe.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const runtime = runtimeIn(folder);
const inRoot = (...names: string[]) => join(runtime.root, ...names);

beforeEach(() => {
  rmSync(runtime.root, { recursive: true, force: true });
  runtime.told.splice(0);
});

const failure = async (attempt: () => unknown) => {
  const { code, message } = await failureOf(attempt);
  return `${code}: ${message}`;
};
const NOT_FOUND = 'container_not_found: find container "c": container does not exist';
const EXISTS = 'container_exists: create container "c": container with given ID already exists';

/** Another process that has the engine; it is given `runtime`, and runs until it is killed. */
async function another(body: string): Promise<{ pid: number; kill(): Promise<void> }> {
  const oci = JSON.stringify(join(import.meta.dir, "../lib/oci/index.ts"));
  const support = JSON.stringify(join(import.meta.dir, "support/oci.ts"));
  const file = folder.write(
    `another-${Bun.hash(body).toString(36)}.ts`,
    `import { Container } from ${oci};
     import { recordOf } from ${support};
     const log = { debug() {}, warn() {}, error() {} };
     const runtime = { root: ${JSON.stringify(runtime.root)}, rootIsDefault: false, systemdCgroup: false, rootless: false, log };
     ${body}
     console.log("there");
     setInterval(() => {}, 1000);`,
  );
  const child = Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("there\n");
  return {
    pid: child.pid,
    async kill() {
      expect(child.exitCode).toBe(null);
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

describe("ids", () => {
  test.each(["a", "A-b_c.d+e", "0", "a...", "x".repeat(1024), "-f"])("%s", (id) => checkId(id));

  test.each(["", ".", "..", ".a", "a/b", "../a", "a b", "a\n", "a\0", "ü", "a:b", "x".repeat(1025)])(
    "%j is none",
    async (id) => {
      expect(await failure(() => checkId(id))).toContain("invalid container ID format");
      for (const use of [() => Container.reserve(runtime, id), () => state(runtime, id), () => remove(runtime, id)]) {
        expect(await failure(use)).toContain("invalid container ID format");
      }
    },
  );
});

describe("a new container", () => {
  test("has a directory that is its maker's", () => {
    using container = Container.reserve(runtime, "c");
    expect(container.directory.names()).toEqual([]);
    expect([statSync(runtime.root).mode & 0o7777, statSync(inRoot("c")).mode & 0o7777]).toEqual([0o1700, 0o711]);
  });

  test("is made once", async () => {
    recorded(runtime, "c");
    expect(await failure(() => Container.reserve(runtime, "c"))).toBe(EXISTS);
    expect(readdirSync(inRoot("c"))).toEqual(["state.json"]);
  });

  test("is made by one of two at once", async () => {
    const first = await another(`globalThis.kept = Container.reserve(runtime, "c");`);
    expect(await failure(() => Container.reserve(runtime, "c"))).toBe(EXISTS);
    await first.kill();
    // what it left is empty, and nobody's
    Container.reserve(runtime, "c")[Symbol.dispose]();
  });

  test("does not take what was left half made; that can be deleted", async () => {
    mkdirSync(inRoot("c"), { recursive: true });
    writeFileSync(inRoot("c/config.json"), "{}");
    expect(await failure(() => Container.reserve(runtime, "c"))).toBe(EXISTS);
    expect(await failure(() => state(runtime, "c"))).toBe(NOT_FOUND);
    expect(await list(runtime)).toEqual([]);
    expect(await failure(() => remove(runtime, "c"))).toBe(NOT_FOUND);
    expect(existsSync(inRoot("c"))).toBe(false);
    Container.reserve(runtime, "c")[Symbol.dispose]();
  });

  test("needs a root that can be written", async () => {
    folder.write("file");
    const { code } = await failureOf(() => Container.reserve({ ...runtime, root: join(folder.path, "file") }, "c"));
    expect(code).toBe("system");
  });
});

describe("the record", () => {
  test("comes back as it was written", () => {
    const record = {
      ...recordOf("c"),
      annotations: { "a.b": "ü\n" },
      cgroup: {
        paths: { "": "/x" },
        asked: true,
        rootless: false,
        made: true,
        unit: { name: "tsbox-a.scope", slice: "system.slice", annotations: { "org.systemd.property.X": "1" } },
      },
    };
    {
      using made = Container.reserve(runtime, "c");
      made.save(record);
      made.config = '{"a":1}';
    }
    using found = Container.open(runtime, "c");
    expect([found.record, found.config]).toEqual([record, '{"a":1}']);
    expect(statSync(inRoot("c/state.json")).mode & 0o777).toBe(0o600);
    expect(found.directory.names().toSorted()).toEqual(["config.json", "state.json"]);
  });

  test("is whole whenever somebody reads it, also where its writer is killed", async () => {
    for (let turn = 0; turn < 5; turn++) {
      const writer = await another(`
        const container = (globalThis.kept = Container.reserve(runtime, "c${turn}"));
        const record = recordOf("c${turn}");
        container.save({ ...record, annotations: { x: "x".repeat(100000) } });
        let n = 0;
        setInterval(() => {
          for (let i = 0; i < 20; i++) container.save({ ...record, annotations: { x: String(n++).padStart(100000) } });
        }, 0);
      `);
      for (let reads = 0; reads < 50; reads++) await state(runtime, `c${turn}`);
      await writer.kill();
      expect((await state(runtime, `c${turn}`)).annotations?.["x"]?.length).toBe(100000);
      // what it was writing is gone with the next write, and with the container
      await remove(runtime, `c${turn}`, { force: true });
      expect(existsSync(inRoot(`c${turn}`))).toBe(false);
    }
  });

  const whole = JSON.stringify(recordOf("c"));
  test.each<[string, string, string]>([
    ["is empty", "", "it is no JSON; it may be cut short"],
    ["is cut short", whole.slice(0, 100), "it is no JSON; it may be cut short"],
    ["is no object", "[1]", "it is no object"],
    ["is of the next version", whole.replace('"version":1', '"version":2'), "its format is 2"],
    ["is another runtime's", '{"id":"c","init_process_pid":1}', "its format is undefined"],
    ["is of another container", whole.replace('"id":"c"', '"id":"d"'), 'it is that of "d"'],
    ["has a pid that is none", whole.replace(/"pid":\d+/, '"pid":-1'), '"pid" is not as tsbox writes it'],
    [
      "has a group that is none",
      whole.replace('"version":1', '"version":1,"cgroup":{"paths":[1]}'),
      '"cgroup" is not as',
    ],
    [
      "has a resctrl group elsewhere",
      whole.replace('"version":1', '"version":1,"intelRdt":{"root":"/a","group":"/a/../x"}'),
      '"intelRdt" is not as',
    ],
    ["lacks a field", whole.replace('"bundle":"/bundle",', ""), '"bundle" is not as tsbox writes it'],
  ])("that %s is refused, and removed by force", async (_, text, why) => {
    recorded(runtime, "c");
    recorded(runtime, "d");
    writeFileSync(inRoot("c/state.json"), text);
    for (const use of [() => state(runtime, "c"), () => kill(runtime, "c", 9), () => remove(runtime, "c")]) {
      expect(await failure(use)).toStartWith(`container_unreadable: read the state of container "c": ${why}`);
    }
    expect((await list(runtime)).map(({ id }) => id)).toEqual(["d"]);
    expect(runtime.told).toEqual([expect.stringContaining(`warning: leave out container "c": read the state`)]);
    await remove(runtime, "c", { force: true });
    expect(readdirSync(runtime.root)).toEqual(["d"]);
  });

  test("is refused, or is one, whatever it says", () => {
    const record = recordOf("c") as unknown as Record<string, unknown>;
    const changed = fc.dictionary(
      fc.constantFrom(...Object.keys(record), "annotations", "hooks", "__proto__"),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(changed, (changes) => {
        try {
          const read = parseRecord(JSON.stringify({ ...record, ...changes }), "c");
          expect([typeof read.pid, typeof read.bundle, read.id]).toEqual(["number", "string", "c"]);
        } catch (error) {
          expect(error).toBeInstanceOf(TsboxError);
        }
      }),
    );
  });
});

describe("the status", () => {
  const statusOf = async (id = "c") => (await state(runtime, id)).status;

  test("is creating while its maker is there, and stopped once that was killed", async () => {
    const maker = await another(`
      globalThis.kept = Container.reserve(runtime, "c");
      globalThis.kept.save({ ...recordOf("c"), stage: "creating", pid: 0, pidStartTime: "0" });
    `);
    expect(await statusOf()).toBe("creating");
    expect((await state(runtime, "c")).pid).toBe(0);
    await maker.kill();
    expect(await statusOf()).toBe("stopped");
    expect(await failure(() => Container.reserve(runtime, "c"))).toBe(EXISTS);
    await remove(runtime, "c");
    expect(readdirSync(runtime.root)).toEqual([]);
  });

  test("is created while its process waits, and running once it does not", async () => {
    const image = sealedFile(WAITING, probe(call("ppoll", 0, 0, 0, 0, 0)));
    const waiting = Bun.spawn([`/proc/${process.pid}/fd/${image}`], { stdout: "ignore" });
    recorded(runtime, "c", { pid: waiting.pid, pidStartTime: startTimeOf(waiting.pid) as string });
    recorded(runtime, "started");
    expect(await statusOf()).toBe("running");
    const servers = [createServer(), createServer()];
    const [server, stale] = servers.map((each, index) =>
      each.listen(inRoot(index === 0 ? "c/start.sock" : "started/start.sock")),
    );
    await Promise.all(servers.map((each) => new Promise((resolve) => each.once("listening", resolve))));
    expect(await statusOf()).toBe("created");
    // who started it was killed before the socket was gone
    expect(await statusOf("started")).toBe("running");
    for (const each of [server, stale]) each?.close();
    // a file of that name is no socket
    writeFileSync(inRoot("c/start.sock"), "");
    expect(await statusOf()).toBe("running");
    waiting.kill("SIGKILL");
    await waiting.exited;
    close(image);
  });

  test("is stopped where the number has gone to another process", async () => {
    recorded(runtime, "c", { pidStartTime: "1" });
    expect(await state(runtime, "c")).toMatchObject({ status: "stopped", pid: 0 });
    using container = Container.open(runtime, "c");
    // it is not signalled either: this test goes on
    expect(signalProcess(container.record, 9)).toBe(undefined);
    expect(await failure(() => kill(runtime, "c", 9))).toBe(
      'container_state: kill container "c": container not running',
    );
    await kill(runtime, "c", 9, { all: true });
    await remove(runtime, "c", { force: true });
  });

  test("is stopped where the process is a zombie", async () => {
    // its parent executes something that does not wait for it
    const parent = Bun.spawn(["sh", "-c", "sleep 0.1 & echo $!; exec sleep 60"], { stdout: "pipe" });
    const { value } = await parent.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(value));
    recorded(runtime, "c", { pid, pidStartTime: startTimeOf(pid) as string });
    expect(await eventually(() => startTimeOf(pid) === undefined)).toBe(true);
    expect(readFileSync(`/proc/${pid}/stat`, "utf8")).toContain(" Z ");
    expect(await statusOf()).toBe("stopped");
    parent.kill();
    await parent.exited;
  });

  test("has the owner's name, and what the record says", async () => {
    recorded(runtime, "c", { annotations: { a: "b" } });
    const { owner, ...rest } = await state(runtime, "c");
    expect(owner).toBe(Bun.spawnSync(["id", "-un"]).stdout.toString().trim());
    expect(rest).toEqual({
      ociVersion: "1.2.0",
      id: "c",
      pid: process.pid,
      status: "running",
      bundle: "/bundle",
      rootfs: "/bundle/rootfs",
      created: "2026-01-02T03:04:05.678901234Z",
      annotations: { a: "b" },
    });
  });
});

describe("two commands at once", () => {
  test("come one after the other; the lock ends with its holder, however that ends", async () => {
    recorded(runtime, "c", { pidStartTime: "1" });
    const holder = await another(`
      globalThis.kept = Container.open(runtime, "c");
      await globalThis.kept.lock();
    `);
    let removed = false;
    const second = remove(runtime, "c").then(() => (removed = true));
    expect((await state(runtime, "c")).status).toBe("stopped"); // to look is not to wait
    await Bun.sleep(200);
    expect([removed, existsSync(inRoot("c"))]).toEqual([false, true]);
    await holder.kill();
    await second;
    expect([removed, existsSync(inRoot("c"))]).toEqual([true, false]);
  });

  test("of which one removes the container: the other one finds none, also where there is a new one by then", async () => {
    recorded(runtime, "c", { pidStartTime: "1" });
    using first = Container.open(runtime, "c");
    await first.lock();
    const second = failure(() => remove(runtime, "c"));
    await Bun.sleep(50);
    first.remove();
    using next = Container.reserve(runtime, "c");
    next.save(recordOf("c"));
    first[Symbol.dispose]();
    expect(await second).toBe(NOT_FOUND);
    expect(readdirSync(inRoot("c"))).toEqual(["state.json"]);
  });

  test("twenty that delete: one does, the others find none", async () => {
    recorded(runtime, "c", { pidStartTime: "1" });
    const words = ["--root", runtime.root, "delete", "c"];
    const main = join(import.meta.dir, "../lib/cli/main.ts");
    const all = Array.from({ length: 20 }, () =>
      Bun.spawn([process.execPath, main, "oci", ...words], { stdout: "ignore", stderr: "pipe" }),
    );
    const ended = await Promise.all(all.map(async (each) => [await each.exited, await each.stderr.text()] as const));
    expect(ended.filter(([status]) => status === 0).length).toBe(1);
    for (const [status, text] of ended) if (status !== 0) expect(text).toContain("container does not exist");
    expect(readdirSync(runtime.root)).toEqual([]);
  }, 120_000);
});

describe("what others put there", () => {
  test.each<[string, () => void, RegExp]>([
    ["a symlink", () => symlinkSync("/etc/passwd", inRoot("c/state.json")), /ELOOP/],
    ["a pipe", () => Bun.spawnSync(["mkfifo", inRoot("c/state.json")]), /EINVAL/],
    ["a directory", () => mkdirSync(inRoot("c/state.json")), /EISDIR/],
    [
      "a file without end",
      () => {
        writeFileSync(inRoot("c/state.json"), "");
        truncateSync(inRoot("c/state.json"), 2 ** 40);
      },
      /EFBIG/,
    ],
  ])("%s for the record is not read, and holds nobody up", async (_, put, why) => {
    mkdirSync(inRoot("c"), { recursive: true });
    put();
    expect(await failure(() => state(runtime, "c"))).toMatch(why);
    expect(await list(runtime)).toEqual([]);
    expect(runtime.told.join()).toMatch(why);
    expect(await failure(() => remove(runtime, "c"))).toMatch(why);
    await remove(runtime, "c", { force: true });
    expect(existsSync(inRoot("c"))).toBe(false);
    expect(statSync("/etc/passwd").size).toBeGreaterThan(0);
  });

  test("a symlink for the container is none", async () => {
    mkdirSync(runtime.root);
    const target = folder.directory("target");
    folder.write("target/state.json", JSON.stringify(recordOf("c")));
    symlinkSync(target, inRoot("c"));
    expect(await failure(() => state(runtime, "c"))).toBe(NOT_FOUND);
    expect(await failure(() => Container.reserve(runtime, "c"))).toBe(EXISTS);
    await remove(runtime, "c", { force: true });
    expect(readdirSync(target)).toEqual(["state.json"]);
    expect(await list(runtime)).toEqual([]);
  });

  test("files in the root are no containers", async () => {
    mkdirSync(runtime.root);
    writeFileSync(inRoot("file"), "");
    mkdirSync(inRoot("not an id"));
    recorded(runtime, "c");
    expect((await list(runtime)).map(({ id }) => id)).toEqual(["c"]);
    expect(runtime.told).toEqual([]);
    expect(await failure(() => Container.reserve(runtime, "file"))).toContain("already exists");
  });

  test("all of it goes with the container; what it leads to stays", async () => {
    recorded(runtime, "c", { pidStartTime: "1" });
    const outside = folder.directory("outside");
    folder.write("outside/precious");
    symlinkSync(outside, inRoot("c/link"));
    symlinkSync("/", inRoot("c/root"));
    mkdirSync(inRoot("c/deep/er/still"), { recursive: true });
    symlinkSync(outside, inRoot("c/deep/er/link"));
    Bun.spawnSync(["mkfifo", inRoot("c/deep/pipe")]);
    await remove(runtime, "c");
    expect([existsSync(inRoot("c")), readdirSync(outside)]).toEqual([false, ["precious"]]);
  });

  test("a temporary file of that name is replaced, not written through", () => {
    using container = Container.reserve(runtime, "c");
    const victim = folder.write("victim", "as it was");
    symlinkSync(victim, inRoot("c/.state.json.new"));
    container.save(recordOf("c"));
    expect(readFileSync(victim, "utf8")).toBe("as it was");
    expect(lstatSync(inRoot("c/state.json")).isFile()).toBe(true);
  });

  test("a root that others may write is still read by name only", async () => {
    mkdirSync(runtime.root);
    chmodSync(runtime.root, 0o777);
    recorded(runtime, "c");
    expect(ociAs({}, "--root", runtime.root, "list", "-q")).toEqual({ status: 0, stdout: "c\n", stderr: "" });
  });
});

describe("delete", () => {
  test.each([
    ["elsewhere", "/tmp/x"],
    ["the root of all", "/sys/fs/cgroup"],
    ["out of its hierarchy", "/sys/fs/cgroup/unified/../../../../tmp/x"],
  ])("touches no group that is none of a container's: %s", async (_, path) => {
    const victim = folder.directory("victim-group");
    const paths = { "": path.replace("/tmp/x", victim) };
    recorded(runtime, "c", {
      pidStartTime: "1",
      sharesPids: true,
      cgroup: { paths, asked: true, rootless: false, made: true },
    });
    recorded(runtime, "d");
    const { code } = await failureOf(() => remove(runtime, "c"));
    expect(code).toBe("container_unreadable");
    expect((await list(runtime)).map(({ id }) => id)).toContain("d");
    runtime.told.splice(0);
    await remove(runtime, "c", { force: true });
    expect(runtime.told).toEqual([expect.stringMatching(/^warning: use the control group .*; it stays$/)]);
    expect([existsSync(inRoot("c")), existsSync(victim)]).toEqual([false, true]);
  });

  test("refuses one that runs, and by force kills it", async () => {
    const child = Bun.spawn(["sleep", "60"]);
    recorded(runtime, "c", { pid: child.pid, pidStartTime: startTimeOf(child.pid) as string });
    expect(await failure(() => remove(runtime, "c"))).toBe(
      'container_state: delete container "c": cannot delete container c that is not stopped: running',
    );
    await remove(runtime, "c", { force: true });
    expect([await child.exited, child.signalCode, existsSync(inRoot("c"))]).toEqual([137, "SIGKILL", false]);
  });

  test("by force is content with nothing", async () => {
    await remove(runtime, "c", { force: true });
    expect(await failure(() => remove(runtime, "c"))).toBe(NOT_FOUND);
  });

  test("runs the poststop hooks when all is gone; one that fails is a warning", async () => {
    const hook = folder.write(
      "poststop",
      `#!/bin/sh\ncat > ${join(folder.path, "poststop.out")}\nls ${runtime.root} > ${join(folder.path, "poststop.ls")}\n`,
      0o755,
    );
    const env = [`PATH=${process.env["PATH"]}`];
    recorded(runtime, "c", {
      pidStartTime: "1",
      hooks: { poststop: [{ path: "/bin/false" }, { path: hook, env }] },
    });
    await remove(runtime, "c");
    expect(JSON.parse(readFileSync(join(folder.path, "poststop.out"), "utf8"))).toEqual({
      ociVersion: "1.2.0",
      id: "c",
      status: "stopped",
      bundle: "/bundle",
    });
    expect(readFileSync(join(folder.path, "poststop.ls"), "utf8")).toBe("");
    expect(runtime.told).toEqual(["warning: error running poststop hook #0: poststop hook failed with exit code 1"]);
  });
});
