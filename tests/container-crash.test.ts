/**
 * Commands that are killed at any of their steps, supervisors that are killed at any time (`supervisor-crash.test.ts`: at
 * each of their calls), and a hundred commands at once: what is found afterwards is true, and nothing is left of what goes.
 * @module
 */
import { afterAll, describe, expect } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Home } from "../lib/containers/home.ts";
import { Containers, type ContainerRecord } from "../lib/containers/index.ts";
import { pause, unpause } from "../lib/containers/pause.ts";
import { isAlive } from "../lib/containers/supervisor.ts";
import { inGuest, noBusybox, noLimits, testUnless } from "./support/machine.ts";
import { adoptOrphans, descendants, eventually, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
adoptOrphans();
afterAll(() => {
  rootfs.remove();
  folder.remove();
});

const library = JSON.stringify(join(import.meta.dir, "../lib/containers/index.ts"));
const preload = join(import.meta.dir, "support/crash-containers.ts");
const SLEEPS = { rootfs: rootfs.path, command: ["sleep", "1000"], name: "one", volumes: ["/data"] };

/** A process with the containers of a root: `bun FILE ROOT OUTPUT`; what it says goes to the output. */
function script(body: string): string {
  const text = `
    import { Containers } from ${library};
    import { appendFileSync } from "node:fs";
    const [, , root, output] = process.argv;
    const containers = new Containers(root);
    const say = (value) => appendFileSync(output, JSON.stringify(value) + "\\n");
    ${body}
    containers[Symbol.dispose]();
  `;
  return folder.write(`script-${Bun.hash(text).toString(36)}.ts`, text);
}

interface Ran {
  said: unknown[];
  exitCode: number | null;
  signalCode: unknown;
}

let runs = 0;

/** Its output is a file: a pipe would be held open by supervisors. */
async function run(file: string, root: string, environment: Record<string, string> = {}): Promise<Ran> {
  const output = join(folder.path, `output-${runs++}`);
  const child = Bun.spawn([process.execPath, "--preload", preload, file, root, output], {
    stdio: ["ignore", "ignore", Bun.file(`${output}.err`)],
    env: { ...process.env, ...environment },
  });
  await child.exited;
  const lines = existsSync(output) ? readFileSync(output, "utf8").split("\n").filter(Boolean) : [];
  const { exitCode, signalCode } = child;
  if (exitCode !== 0 && signalCode === null) throw new Error(readFileSync(`${output}.err`, "utf8"));
  return { said: lines.map((line) => JSON.parse(line) as unknown), exitCode, signalCode };
}

class Root implements AsyncDisposable {
  readonly path = mkdtempSync(`${tmpdir()}/tsbox-crash-`);
  readonly containers = new Containers(this.path);
  readonly home = new Home(this.path);

  /**
   * All that there are, once nothing is under way any more: what a killed process has cloned ends after it. What is so is
   * looked at once: what a killed command has asked to end may end at any time.
   */
  async settled(): Promise<{ record: ContainerRecord; isSupervised: boolean; isThere: boolean }[]> {
    for (const end = performance.now() + 20_000; ; await Bun.sleep(10)) {
      const seen = (await this.containers.list({ all: true })).map((record) => ({
        record,
        isSupervised: isAlive(this.home, record.id),
        isThere: record.pid > 0 && existsSync(`/proc/${record.pid}`),
      }));
      const isUnderWay = seen.some(
        ({ record: { status }, isSupervised, isThere }) =>
          status === "starting" || status === "removing" || [isSupervised, isThere].includes(status !== "running"),
      );
      const isSettled = !isUnderWay && namesIn(`${this.path}/containers`).length === seen.length;
      if (isSettled || performance.now() > end) return seen;
    }
  }

  /** What is said of them is so. */
  async expectTrue(): Promise<ContainerRecord[]> {
    const seen = await this.settled();
    const records = seen.map(({ record }) => record);
    for (const { record, isSupervised, isThere } of seen) {
      const { id, status } = record;
      expect(["created", "running", "exited"]).toContain(status);
      expect({ id, isSupervised, isThere }).toEqual({
        id,
        isSupervised: status === "running",
        isThere: status === "running",
      });
    }
    expect(namesIn(`${this.path}/containers`)).toEqual(records.map(({ id }) => id).toSorted());
    expect(new Set(records.map(({ name }) => name)).size).toBe(records.length);
    return records;
  }

  /** Removes them, and looks for what is left. */
  async expectGone(): Promise<void> {
    const records = await this.expectTrue();
    for (const { id } of records) await (await this.containers.get(id)).remove({ force: true, volumes: true });
    expect(await this.containers.list({ all: true })).toEqual([]);
    expect(namesIn(`${this.path}/containers`)).toEqual([]);
    expect(namesIn(`${this.path}/volumes`)).toEqual([]);
    expect(records.flatMap(({ cgroup }) => Object.values(cgroup?.paths ?? {}).filter(existsSync))).toEqual([]);
    expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id } of await this.containers.list({ all: true }).catch(() => []))
      await (await this.containers.get(id)).remove({ force: true, volumes: true }).catch(() => {});
    this.containers[Symbol.dispose]();
    this.home[Symbol.dispose]();
    rmSync(this.path, { recursive: true, force: true });
  }
}

const namesIn = (path: string): string[] => (existsSync(path) ? readdirSync(path).toSorted() : []);

/** Done by this process. */
type Prepare = (containers: Containers) => Promise<unknown>;
const created: Prepare = (containers) => containers.create(SLEEPS);
const running: Prepare = (containers) => containers.run(SLEEPS);

/** How it may be found when the command was killed somewhere. */
type Allowed = (status: string | undefined) => boolean;

/** @param nth so many steps are left out from one to the next */
const OPERATIONS: [string, { prepare?: Prepare; body: string; allowed: Allowed; nth?: number }][] = [
  [
    "run",
    {
      body: `arm(); await containers.run(${JSON.stringify(SLEEPS)});`,
      allowed: (status) => [undefined, "created", "running", "exited"].includes(status),
    },
  ],
  [
    "start",
    {
      prepare: created,
      body: `const one = await containers.get("one"); arm(); await one.start();`,
      allowed: (status) => ["created", "running", "exited"].includes(status ?? ""),
    },
  ],
  [
    "start of one whose command waits for its network",
    {
      prepare: (containers) => containers.create({ ...SLEEPS, network: { allow: [] } }),
      body: `const one = await containers.get("one"); arm(); await one.start();`,
      allowed: (status) => ["created", "running"].includes(status ?? ""),
      nth: 10,
    },
  ],
  [
    "stop",
    {
      prepare: running,
      body: `const one = await containers.get("one"); arm(); await one.stop({ timeout: "50ms" });`,
      allowed: (status) => ["running", "exited"].includes(status ?? ""),
    },
  ],
  [
    "restart",
    {
      prepare: running,
      body: `const one = await containers.get("one"); arm(); await one.restart({ timeout: "50ms" });`,
      allowed: (status) => ["running", "exited"].includes(status ?? ""),
    },
  ],
  [
    "rm",
    {
      prepare: created,
      body: `const one = await containers.get("one"); arm(); await one.remove({ volumes: true });`,
      allowed: (status) => status === undefined || status === "created",
    },
  ],
  [
    "rm -f",
    {
      prepare: running,
      body: `const one = await containers.get("one"); arm(); await one.remove({ force: true, volumes: true });`,
      allowed: (status) => status === undefined || status === "running" || status === "exited",
    },
  ],
];

describe("a command that is killed at any of its steps leaves what is true, and can be done again:", () => {
  for (const [name, { prepare, body, allowed, nth = 1 }] of OPERATIONS) {
    const every = inGuest ? 9 : nth;
    testUnless(
      noBusybox,
      name,
      async () => {
        const file = script(`${body} say(counted());`);
        await using root = new Root();
        const begin = async (environment: Record<string, string>) => {
          await prepare?.(root.containers);
          return run(file, root.path, environment);
        };
        const counted = await begin({ CRASH_AT: "0" });
        const steps = Number(counted.said[0]);
        expect(steps).toBeGreaterThan(10);
        await root.expectGone();
        // all of the last steps, with which it becomes so
        for (let at = 1; at <= steps; at += inGuest || at < steps - 20 ? every : 1) {
          const { signalCode } = await begin({ CRASH_AT: String(at) });
          // how long it takes is not always the same
          if (signalCode !== "SIGKILL") expect(at).toBeGreaterThan(steps / 2);
          const [found, ...others] = await root.expectTrue();
          expect({ at, others, status: found?.status, isAllowed: allowed(found?.status) }).toMatchObject({
            others: [],
            isAllowed: true,
          });
          if (found === undefined) expect((await root.containers.create({ ...SLEEPS })).id).toHaveLength(64);
          else await (await root.containers.get("one")).start();
          await root.expectGone();
        }
      },
      600_000,
    );
  }
});

/** The supervisor of a container that this process starts. */
const supervisor = () => descendants().find(({ name }) => name.startsWith("tsbox-super"))?.pid;

describe("a supervisor that is killed", () => {
  testUnless(noBusybox, "takes its container with it, and what it was is known", async () => {
    await using root = new Root();
    const container = await root.containers.run(SLEEPS);
    process.kill(supervisor() as number, "SIGKILL");
    expect(await eventually(() => !isAlive(root.home, container.id))).toBe(true);
    expect(await container.record()).toMatchObject({ status: "exited", exitCode: 137, pid: 0 });
    const actions = root.home.state.eventsAfter(0).filter(({ type }) => type === "container");
    expect(actions.map(({ action }) => action)).toEqual(["create", "start", "die"]);
    await container.start();
    expect((await container.record()).status).toBe("running");
    await root.expectGone();
  });

  testUnless(noBusybox, "is found by the next command, which does what its restart policy says", async () => {
    await using root = new Root();
    const container = await root.containers.run({ ...SLEEPS, restart: "always" });
    const before = supervisor() as number;
    process.kill(before, "SIGKILL");
    expect(await eventually(() => !isAlive(root.home, container.id))).toBe(true);
    const listed = async () => (await root.containers.list({ all: true })).map(({ status }) => status);
    expect(await listed()).toEqual(["exited"]);
    for (const end = performance.now() + 20_000; (await listed())[0] !== "running"; await Bun.sleep(50))
      if (performance.now() > end) throw new Error("it does not run again");
    expect(await container.record()).toMatchObject({ restarts: 1 });
    await container.stop({ timeout: 0 });
    await listed();
    // what somebody has stopped stays so
    await Bun.sleep(300);
    expect(await listed()).toEqual(["exited"]);
    await root.expectGone();
  });

  testUnless(
    noBusybox,
    "is found as well where its policy was just starting it again, by a command that was killed",
    async () => {
      for (const [restart, expected] of [
        ["no", "exited"],
        ["always", "running"],
      ] as const) {
        await using root = new Root();
        const container = await root.containers.run({ ...SLEEPS, restart });
        process.kill(supervisor() as number, "SIGKILL");
        expect(await eventually(() => !isAlive(root.home, container.id))).toBe(true);
        root.home.state.containers.update<ContainerRecord>(container.id, (row) => ({
          ...row,
          status: "starting",
          pid: 0,
          finishedAt: Date.now(),
        }));
        expect((await root.containers.list({ all: true }))[0]?.status).toBe("exited");
        for (
          const end = performance.now() + (restart === "no" ? 300 : 20_000);
          performance.now() < end;
          await Bun.sleep(50)
        )
          if ((await root.containers.list({ all: true }))[0]?.status === "running") break;
        expect([restart, (await container.record()).status]).toEqual([restart, expected]);
        await root.expectGone();
      }
    },
  );

  testUnless(noLimits, "does not leave its container frozen", async () => {
    await using root = new Root();
    const container = await root.containers.run(SLEEPS);
    const { pid } = await container.record();
    await container.pause();
    process.kill(supervisor() as number, "SIGKILL");
    expect(await eventually(() => !isAlive(root.home, container.id))).toBe(true);
    await root.containers.list({ all: true });
    expect(await eventually(() => (reapOrphans(), !existsSync(`/proc/${pid}`)))).toBe(true);
    await root.expectGone();
  });

  testUnless(
    noBusybox,
    "while it starts one leaves a container that can be started",
    async () => {
      await using root = new Root();
      for (let delayUs = 0; delayUs < 20_000; delayUs += inGuest ? 5000 : 1000) {
        const container = await root.containers.create(SLEEPS);
        const started = container.start().then(
          () => true,
          () => false,
        );
        let pid: number | undefined;
        await eventually(() => (pid = supervisor()) !== undefined, 2000);
        await Bun.sleep(delayUs / 1000);
        if (pid !== undefined && existsSync(`/proc/${pid}`)) process.kill(pid, "SIGKILL");
        await started;
        // what is busy in the kernel ends once it is done there
        const isOver = () => (reapOrphans(), descendants().every((each) => each.pid !== pid));
        expect(await eventually(isOver)).toBe(true);
        const [record] = await root.expectTrue();
        expect(["created", "exited", "running"]).toContain(record?.status ?? "");
        await container.start();
        await root.expectGone();
      }
    },
    120_000,
  );
});

testUnless(noLimits, "a commit that is killed does not leave its container paused", async () => {
  await using root = new Root();
  const { id } = await root.containers.run(SLEEPS);
  const listed = async () => (await root.containers.list()).map(({ status }) => status);
  await pause(root.home, id, { committing: true });
  const file = script(`
    import { OpenFile, Directory } from ${JSON.stringify(join(import.meta.dir, "../syscalls/index.ts"))};
    const file = OpenFile.open(Directory.open(root + "/containers/${id}"), "commit", { as: "maker" });
    say(file.tryLock("exclusive"));
    say((await containers.list()).map(({ status }) => status));
  `);
  // as long as there is one, nobody interferes
  expect((await run(file, root.path)).said).toEqual([true, ["paused"]]);
  expect(await listed()).toEqual(["running"]);
  expect(root.home.state.eventsAfter(0).map(({ action }) => action)).toContain("unpause");
  // whom somebody has paused stays so
  await pause(root.home, id);
  expect(await listed()).toEqual(["paused"]);
  await unpause(root.home, id);
  await root.expectGone();
});

testUnless(
  noBusybox,
  "a hundred commands at once never give one name twice, and nothing is lost",
  async () => {
    const processes = inGuest ? 12 : 100;
    const file = script(`
      const own = "own-" + process.pid;
      const options = { rootfs: ${JSON.stringify(rootfs.path)}, command: ["sleep", "1000"] };
      let isWinner = true;
      await containers.run({ ...options, name: "raced" }).catch((error) => {
        if (error.code !== "name_in_use") throw error;
        isWinner = false;
      });
      const made = await containers.run({ ...options, name: own, volumes: ["/data"] });
      const listed = await containers.list();
      const seen = listed.some(({ id }) => id === made.id);
      const keeps = process.pid % 5 === 0;
      if (!keeps) await made.remove({ force: true, volumes: true });
      say({ isWinner, seen, kept: keeps ? own : undefined });
    `);
    await using root = new Root();
    const ended = await Promise.all(Array.from({ length: processes }, () => run(file, root.path)));
    const said = ended.map((each) => each.said[0] as { isWinner: boolean; seen: boolean; kept?: string });
    expect(said.filter(({ isWinner }) => isWinner)).toHaveLength(1);
    expect(said.every(({ seen }) => seen)).toBe(true);
    const records = await root.expectTrue();
    expect(records.map(({ name }) => name).toSorted()).toEqual(
      ["raced", ...said.flatMap(({ kept }) => kept ?? [])].toSorted(),
    );
    expect(records.every(({ status }) => status === "running")).toBe(true);
    await root.expectGone();
  },
  600_000,
);
