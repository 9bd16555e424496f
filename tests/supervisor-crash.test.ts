/**
 * Supervisors that are killed at each of their system calls, from the process that begins to make a container to the end
 * that is written down. A supervisor's plan is data: SIGKILL to itself is put before one call after the other.
 * @module
 */
import { afterAll, describe, expect, mock } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home } from "../lib/containers/home.ts";
import { Containers, type Container, type ContainerOptions } from "../lib/containers/index.ts";
import { LOG_TURN } from "../lib/containers/layout.ts";
import { connectPidfd, connectStdin, isAlive } from "../lib/containers/supervisor.ts";
// not faces: what makes these plans is replaced
import * as supervised from "../lib/plan/supervised.ts";
import * as supervisor from "../lib/plan/supervisor.ts";
import { close, cstring, lockFile, named, O_RDONLY, open, readKernelFile, ref, write } from "../syscalls/index.ts";
import type { Op, Plan } from "../syscalls/index.ts";
import { inGuest, noBusybox, testUnless } from "./support/machine.ts";
import { noMounts, smallDisk } from "./support/full-disk.ts";
import { adoptOrphans, descendants, eventually, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
adoptOrphans();
afterAll(() => {
  rootfs.remove();
  folder.remove();
});

/** The plans of the next container that is started go through these. */
const change: Record<"owner" | "supervisor", (plan: Plan) => Plan> = {
  owner: (plan) => plan,
  supervisor: (plan) => plan,
};
const { ownProcess } = supervised;
const { supervisorSteps } = supervisor;
mock.module(join(import.meta.dir, "../lib/plan/supervised.ts"), () => ({
  ...supervised,
  ownProcess: (...how: Parameters<typeof ownProcess>) => change.owner(ownProcess(...how)),
}));
mock.module(join(import.meta.dir, "../lib/plan/supervisor.ts"), () => ({
  ...supervisor,
  supervisorSteps: (...how: Parameters<typeof supervisorSteps>) => change.supervisor(supervisorSteps(...how)),
}));

const CONTROL: Op["call"][] = ["jump", "store", "load", "jumpIf", "fail", "print", "run", "end", "label"];
/** A call of a plan; its name says for what it is, which, and which of those that are called like that. */
interface Call {
  step: number;
  op: number;
  name: string;
}

function callsOf(plan: Plan): Call[] {
  const seen = new Map<string, number>();
  return plan.flatMap(({ action, ops }, step) =>
    ops.flatMap(({ call }, op) => {
      if (CONTROL.includes(call)) return [];
      const name = `${action}: ${call}`;
      const count = (seen.get(name) ?? 0) + 1;
      seen.set(name, count);
      return [{ step, op, name: count > 1 ? `${name}, ${count}` : name }];
    }),
  );
}

/** @param mark a file that is there once that has happened */
function killedBefore({ step, op }: Call, mark: string): (plan: Plan) => Plan {
  const flags = named("O_WRONLY|O_CREAT|O_CLOEXEC", 0o2000101);
  const ops: Op[] = [
    { call: "openat", args: [-100, cstring(mark), flags, 0o600], onError: "ignore" },
    { call: "getpid", args: [], out: "who is killed" },
    { call: "kill", args: [ref("who is killed"), 9] },
  ];
  return (plan) => plan.map((each, at) => (at === step ? { ...each, ops: each.ops.toSpliced(op, 0, ...ops) } : each));
}

/** What there is to see of a container that is started, used, and ends; its supervisor is killed somewhere. */
class Life implements AsyncDisposable {
  readonly path: string;
  readonly containers: Containers;
  readonly home: Home;
  readonly call: Call;
  /** What it is once any command has looked, and what is to be done is done. */
  next: "created" | "exited" | "running" = "created";
  readonly #mark: string;
  readonly #disk: Disposable | undefined;
  #supervisor = 0;
  #container: Container | undefined;

  constructor(call: Call, disk?: { path: string } & Disposable) {
    this.path = disk?.path ?? mkdtempSync(join(folder.path, "life-"));
    this.#disk = disk;
    this.call = call;
    this.containers = new Containers(this.path);
    this.home = new Home(this.path);
    this.#mark = join(folder.path, crypto.randomUUID());
  }

  get isKilled(): boolean {
    return existsSync(this.#mark);
  }

  get container(): Container {
    return this.#container as Container;
  }

  async create(options: ContainerOptions): Promise<void> {
    this.#container = await this.containers.create({ name: "one", rootfs: rootfs.path, ...options });
  }

  /** @returns whether it was */
  async start(whose: keyof typeof change): Promise<boolean> {
    change[whose] = killedBefore(this.call, this.#mark);
    try {
      await this.container.start();
      return true;
    } catch {
      return false;
    } finally {
      change[whose] = (plan) => plan;
    }
  }

  directory = (): string => this.home.path(this.container.id);
  isAlive = (): boolean => isAlive(this.home, this.container.id);

  /** The pid of what was its supervisor at first. */
  async findSupervisor(): Promise<void> {
    const { pid } = await this.container.record();
    const status = readKernelFile(`/proc/${pid}/status`) ?? "";
    this.#supervisor = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1] ?? 0);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#supervisor > 0) process.kill(this.#supervisor, signal);
  }

  /** It has ended, or become another program. */
  hasSupervisor = (): boolean =>
    /^Name:\s+tsbox-super$[^]*^State:\s+[^Z]/m.test(readKernelFile(`/proc/${this.#supervisor}/status`) ?? "");

  /** What any command sees now is so. @returns its status */
  async expectTrue(): Promise<string> {
    const see = async () => {
      const [record, ...others] = await this.containers.list({ all: true });
      const { status = "", pid = 0, restarts = 0 } = record ?? {};
      return { restarts, seen: { status, others, isAlive: this.isAlive(), isProcess: existsSync(`/proc/${pid}`) } };
    };
    let { restarts, seen } = await see();
    // what its policy does goes on while this looks; one that is said to run has not just ended, unless it does again
    for (let next = await see(); next.seen.status !== seen.status; next = await see()) {
      if (seen.status === "running" && next.restarts === restarts) break;
      ({ restarts, seen } = next);
    }
    const { status } = seen;
    const runs = status === "running";
    // one that waits for its next start is no process of its own
    const isThere = status === "restarting" ? seen.isAlive : runs;
    expect({ at: this.call.name, ...seen }).toEqual({
      at: this.call.name,
      status: expect.stringMatching(/^(created|running|restarting|exited)$/),
      others: [],
      isAlive: isThere,
      isProcess: runs,
    });
    return status;
  }

  /** Starts again by itself, once any command has looked. */
  async expectRestarted(): Promise<void> {
    for (const end = performance.now() + 40_000; performance.now() < end; await Bun.sleep(30)) {
      const [record] = await this.containers.list({ all: true });
      // one with narrow limits does not run for long
      if (record && record.restarts > (record.status === "running" ? 0 : 1)) return;
    }
    throw new Error(`${this.call.name}: it does not run again`);
  }

  async expectGone(): Promise<void> {
    const { cgroup } = await this.container.record();
    await this.container.remove({ force: true });
    expect(existsSync(this.directory())).toBe(false);
    expect(Object.values(cgroup?.paths ?? {}).filter(existsSync)).toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container?.remove({ force: true }).catch(() => {});
    this.containers[Symbol.dispose]();
    this.home[Symbol.dispose]();
    this.#disk?.[Symbol.dispose]();
    rmSync(this.path, { recursive: true, force: true });
  }
}

const nobodyIsLeft = async () => {
  // this process has children that somebody here waits for
  await Bun.sleep(200);
  const isOver = await eventually(() => (reapOrphans(), descendants().length === 0), 20_000);
  expect([isOver, descendants()]).toEqual([true, []]);
};

/** Writes more than its log may hold, waits for a line, writes again, and fails. */
const WRITES =
  "for i in 1 2 3 4; do head -c 1500 /dev/zero; done; echo err >&2; read line; head -c 100000 /dev/zero; exit 3";
const LIVES: ContainerOptions = {
  command: ["sh", "-c", WRITES],
  openStdin: true,
  restart: "on-failure:9",
  log: { maxSize: 1000, maxFiles: 2 },
  limits: { time: "1h", output: "1g" },
  health: { test: ["CMD", "true"], startPeriod: "1h", startInterval: "1h", interval: "1h" },
};

/** How calls are reached. */
interface Way {
  /** The calls that it is tried for, as it takes long. */
  only?: RegExp;
  options?: ContainerOptions;
  /** Before it is started. */
  before?: (life: Life) => Disposable;
  /** While it runs. */
  during?: (life: Life) => Promise<void>;
}

const asksForPidfd = async ({ home, container }: Life) => {
  const pidfd = connectPidfd(home, container.id);
  if (pidfd !== undefined && pidfd >= 0) close(pidfd);
};

const writesALine = async ({ home, container }: Life) => {
  const stdin = connectStdin(home, container.id);
  if (stdin === undefined || stdin < 0) return;
  write(stdin, new TextEncoder().encode("x\n"));
  close(stdin);
};

const checked = (...test: string[]): Way => ({
  only: /health|wait4|timerfd_settime/,
  options: { health: { test, startPeriod: "1h", startInterval: "100ms", interval: "100ms" } },
  during: async (life) => void (await eventually(() => life.isKilled, 3000)),
});

const FULL = /what it writes: (ftruncate|lseek)|how it ended: (ppoll|lseek)/;

const WAYS: Way[] = [
  {},
  checked("CMD", "true"),
  checked("CMD", "false"),
  { during: async (life) => life.signal("SIGTERM") },
  // for a second, nobody wants anything
  { during: async (life) => void (await eventually(() => life.isKilled, 1500)) },
  // its log is followed, and whoever does has read all
  {
    before: (life) => {
      const directory = open(life.directory(), O_RDONLY);
      lockFile(directory);
      writeFileSync(join(life.directory(), LOG_TURN), "");
      return { [Symbol.dispose]: () => close(directory) };
    },
  },
  { options: { command: ["/nosuch"] } },
  { options: { restart: "no" } },
  { only: /its time is over/, options: { limits: { time: "1ms", output: "1g" } } },
  { only: /what it writes: sendto/, options: { limits: { time: "1h", output: 1 } } },
  {
    only: /what it writes: sendto/,
    options: { limits: { time: "1h", output: 1 }, command: ["sh", "-c", "echo err >&2; read line"] },
  },
  // the disk is full
  {
    only: FULL,
    during: async (life) => {
      const filler = join(life.path, "filler");
      for (const bytes of [65536, 1024])
        try {
          for (;;) appendFileSync(filler, new Uint8Array(bytes));
        } catch {
          // no room is left
        }
      await writesALine(life);
      await eventually(() => !life.isAlive(), 15_000);
      rmSync(filler);
    },
  },
];

/** Containers that are there at a time, with health checks that are made without a pause. */
const AT_ONCE = 16;
/** So much of a plan is tried where everything takes long. */
const sampled = (calls: Call[]): Call[] => (inGuest ? calls.filter((_, index) => index % 7 === 0) : calls);

/** The calls of a plan as it is made for these. */
async function callsFor(options: ContainerOptions, whose: keyof typeof change): Promise<Call[]> {
  let calls: Call[] = [];
  await using life = new Life({ step: -1, op: 0, name: "none" });
  const container = await life.containers.create({ name: "one", rootfs: rootfs.path, ...options });
  change[whose] = (plan) => ((calls = callsOf(plan)), plan);
  await container.start();
  change[whose] = (plan) => plan;
  await container.remove({ force: true });
  return calls;
}

/** Is killed before a call, where any way leads there. @returns undefined where none does */
async function live(call: Call, options: ContainerOptions): Promise<Life | undefined> {
  for (const { only, options: more, before, during } of WAYS) {
    if (only && (!only.test(call.name) || (only === FULL && noMounts !== undefined))) continue;
    const life = new Life(call, only === FULL ? smallDisk(folder, 2048) : undefined);
    await life.create({ ...options, ...more });
    {
      using _ = before?.(life);
      if (await life.start("supervisor")) {
        life.next = more?.restart === "no" ? "exited" : "running";
        await life.findSupervisor();
        await during?.(life);
        await asksForPidfd(life);
        await writesALine(life);
        await eventually(() => !life.hasSupervisor(), 15_000);
      }
    }
    if (life.isKilled) return life;
    await life[Symbol.asyncDispose]();
  }
  return undefined;
}

/** Where they lead to only if the kernel refuses something. */
const NEVER = [
  "check its health: exit_group",
  "check its health: timerfd_settime",
  "leave nothing, and end: exit_group",
];
describe("a supervisor that is killed before any of its calls", () => {
  testUnless(
    noBusybox,
    "as it makes a container: that is as it was, and can be started",
    async () => {
      const missed: string[] = [];
      for (const call of sampled(await callsFor(LIVES, "owner"))) {
        await using life = new Life(call);
        await life.create(LIVES);
        const isStarted = await life.start("owner");
        // of a descriptor that there is only with a terminal
        if (!life.isKilled && !call.name.startsWith("become the supervisor: fcntl")) missed.push(call.name);
        // who has cloned it has nothing more to do; at the end, the command has been executed
        if (isStarted && life.isKilled) expect(call.name).toMatch(/whoever asked.*exit_group|^become the supervisor/);
        else if (!isStarted) expect([call.name, await life.expectTrue()]).toEqual([call.name, "created"]);
        await life.container.start();
        expect(await life.expectTrue()).toBe("running");
        await life.expectGone();
      }
      expect(missed).toEqual([]);
      await nobodyIsLeft();
    },
    300_000,
  );

  const KINDS: [string, ContainerOptions, RegExp][] = [
    ["of its life", LIVES, /./],
    ["that have to do with a terminal", { ...LIVES, terminal: true }, /^take the terminal/],
    ["after which stdin is closed", { ...LIVES, openStdin: "once" }, /^pass what is asked for/],
  ];
  for (const [which, options, pattern] of KINDS) {
    testUnless(
      noBusybox,
      `${which}: what commands see is so, its restart policy is kept, and nothing is left`,
      async () => {
        const calls = (await callsFor(options, "supervisor")).filter(({ name }) => pattern.test(name));
        const [lives, missed]: [Life[], string[]] = [[], []];
        const finishFirst = async () => {
          const life = lives[0] as Life;
          if (life.next === "running") await life.expectRestarted();
          else expect([life.call.name, await life.expectTrue()]).toEqual([life.call.name, life.next]);
          await life.expectGone();
          await life[Symbol.asyncDispose]();
          lives.shift();
        };
        try {
          for (const call of sampled(calls)) {
            const life = await live(call, options);
            if (!life) missed.push(call.name);
            else {
              lives.push(life);
              await life.expectTrue();
            }
            // those that wait for their policy wait together; all of them at once would be too much
            if (lives.length >= AT_ONCE) while (lives.length > 0) await finishFirst();
          }
          while (lives.length > 0) await finishFirst();
        } finally {
          for (const life of lives) await life[Symbol.asyncDispose]();
        }
        expect(missed.filter((name) => !NEVER.includes(name) && !(noMounts && FULL.test(name)))).toEqual([]);
        await nobodyIsLeft();
      },
      600_000,
    );
  }
});
