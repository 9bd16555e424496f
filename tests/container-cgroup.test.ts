/** The control groups of a container: where they are, what is written to them, and that nothing of them stays. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { complete, saying } from "../lib/cgroup/changes.ts";
import { findHierarchies } from "../lib/cgroup/hierarchy.ts";
import { ContainerCgroup, type CgroupRecord } from "../lib/cgroup/index.ts";
import { recordOf } from "../lib/cgroup/record.ts";
import { joinPath } from "../lib/cgroup/sub-group.ts";
import type { Resources } from "../lib/spec/index.ts";
import { Descriptors } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, noLimits, notRoot, testUnless } from "./support/machine.ts";
import { adoptOrphans, descriptors, eventually } from "./support/processes.ts";

const MIB = 2 ** 20;
const HYBRID = {
  mountinfo: [
    "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct",
    "33 31 0:30 / /cg/pids rw - cgroup cgroup rw,pids",
    "34 31 0:31 / /cg/systemd rw - cgroup cgroup rw,name=systemd",
    "35 31 0:32 / /cg/unified rw - cgroup2 cgroup2 rw",
  ],
  own: ["3:cpu,cpuacct:/a/b", "2:pids:/", "1:name=systemd:/s", "0::/u/v"],
};
const PURE = { mountinfo: ["35 31 0:32 / /cg rw - cgroup2 cgroup2 rw"], own: ["0::/u/v"] };
const AT_ROOT = { mountinfo: PURE.mountinfo, own: ["0::/"] };

describe("where the groups are", () => {
  const rows: [what: string, machine: typeof HYBRID, cgroupsPath: string | undefined, expected: object][] = [
    [
      "an absolute path is from each mount",
      HYBRID,
      "/x/y",
      {
        cpu: "/cg/cpu/x/y",
        cpuacct: "/cg/cpu/x/y",
        pids: "/cg/pids/x/y",
        "name=systemd": "/cg/systemd/x/y",
        "": "/cg/unified/x/y",
      },
    ],
    [
      "a relative one is below the own group",
      HYBRID,
      "x",
      {
        cpu: "/cg/cpu/a/b/x",
        cpuacct: "/cg/cpu/a/b/x",
        pids: "/cg/pids/x",
        "name=systemd": "/cg/systemd/s/x",
        "": "/cg/unified/u/v/x",
      },
    ],
    ["in pure version 2, beside it", PURE, "x", { "": "/cg/u/x" }],
    ["without a path, by the id", PURE, undefined, { "": "/cg/u/box" }],
    ["an empty path is none", PURE, "", { "": "/cg/u/box" }],
    ["at the root there is no beside", AT_ROOT, undefined, { "": "/cg/box" }],
    ["dots do not lead out", PURE, "/../../../etc/./x//y/..", { "": "/cg/etc/x" }],
    ["nor those of a relative path", PURE, "../../../../x", { "": "/cg/u/x" }],
  ];
  test.each(rows)("%s", (_, { mountinfo, own }, cgroupsPath, expected) => {
    const hierarchies = findHierarchies(mountinfo.join("\n"), own.join("\n"));
    const record = recordOf({ id: "box", cgroupsPath, rootless: false }, hierarchies, () => true);
    expect(record.paths).toEqual(expected as Record<string, string>);
    expect(JSON.parse(JSON.stringify(record))).toEqual(record);
  });

  test.each(["/", "/..", "a/..", "."])("%p is the root of all groups", async (cgroupsPath) => {
    const hierarchies = findHierarchies(PURE.mountinfo.join("\n"), PURE.own.join("\n"));
    const error = await failureOf(() => recordOf({ id: "box", cgroupsPath, rootless: false }, hierarchies, () => true));
    expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining("root of all groups")]);
  });

  test("where something else is mounted over a hierarchy, there is no group", () => {
    const hierarchies = findHierarchies(PURE.mountinfo.join("\n"), PURE.own.join("\n"));
    expect(recordOf({ id: "box", rootless: false }, hierarchies).paths).toEqual({});
  });

  test.each<[string, CgroupRecord["paths"]]>([
    ["a directory of another file system", { "": "/etc" }],
    ["the mount itself", { "": findHierarchies().v2?.mount ?? "/sys/fs/cgroup" }],
    ["a way out", { "": `${findHierarchies().v2?.mount ?? "/sys/fs/cgroup"}/x/../../../../etc` }],
    ["a controller that is not there", { bogus: "/sys/fs/cgroup/bogus/x" }],
  ])("a record with %s is refused", async (_, paths) => {
    const error = await failureOf(() => new ContainerCgroup({ paths, asked: true, rootless: false, made: true }));
    expect(error.code).toBe("container_unreadable");
  });
});

describe("what resources say", () => {
  test.each<[string, Resources, Resources]>([
    [
      "0 and nothing are the same",
      { memory: { limit: 0, reservation: 0 }, cpu: { shares: 0, quota: 0, period: 0, cpus: "", realtimeRuntime: 0 } },
      { memory: {}, cpu: {} },
    ],
    [
      "but for these",
      { memory: { swappiness: 0 }, cpu: { burst: 0, idle: 0 } },
      { memory: { swappiness: 0 }, cpu: { burst: 0, idle: 0 } },
    ],
    ["no processes is one", { pids: { limit: 0 } }, { pids: { limit: 1 } }],
    ["-1 processes are any number", { pids: { limit: -1 } }, { pids: { limit: -1 } }],
    ["no limit of memory is none of swap", { memory: { limit: -1 } }, { memory: { limit: -1, swap: -1 } }],
    ["also where that is 0", { memory: { limit: -1, swap: 0 } }, { memory: { limit: -1, swap: -1 } }],
    ["no swap at all", { memory: { swap: 0 } }, { memory: { swap: 0 } }],
    ["with a limit, 0 says nothing about swap", { memory: { limit: 5, swap: 0 } }, { memory: { limit: 5 } }],
    ["an unsigned -1 is no swappiness", { memory: { swappiness: 2 ** 64 } }, { memory: {} }],
    [
      "the numbers of devices are no limits",
      { blockIO: { weight: 0, weightDevice: [{ major: 0, minor: 0, weight: 10, leafWeight: 0 }] } },
      { blockIO: { weightDevice: [{ major: 0, minor: 0, weight: 10 }] } },
    ],
    ["nor is a class", { network: { classID: 0, priorities: [] } }, { network: { priorities: [] } }],
  ])("%s", (_, given, expected) => expect(saying(given)).toEqual(expected));

  test.each<[string, Resources]>([
    ["memory+swap limit should be >= memory limit", { memory: { limit: 100, swap: 50 } }],
    ["invalid memory swappiness value", { memory: { swappiness: 101 } }],
  ])("%s", async (message, resources) => {
    const error = await failureOf(() => saying(resources));
    expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(message)]);
  });
});

describe("an update", () => {
  const V1 = { "cpu.cfs_quota_us": "5000\n", "cpu.cfs_period_us": "10000\n", "memory.usage_in_bytes": "700\n" };
  const V2 = {
    "cpu.max": "5000 10000\n",
    "memory.max": "1000\n",
    "memory.swap.max": "500\n",
    "memory.current": "700\n",
  };
  const NO_LIMIT = { "cpu.max": "max 100000\n", "memory.max": "max\n", "memory.swap.max": "max\n" };
  type Files = Record<string, string>;
  const completed = (update: Resources, version: "v1" | "v2", files: Files) =>
    complete(update, { memory: version, cpu: version }, (_, file) => files[file]);

  test.each<[string, Resources, "v1" | "v2", Files, Resources]>([
    ["of a quota keeps the period", { cpu: { quota: 1 } }, "v2", V2, { cpu: { quota: 1, period: 10_000 } }],
    ["of a period keeps the quota", { cpu: { period: 1 } }, "v2", V2, { cpu: { quota: 5000, period: 1 } }],
    ["of a period keeps no quota", { cpu: { period: 1 } }, "v2", NO_LIMIT, { cpu: { quota: -1, period: 1 } }],
    [
      "of a quota keeps the period of version 1",
      { cpu: { quota: 1 } },
      "v1",
      V1,
      { cpu: { quota: 1, period: 10_000 } },
    ],
    ["of both needs neither", { cpu: { quota: 1, period: 2 } }, "v2", V2, { cpu: { quota: 1, period: 2 } }],
    ["of shares is about neither", { cpu: { shares: 3 } }, "v2", V2, { cpu: { shares: 3 } }],
    [
      "of memory leaves both together as they are",
      { memory: { limit: 800 } },
      "v2",
      V2,
      { memory: { limit: 800, swap: 1500 } },
    ],
    ["of memory without swap", { memory: { limit: 800 } }, "v2", NO_LIMIT, { memory: { limit: 800 } }],
    [
      "of both together counts with memory",
      { memory: { swap: 1200 } },
      "v2",
      V2,
      { memory: { limit: 1000, swap: 1200 } },
    ],
    ["of swap where memory has no limit", { memory: { swap: 9 } }, "v2", NO_LIMIT, { memory: { limit: -1, swap: 9 } }],
    ["of memory in version 1 is the kernel's affair", { memory: { limit: 8 } }, "v1", V1, { memory: { limit: 8 } }],
  ])("%s", (_, update, version, files, expected) => expect(completed(update, version, files)).toEqual(expected));

  test.each<[string, Resources, "v1" | "v2", Files]>([
    ["memory+swap limit should be >= memory limit", { memory: { limit: 2000 } }, "v2", V2],
    ["rejecting memory limit 700 <= usage 700", { memory: { limit: 700, checkBeforeUpdate: true } }, "v2", V2],
    ["rejecting memory+swap limit 600 <= usage 700", { memory: { swap: 600, checkBeforeUpdate: true } }, "v1", V1],
  ])("%s", async (message, update, version, files) => {
    expect((await failureOf(() => completed(update, version, files))).message).toContain(message);
  });
});

describe("a group below", () => {
  const join = (sub: string, first?: number) => joinPath({ path: "/cg/box", sub, version: "v2", first });
  test("by its way", () =>
    expect([join(""), join("a//b"), join("/a")]).toEqual(["/cg/box", "/cg/box/a/b", "/cg/box/a"]));
  test.each(["..", "../other", "./../other", "a/..", "a/../../other", "./a"])("%p leads out", async (sub) => {
    const { code, message } = await failureOf(() => join(sub));
    expect([code, message]).toEqual(["invalid_option", expect.stringContaining("`..` components are not allowed")]);
    expect(message).toContain(sub);
  });
});

const { v1, v2 } = findHierarchies();
const isPure = v1.size === 0;
let count = 0;
const nextId = () => `tsbox-test-${process.pid}-${++count}`;

const plan = (options: { id?: string; cgroupsPath?: string; rootless?: boolean } = {}) =>
  ContainerCgroup.plan({ id: nextId(), systemd: false, rootless: !asRoot, ...options });

const left = () => [...v1.values(), ...(v2 ? [v2] : [])].flatMap(({ mount }) => groupsNamed(mount, 5));

function groupsNamed(directory: string, depth: number): string[] {
  let entries;
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    if (!entry.isDirectory()) return [];
    const path = `${directory}/${entry.name}`;
    const own = entry.name.startsWith(`tsbox-test-${process.pid}-`) ? [path] : [];
    return depth > 0 ? [...own, ...groupsNamed(path, depth - 1)] : own;
  });
}

/** Makes it, has something run in it, and removes it. */
async function withCgroup(
  resources: Resources,
  use: (cgroup: ContainerCgroup, told: string[]) => unknown,
  record?: CgroupRecord,
): Promise<void> {
  const told: string[] = [];
  const cgroup = new ContainerCgroup(record ?? (await plan()), (message) => told.push(message));
  await cgroup.make(resources);
  try {
    await use(cgroup, told);
  } finally {
    await cgroup.thaw();
    await cgroup.kill(9);
    await cgroup.remove();
  }
}

/** A shell in it, which makes children as it likes. */
async function inside(cgroup: ContainerCgroup, line: string): Promise<Bun.Subprocess<"pipe", "pipe", "inherit">> {
  const process = Bun.spawn(["sh", "-c", `read go; ${line}`], { stdin: "pipe", stdout: "pipe" });
  await cgroup.addProcess(process.pid);
  process.stdin.write("\n");
  await process.stdin.end();
  return process;
}

const pathOf = (cgroup: ContainerCgroup, controller: string) =>
  (cgroup.record.paths[controller] ?? cgroup.record.paths[""]) as string;
const fileOf = (cgroup: ContainerCgroup, controller: string, one: string, two: string) => {
  const path = cgroup.record.paths[controller];
  return readFileSync(path === undefined ? `${cgroup.record.paths[""]}/${two}` : `${path}/${one}`, "utf8").trim();
};
const cgroupTest = (name: string, body: () => unknown) => testUnless(noLimits, name, body);

adoptOrphans();
afterAll(() => expect(left()).toEqual([]));

describe("a group", () => {
  cgroupTest("is in every hierarchy, empty, and gone when it is removed", async () => {
    const before = descriptors().size;
    await withCgroup({}, (cgroup) => {
      const directories = new Set(Object.values(cgroup.record.paths));
      for (const path of directories) expect(existsSync(`${path}/cgroup.procs`)).toBe(true);
      expect(Object.keys(cgroup.record.paths).toSorted()).toEqual([...v1.keys(), ...(v2 ? [""] : [])].toSorted());
      expect(cgroup.membership).toEqual({ tasks: directories.size - (v2 ? 1 : 0), into: v2 !== undefined });
      using opened = new Descriptors();
      const { membership } = cgroup;
      expect(Object.keys(cgroup.open(opened)).toSorted()).toEqual(
        [
          ...Array.from({ length: membership.tasks }, (_, index) => `cgroup${index}`),
          ...(membership.into ? ["cgroup"] : []),
        ].toSorted(),
      );
      expect(cgroup.pids()).toEqual([]);
    });
    expect(left()).toEqual([]);
    expect(descriptors().size).toBe(before);
  });

  cgroupTest("has the limits that were asked for", async () => {
    const resources: Resources = {
      memory: { limit: 64 * MIB, reservation: 32 * MIB },
      cpu: { shares: 2048, quota: 20_000, period: 50_000, cpus: "0" },
      pids: { limit: 7 },
    };
    await withCgroup(resources, (cgroup) => {
      expect([
        fileOf(cgroup, "memory", "memory.limit_in_bytes", "memory.max"),
        fileOf(cgroup, "memory", "memory.soft_limit_in_bytes", "memory.low"),
        fileOf(cgroup, "cpu", "cpu.shares", "cpu.weight"),
        fileOf(cgroup, "cpu", "cpu.cfs_quota_us", "cpu.max"),
        fileOf(cgroup, "cpuset", "cpuset.cpus", "cpuset.cpus"),
        fileOf(cgroup, "pids", "pids.max", "pids.max"),
      ]).toEqual([
        String(64 * MIB),
        String(32 * MIB),
        isPure ? "174" : "2048",
        isPure ? "20000 50000" : "20000",
        "0",
        "7",
      ]);
    });
  });

  cgroupTest("changes them, whichever has to come first", async () => {
    await withCgroup(
      { memory: { limit: 64 * MIB, swap: 64 * MIB }, cpu: { quota: 20_000, period: 50_000 } },
      async (cgroup) => {
        const memory = () => fileOf(cgroup, "memory", "memory.limit_in_bytes", "memory.max");
        for (const size of [256 * MIB, 32 * MIB]) {
          await cgroup.update({ memory: { limit: size, swap: size }, pids: { limit: 0 } });
          expect(memory()).toBe(String(size));
        }
        await cgroup.update({ cpu: { quota: 40_000 } });
        const quota = fileOf(cgroup, "cpu", "cpu.cfs_quota_us", "cpu.max");
        const period = fileOf(cgroup, "cpu", "cpu.cfs_period_us", "cpu.max");
        expect([quota, period]).toEqual(isPure ? ["40000 50000", "40000 50000"] : ["40000", "50000"]);
        expect(fileOf(cgroup, "pids", "pids.max", "pids.max")).toBe("1");
        await cgroup.update({ memory: { limit: -1 }, pids: { limit: -1 } });
        if (isPure) expect(memory()).toBe("max");
        else expect(Number(memory())).toBeGreaterThan(2 ** 60);
        expect(fileOf(cgroup, "pids", "pids.max", "pids.max")).toBe("max");
      },
    );
  });

  cgroupTest("is opened again by its record", async () => {
    await withCgroup({}, async (cgroup) => {
      const process = await inside(cgroup, "exec sleep 100");
      const again = new ContainerCgroup(JSON.parse(JSON.stringify(cgroup.record)) as CgroupRecord);
      expect(again.pids()).toEqual([process.pid]);
      await again.kill(9);
      expect(await process.exited).toBe(137);
    });
  });

  cgroupTest("with processes is nobody else's", async () => {
    await withCgroup({}, async (cgroup) => {
      await inside(cgroup, "exec sleep 100");
      const error = await failureOf(() => new ContainerCgroup(cgroup.record).make({}));
      expect([error.code, error.message]).toEqual([
        "container_state",
        "container's cgroup is not empty: 1 process(es) found",
      ]);
      // whoever was refused takes nothing away, and kills nobody
      const refused = new ContainerCgroup({ ...cgroup.record, made: false });
      await refused.kill(9);
      await refused.remove();
      expect(cgroup.pids().length).toBe(1);
      expect(existsSync(pathOf(cgroup, "pids"))).toBe(true);
    });
  });

  cgroupTest("that is frozen is nobody's", async () => {
    await withCgroup({}, async (cgroup) => {
      await cgroup.freeze();
      const refused = new ContainerCgroup(await plan({ id: pathOf(cgroup, "freezer").split("/").at(-1) as string }));
      expect(refused.record.paths).toEqual(cgroup.record.paths);
      const error = await failureOf(() => refused.make({}));
      expect(error.message).toBe("container's cgroup unexpectedly frozen");
      await refused.remove();
      for (const path of Object.values(cgroup.record.paths)) expect(existsSync(path)).toBe(true);
      await cgroup.thaw();
      await new ContainerCgroup(cgroup.record).make({});
    });
  });

  cgroupTest("that cannot have a limit is not left behind", async () => {
    const record = await plan();
    const error = await failureOf(() => new ContainerCgroup(record).make({ cpu: { cpus: "4000" } }));
    expect([error.code, error.message]).toEqual([
      "limit_unavailable",
      expect.stringContaining('"4000" to "cpuset.cpus"'),
    ]);
    expect(left()).toEqual([]);
  });

  cgroupTest("that was never whole goes with the container", async () => {
    const record = await plan();
    await new ContainerCgroup(record).make({});
    // whoever made it was killed before it could say so
    await new ContainerCgroup(record).remove();
    expect(left()).toEqual([]);
  });

  testUnless(notRoot, "goes with the groups above it that were made for it, where it cannot be had", async () => {
    const cgroupsPath = `/${nextId()}/a/b`;
    const record = await plan({ cgroupsPath });
    expect((await failureOf(() => new ContainerCgroup(record).make({ cpu: { cpus: "4000" } }))).code).toBe(
      "limit_unavailable",
    );
    expect(left()).toEqual([]);
  });
});

describe("processes", () => {
  cgroupTest("of groups below are found, killed, and the groups removed", async () => {
    await withCgroup({}, async (cgroup) => {
      const path = pathOf(cgroup, "pids");
      mkdirSync(`${path}/a/b`, { recursive: true });
      const process = await inside(cgroup, "sleep 100 & exec sleep 100");
      expect(await eventually(() => cgroup.pids().length === 2)).toBe(true);
      const child = cgroup.pids().find((pid) => pid !== process.pid) as number;
      writeFileSync(`${path}/a/b/cgroup.procs`, String(child));
      expect(cgroup.pids().toSorted()).toEqual([process.pid, child].toSorted());
      await cgroup.kill(9);
      expect(cgroup.pids()).toEqual([]);
    });
  });

  cgroupTest("join a group below, where there is one", async () => {
    await withCgroup({}, async (cgroup) => {
      const path = pathOf(cgroup, "pids");
      mkdirSync(`${path}/a/b`, { recursive: true });
      const below = cgroup.below({ "": "a/b" });
      const [first] = Object.entries(below.record.paths).find(([, each]) => each.startsWith(path)) ?? [];
      expect(below.record.paths).toEqual({ ...cgroup.record.paths, [first as string]: `${path}/a/b` });
      await inside(below, "exec sleep 100");
      expect(readFileSync(`${path}/a/b/cgroup.procs`, "utf8")).not.toBe("");
      expect(cgroup.below({ "": "/" }).record.paths).toEqual(cgroup.record.paths);
      const unknown = await failureOf(() => cgroup.below({ whaaat: "/" }));
      expect([unknown.code, unknown.message]).toEqual([
        "invalid_option",
        'join the cgroup "/": unknown controller "whaaat"',
      ]);
      const error = await failureOf(() => cgroup.below({ "": "nothing" }));
      expect(error.message).toBe(
        'join the cgroup "nothing": adding pid to it: no such file or directory in the container',
      );
    });
  });

  testUnless(
    isPure ? noLimits : "pure version 2 is not here",
    "join the first one, where groups below are limited",
    async () => {
      await withCgroup({}, async (cgroup) => {
        const path = cgroup.record.paths[""] as string;
        mkdirSync(`${path}/a`);
        const process = await inside(cgroup, "exec sleep 100");
        writeFileSync(`${path}/a/cgroup.procs`, String(process.pid));
        expect(cgroup.below({}, process.pid).record.paths).toEqual({ "": path });
        writeFileSync(`${path}/cgroup.subtree_control`, "+memory");
        expect(cgroup.below({}, process.pid).record.paths).toEqual({ "": `${path}/a` });
        // asked for by its name, it is no other
        expect(cgroup.below({ "": "/" }, process.pid).record.paths).toEqual({ "": path });
      });
    },
  );

  cgroupTest("get any signal, each of them", async () => {
    await withCgroup({}, async (cgroup) => {
      const process = await inside(cgroup, "trap 'echo told; exit 3' TERM; sh -c 'echo ready; exec sleep 100' & wait");
      const reader = process.stdout.getReader();
      const decoder = new TextDecoder();
      expect(decoder.decode((await reader.read()).value)).toBe("ready\n");
      await cgroup.kill(15);
      expect(decoder.decode((await reader.read()).value)).toBe("told\n");
      expect(await process.exited).toBe(3);
      expect(await eventually(() => cgroup.pids().length === 0)).toBe(true);
    });
  });

  cgroupTest("stand still, and go on", async () => {
    await withCgroup({}, async (cgroup) => {
      const process = await inside(cgroup, "while :; do echo x; sleep 0.01; done");
      const reader = process.stdout.getReader();
      await reader.read();
      await cgroup.freeze();
      expect(await cgroup.isFrozen()).toBe(true);
      const state = () => readFileSync(`/proc/${process.pid}/stat`, "utf8").split(") ")[1]?.[0];
      const time = () => readFileSync(`/proc/${process.pid}/stat`, "utf8").split(" ").slice(13, 17).join();
      const before = time();
      await Bun.sleep(100);
      expect([time(), ["S", "D"].includes(state() as string)]).toEqual([before, true]);
      await cgroup.thaw();
      expect(await cgroup.isFrozen()).toBe(false);
      while (!(await reader.read()).done) if (time() !== before) break;
      expect(time()).not.toBe(before);
    });
  });

  testUnless(notRoot, "hide in groups that are nested deeper than a path is long", async () => {
    await withCgroup({}, async (cgroup) => {
      const path = pathOf(cgroup, "pids");
      const name = "n".repeat(200);
      const process = await inside(
        cgroup,
        `cd ${path}; for i in $(seq 45); do mkdir ${name} && cd -P ./${name} || exit; done; echo 0 >cgroup.procs; echo deep; exec sleep 100`,
      );
      const reader = process.stdout.getReader();
      expect(new TextDecoder().decode((await reader.read()).value)).toBe("deep\n");
      expect(cgroup.pids()).toEqual([process.pid]);
      await cgroup.kill(9);
      expect(await process.exited).toBe(137);
    });
    expect(left()).toEqual([]);
  });
});

/** Where the kernel does not kill a whole group, as version 2 does, it takes several turns. */
const VERSION_1 = isPure ? "version 1 is not here" : noLimits;
const withoutVersion2 = async (): Promise<CgroupRecord> => {
  const { paths, ...record } = await plan();
  const { "": _, ...v1Paths } = paths;
  return { ...record, paths: v1Paths };
};

describe.each([
  ["as they are", noLimits, () => plan()],
  ["of version 1 alone", VERSION_1, withoutVersion2],
] as const)("processes in groups %s", (_, reason, planned) => {
  testUnless(reason, "that are gone when they are looked for, and have left another, are all killed", async () => {
    const record = await planned();
    await withCgroup(
      {},
      async (cgroup) => {
        // each makes one more, and ends
        await inside(cgroup, "hop() { hop & }; for i in 1 2 3 4 5 6 7 8; do hop & done");
        expect(await eventually(() => cgroup.pids().length >= 8)).toBe(true);
        await cgroup.kill(9);
        expect(cgroup.pids()).toEqual([]);
        await Bun.sleep(50);
        expect(cgroup.pids()).toEqual([]);
      },
      record,
    );
  });

  testUnless(reason, "that are frozen, also in a group below by itself, can be killed", async () => {
    const record = await planned();
    await withCgroup(
      {},
      async (cgroup) => {
        const path = pathOf(cgroup, "freezer");
        mkdirSync(`${path}/below`);
        const process = await inside(cgroup, "sleep 100 & exec sleep 100");
        expect(await eventually(() => cgroup.pids().length === 2)).toBe(true);
        const child = cgroup.pids().find((pid) => pid !== process.pid) as number;
        writeFileSync(`${path}/below/cgroup.procs`, String(child));
        writeFileSync(`${path}/below/${isPure ? "cgroup.freeze" : "freezer.state"}`, isPure ? "1" : "FROZEN");
        await cgroup.freeze();
        await cgroup.kill(9);
        expect(cgroup.pids()).toEqual([]);
      },
      record,
    );
  });
});

describe("statistics", () => {
  cgroupTest("as runc prints them", async () => {
    await withCgroup({ memory: { limit: 64 * MIB }, pids: { limit: 9 } }, async (cgroup) => {
      const process = await inside(
        cgroup,
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 100",
      );
      await process.stdout.getReader().read();
      const text = JSON.stringify(cgroup.stats());
      const stats = JSON.parse(text);
      expect(JSON.parse(text)).toMatchObject({
        pids: { current: 1, limit: 9 },
        memory: { usage: { limit: 64 * MIB, usage: expect.any(Number), failcnt: expect.any(Number) } },
        cpu: { usage: { total: expect.any(Number), kernel: expect.any(Number), user: expect.any(Number) } },
        cpuset: { cpu_exclusive: 0 },
      });
      expect(stats.cpu.usage.total).toBeGreaterThan(100_000);
      expect(stats.memory.usage.usage).toBeGreaterThan(1000);
      expect(Object.keys(stats.memory.raw).length).toBeGreaterThan(5);
      expect(Object.keys(stats).toSorted()).toEqual(["blkio", "cpu", "cpuset", "hugetlb", "memory", "pids"]);
      expect(cgroup.oomKills()).toBe(0);
    });
  });

  cgroupTest("no limit is all bits, exactly", async () => {
    await withCgroup({}, (cgroup) => {
      const text = JSON.stringify(cgroup.stats().memory.usage);
      expect(text).toContain(isPure ? '"limit":18446744073709551615' : '"limit":9223372036854771712');
    });
  });

  cgroupTest("what was killed as memory was out", async () => {
    await withCgroup({ memory: { limit: 16 * MIB, swap: 16 * MIB } }, async (cgroup) => {
      const process = await inside(cgroup, "exec dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null");
      expect(await process.exited).toBe(137);
      expect(cgroup.oomKills()).toBe(1);
    });
  });
});

describe("devices", () => {
  const look = (device: string) => `(: <${device}) 2>&- && printf r; (: >>${device}) 2>&- && printf w; echo`;
  const usable = async (resources: Resources) => {
    let found: string[] = [];
    await withCgroup(resources, async (cgroup) => {
      const process = await inside(
        cgroup,
        `${look("/dev/null")}; ${look("/dev/zero")}; ${look("/dev/kmsg")}; (: <>/dev/kmsg) 2>&- && echo both`,
      );
      found = (await new Response(process.stdout).text()).trim().split("\n");
    });
    return found;
  };
  const kmsg = (access: string, allow = true) => ({ allow, type: "c" as const, major: 1, minor: 11, access });

  testUnless(notRoot, "no others than every container has", async () => {
    expect(await usable({})).toEqual(["rw", "rw"]);
  });
  testUnless(notRoot, "and those that were asked for", async () => {
    expect(await usable({ devices: [kmsg("r")] })).toEqual(["rw", "rw", "r"]);
    expect(await usable({ devices: [kmsg("r"), kmsg("w")] })).toEqual(["rw", "rw", "rw", "both"]);
    expect(await usable({ devices: [kmsg("rw"), kmsg("w", false)] })).toEqual(["rw", "rw", "r"]);
  });
  testUnless(notRoot, "all, for whoever asks for all", async () => {
    expect(await usable({ devices: [{ allow: true, type: "a" }] })).toEqual(["rw", "rw", "rw", "both"]);
  });
  testUnless(notRoot, "are not changed by an update", async () => {
    await withCgroup({}, async (cgroup) => {
      await cgroup.update({ devices: [{ allow: true }] });
      const process = await inside(cgroup, look("/dev/kmsg"));
      expect((await new Response(process.stdout).text()).trim()).toBe("");
    });
  });
  testUnless(notRoot, "are those of the container that has the group now", async () => {
    const record = await plan();
    await withCgroup(
      { devices: [kmsg("r")] },
      async (cgroup) => {
        await new ContainerCgroup(record).make({ devices: [kmsg("rw")] });
        const process = await inside(cgroup, look("/dev/kmsg"));
        expect((await new Response(process.stdout).text()).trim()).toBe("rw");
      },
      record,
    );
  });
});

describe("what a version has not", () => {
  cgroupTest("of memory and the network is told, and left out", async () => {
    const resources: Resources = { memory: { swappiness: 10, kernel: 5 * MIB }, network: { classID: 5 } };
    await withCgroup(resources, (_, told) => {
      expect(told).toContain("limits of kernel memory are ignored: kernels have them no more");
      expect(told.some((message) => message.includes("swappiness"))).toBe(isPure);
    });
  });

  testUnless(isPure ? "version 1 is not here" : noLimits, "unified files are refused in version 1", async () => {
    const record = await plan();
    const error = await failureOf(() => new ContainerCgroup(record).make({ unified: { "memory.high": "1" } }));
    expect(error.message).toBe("invalid configuration: cannot use unified resources on cgroup v1");
    expect(left()).toEqual([]);
  });

  const noPure = isPure ? noLimits : "pure version 2 is not here";
  testUnless(noPure, "unified files win, and may have lines", async () => {
    const unified = { "memory.max": String(32 * MIB), "cgroup.max.depth": "3\n" };
    await withCgroup({ memory: { limit: 64 * MIB }, unified }, (cgroup) => {
      expect(readFileSync(`${cgroup.record.paths[""]}/memory.max`, "utf8").trim()).toBe(String(32 * MIB));
      expect(readFileSync(`${cgroup.record.paths[""]}/cgroup.max.depth`, "utf8").trim()).toBe("3");
    });
  });
  test.each([
    ["foo.bar", "the requested cgroup controller `foo` is not available"],
    ["NOT-A-KEY", "the specified key has not the form CONTROLLER.VALUE `NOT-A-KEY`"],
    ["../x/memory.max", "the specified key has not the form"],
    ["memory.bogus", "no such file or directory"],
  ])("the unified file %p is refused", async (file, message) => {
    if (noPure !== undefined) return;
    const record = await plan();
    const error = await failureOf(() => new ContainerCgroup(record).make({ unified: { [file]: "1" } }));
    expect(error.message).toContain(message);
    expect(left()).toEqual([]);
  });
});

describe("a group that is given to a user", () => {
  testUnless(notRoot, "is, in pure version 2, with the files that make groups, and no others", async () => {
    await withCgroup({}, (cgroup) => {
      cgroup.delegate(1234, 5678);
      const path = cgroup.record.paths[""] as string;
      const owned = readdirSync(path).filter((file) => statSync(`${path}/${file}`).uid === 1234);
      const { uid, gid } = statSync(path);
      expect([uid, gid]).toEqual(isPure ? [1234, 5678] : [0, 0]);
      if (!isPure) return expect(owned).toEqual([]);
      expect(owned).toEqual(expect.arrayContaining(["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]));
      expect(owned.filter((file) => /^(memory\.max|cpu\.max|pids\.max|cgroup\.freeze)$/.test(file))).toEqual([]);
    });
  });
});

describe("a group above that is not as it should be", () => {
  const noPure = isPure ? notRoot : "pure version 2 is not here";
  /** A group with a process in it, or prepared in another way. */
  async function above(prepare: (path: string) => unknown, use: (cgroupsPath: string) => Promise<void>): Promise<void> {
    const name = nextId();
    const path = `${v2?.mount}/${name}`;
    mkdirSync(path);
    const process = Bun.spawn(["sleep", "1000"]);
    try {
      writeFileSync(`${path}/cgroup.procs`, String(process.pid));
      await prepare(path);
      await use(`/${name}/box`);
    } finally {
      process.kill(9);
      await process.exited;
      for (const each of [`${path}/threads`, path]) await eventually(() => !existsSync(each) || tryRemove(each));
    }
  }
  const made = async (cgroupsPath: string, resources: Resources) => {
    const cgroup = new ContainerCgroup(await plan({ cgroupsPath }));
    await cgroup.make(resources);
    return cgroup;
  };

  testUnless(noPure, "processes are in the way of controllers, and nothing of it is changed", async () => {
    await above(
      () => {},
      async (cgroupsPath) => {
        for (const resources of [{ memory: { limit: 64 * MIB } }, { pids: { limit: 5 } }]) {
          const error = await failureOf(() => made(cgroupsPath, resources));
          expect(error.message).toMatch(/^cannot set (memory|pids) limit: the controller is not enabled below "/);
          expect(error.hint).toBe("processes in that group are in the way: move them to one below it");
        }
        const cgroup = await made(cgroupsPath, {});
        expect(readFileSync(`${pathOf(cgroup, "")}/cgroup.type`, "utf8").trim()).toBe("domain");
        await inside(cgroup, "exec sleep 100");
        await cgroup.kill(9);
        await cgroup.remove();
      },
    );
  });

  testUnless(noPure, "of threads, there are limits for threads only", async () => {
    const prepare = (path: string) => {
      mkdirSync(`${path}/threads`);
      writeFileSync(`${path}/threads/cgroup.type`, "threaded");
    };
    await above(prepare, async (cgroupsPath) => {
      const error = await failureOf(() => made(cgroupsPath, { memory: { limit: 64 * MIB } }));
      expect(error.message).toMatch(/^limit memory in the control group ".*": its type is "domain invalid"$/);
      const cgroup = await made(cgroupsPath, { pids: { limit: 5 } });
      const read = (file: string) => readFileSync(`${pathOf(cgroup, "")}/${file}`, "utf8").trim();
      expect([read("cgroup.type"), read("pids.max")]).toEqual(["threaded", "5"]);
      await cgroup.remove();
    });
  });
});

function tryRemove(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

describe("without permission", () => {
  const mayNot = asRoot ? "root may" : noLimits === undefined ? "this user has a group" : undefined;
  testUnless(mayNot, "a container is without groups, unless it asks for some", async () => {
    const told: string[] = [];
    const cgroup = new ContainerCgroup(await plan({ rootless: true }), (message) => told.push(message));
    await cgroup.make({});
    expect([cgroup.record.paths, cgroup.membership, told]).toEqual([{}, { tasks: 0, into: false }, []]);
    expect((await failureOf(() => cgroup.freeze())).message).toBe("freeze the container: it has no cgroup of its own");
    await cgroup.remove();
    const limited = new ContainerCgroup(await plan({ rootless: true }));
    const error = await failureOf(() => limited.make({ pids: { limit: 5 } }));
    expect(error.message).toBe("cannot set pids limit: container could not join or create cgroup");
    expect(error.hint).toContain("Delegate=yes");
    const asked = new ContainerCgroup(await plan({ rootless: true, cgroupsPath: `/${nextId()}` }));
    expect((await failureOf(() => asked.make({}))).message).toMatch(
      /^unable to apply cgroup configuration: .*permission denied$/,
    );
  });
});
