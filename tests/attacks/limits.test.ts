/** Attacks on what there is only so much of; each succeeds without the limit, or without the protection of it. @module */
import { afterAll, describe, expect } from "bun:test";
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findHierarchies } from "../../lib/cgroup/index.ts";
import { Sandbox, type RunOptions } from "../../lib/index.ts";
import { noBusybox, noLimits, notRoot, SLOW, testUnless } from "../support/machine.ts";
import { call, cstring, outcomes, probe } from "../support/probe.ts";
import { cgroups, eventually } from "../support/processes.ts";
import { makeRootfs } from "../support/rootfs.ts";

const root = makeRootfs();
const v1Memory = findHierarchies().v1.get("memory");
afterAll(() => root.remove());

const run = (line: string, options: RunOptions = {}) =>
  Sandbox.run(["/bin/sh", "-c", line], { rootfs: root.path, ...options });
const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const limitAttack = (name: string, body: () => unknown) => testUnless(noLimits, name, body);

describe("bombs", () => {
  limitAttack("processes: no more than that, and the machine has some left", async () => {
    const line = "i=0; while [ $i -lt 60 ]; do sleep 2 & i=$((i+1)); echo made; done";
    const bomb = await run(line, { limits: { pids: 16, time: `${10 * SLOW}s` } });
    expect(bomb.reason).toBe("pids");
    expect(bomb.stdout.split("made").length - 1).toBeLessThan(16);
    const free = await run(line, { limits: { time: `${10 * SLOW}s` } });
    expect(free.stdout.split("made").length - 1).toBe(60);
  });

  limitAttack("memory of many processes together, none of which has much", async () => {
    const line =
      "for i in 1 2 3 4 5 6; do (head -c 12m /dev/zero | tail -c 12m | { sleep 1; cat; } >/dev/null) & done; wait; exit 7";
    expect(await run(line, { limits: { memory: "32mb" } })).toMatchObject({ reason: "oom", exitCode: 7 });
    expect(await run(line)).toMatchObject({ reason: "exit", exitCode: 7 });
  });

  limitAttack("memory of files that are not anybody's any more", async () => {
    const line =
      "for i in 1 2 3 4; do exec 3>/dev/shm/$i; head -c 12m /dev/zero >&3 || exit 1; rm /dev/shm/$i; sleep 100 & done; echo kept";
    const options: RunOptions = { limits: { memory: "24mb", time: `${10 * SLOW}s` } };
    const bomb = await run(`${line}; kill %1 %2 %3 %4`, options);
    expect([bomb.stdout, bomb.exitCode]).not.toEqual(["kept\n", 0]);
    expect((await run(`${line}; kill %1 %2 %3 %4`)).stdout).toBe("kept\n");
  });

  attack("inotify: as many as a sysctl says", async () => {
    const many = (sysctls: Record<string, string>) => {
      const instances = Array.from({ length: 6 }, () => call("inotify_init1", 0));
      root.write("many", probe(...instances), 0o755);
      return Sandbox.run(["/many"], { rootfs: root.path, sysctls });
    };
    const kinds = async (sysctls: Record<string, string>) =>
      outcomes((await many(sysctls)).stdoutBytes).map((outcome) => (typeof outcome === "number" ? "made" : outcome));
    expect(await kinds({ "user.max_inotify_instances": "4" })).toEqual([...Array(4).fill("made"), "EMFILE", "EMFILE"]);
    expect(await kinds({})).toEqual(Array(6).fill("made"));
  });

  limitAttack("mounts: memory that is out while the sandbox is made kills nobody outside", async () => {
    const limits = { memory: "512k", time: `${10 * SLOW}s` };
    const text = (run: string) => `
      import { runChanged } from ${JSON.stringify(join(import.meta.dir, "../support/unprotected.ts"))};
      const mounts = Array.from({ length: 110 }, (_, index) => ({ type: "tmpfs", target: "/tmp/" + index }));
      const options = { rootfs: ${JSON.stringify(root.path)}, mounts, limits: ${JSON.stringify(limits)} };
      ${run}`;
    const owner = (run: string) => Bun.spawnSync([process.execPath, root.script(text(run))]);
    const tell = (more: string) =>
      `console.log(await Sandbox.run(["true"], { ...options, ${more} }).then((told) => told.reason, () => "failed"));`;
    expect(owner(tell("")).stdout.toString()).toBe("oom\n");
    // the control
    const killed = owner(
      `await runChanged(["true"], options, { ungrouped: ({ linux }) => delete linux.resources });
       console.log("made");`,
    );
    expect([killed.stdout.toString(), killed.signalCode]).toEqual(["", "SIGKILL"]);
    // whoever sets a limit takes away what it left, once in a second
    for (let tries = 0; tries < 100 && cgroups(killed.pid).length > 0; tries++, await Bun.sleep(100))
      await run("true", { limits: { memory: "64mb" } });
    expect(cgroups(killed.pid)).toEqual([]);
    // where it is out because of others
    if (!v1Memory) return;
    const parent = `/tsbox-test-${process.pid}`;
    const group = v1Memory.mount + parent;
    const children = () => readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    mkdirSync(group);
    try {
      writeFileSync(`${group}/memory.limit_in_bytes`, "512k");
      const roomy = { ...limits, memory: "512mb" };
      const told = owner(tell(`cgroupParent: ${JSON.stringify(parent)}, limits: ${JSON.stringify(roomy)}`));
      expect([told.stdout.toString(), told.exitCode]).toEqual(["oom\n", 0]);
    } finally {
      const isGone = () => {
        for (const { name } of children()) rmdirSync(join(group, name));
        return children().length === 0;
      };
      // EBUSY, as long as the kernel is taking what was killed out of it
      await eventually(() => {
        try {
          return isGone();
        } catch {
          return false;
        }
      });
      rmdirSync(group);
    }
  });

  attack("descriptors", async () => {
    const image = probe(...Array.from({ length: 100 }, () => call("openat", -100, cstring("/dev/null"), 0, 0)));
    root.write("bin/descriptors", image, 0o755);
    const opened = async (nofile: number) => {
      const { stdoutBytes } = await Sandbox.run(["/bin/descriptors"], { rootfs: root.path, ulimits: { nofile } });
      return outcomes(stdoutBytes);
    };
    const some = await opened(32);
    expect(some.filter((fd) => typeof fd === "number").length).toBeLessThanOrEqual(32);
    expect(some.at(-1)).toBe("EMFILE");
    expect((await opened(200)).every((fd) => typeof fd === "number")).toBe(true);
  });

  attack("files without content, and directories", async () => {
    for (const make of [": >$i", "mkdir $i"]) {
      const line = `cd /tmp; i=0; while [ $i -lt 1500 ]; do ${make} || exit 1; i=$((i+1)); done 2>/dev/null`;
      expect(await run(line, { limits: { disk: "1mb" } })).toMatchObject({ reason: "disk", exitCode: 1 });
      if (make.startsWith(":")) expect(await run(line)).toMatchObject({ reason: "exit", exitCode: 0 });
    }
  });

  attack("output, also where nobody looks at one of the streams", async () => {
    const bomb = await run("yes >&2 & yes & yes", { limits: { output: "64k", time: `${10 * SLOW}s` } });
    expect([bomb.reason, bomb.stdoutBytes.length + bomb.stderrBytes.length]).toEqual(["output", 65536]);
    expect((await run("head -c 1m /dev/zero")).stdoutBytes.length).toBe(2 ** 20);
  });
});

describe("ways out of a control group", () => {
  const { v1 } = findHierarchies();
  const CGROUPS = { type: "cgroup", target: "/sys/fs/cgroup" } as const;
  /** The protections of namespaces, capabilities and filters left out: only root can give that away. */
  const trusted: RunOptions = {
    namespaces: { user: "host" },
    security: {
      capabilities: ["SYS_ADMIN", "DAC_OVERRIDE"],
      seccomp: "none",
      landlock: "none",
    },
  };

  testUnless(
    notRoot ?? (v1.has("pids") ? undefined : "only version 1 has a release_agent"),
    "release_agent: what the host runs when a group is empty cannot be written (CVE-2022-0492)",
    async () => {
      // opened, and left as it is
      const line =
        "mkdir -p /tmp/c; mount -t cgroup -o pids none /tmp/c 2>/dev/null && echo mounted; [ -e /tmp/c/release_agent ] && (: >>/tmp/c/release_agent) 2>/dev/null && echo writable; true";
      expect((await run(line)).stdout).toBe("");
      const security = { capabilities: ["SYS_ADMIN", "DAC_OVERRIDE"], seccomp: "none", landlock: "none" } as const;
      // also with the capability, and without any filter: the file is that of somebody outside
      const capable = await run(line, { security: { ...security, capabilities: [...security.capabilities] } });
      expect(capable.stdout).toBe("mounted\n");
      expect((await run(line, trusted)).stdout).toBe("mounted\nwritable\n");
    },
  );

  testUnless(notRoot ?? noLimits, "the own limits, as files that can be seen, cannot be changed", async () => {
    const file = v1.has("pids") ? "/sys/fs/cgroup/pids/pids.max" : "/sys/fs/cgroup/pids.max";
    const line = `cat ${file}; (echo 1000 >${file}) 2>/dev/null && echo changed; cat ${file}`;
    const limits = { pids: 9 };
    const [seen, mounted] = [
      { mounts: [CGROUPS], limits },
      { mounts: [{ ...CGROUPS, readOnly: false }], limits },
    ];
    expect((await run(line, seen)).stdout).toBe("10\n10\n");
    // writable or not, the file belongs to somebody else
    expect((await run(line, mounted)).stdout).toBe("10\n10\n");
    // with version 2, the kernel keeps the limits of a cgroup namespace from those inside, whoever they are
    const host = "/sys/fs/cgroup";
    const hosts: RunOptions = {
      ...trusted,
      namespaces: { user: "host", cgroup: "host" },
      mounts: [{ type: "bind", source: host, target: host }],
      limits,
    };
    const own = `${host}$(sed -n s/^0:://p /proc/self/cgroup)/pids.max`;
    const control = v1.has("pids")
      ? await run(line, { ...mounted, ...trusted })
      : await run(line.replaceAll(file, own), hosts);
    expect(control.stdout).toBe("10\nchanged\n1000\n");
  });

  testUnless(notRoot ?? noLimits, "nobody moves to a group of their own, where nothing is limited", async () => {
    const own = v1.has("pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
    const line = `mkdir ${own}/mine && echo $$ >${own}/mine/cgroup.procs && echo moved; rmdir ${own}/mine`;
    const options = { mounts: [{ ...CGROUPS, readOnly: false }], limits: { pids: 9 } };
    expect((await run(`(${line}) 2>/dev/null`, options)).stdout).toBe("");
    const outcome = await run(`(${line}) 2>/dev/null; echo $$ >${own}/cgroup.procs`, { ...options, ...trusted });
    expect(outcome.stdout).toBe("moved\n");
  });

  testUnless(notRoot ?? noLimits, "groups and processes that were left below go with it", async () => {
    const own = v1.has("pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
    const line = `mkdir -p ${own}/a/b/c ${own}/d; sleep 1000 & echo $! >${own}/a/b/cgroup.procs; echo made`;
    const options = { mounts: [{ ...CGROUPS, readOnly: false }], limits: { pids: 9 }, ...trusted };
    expect((await run(line, options)).stdout).toBe("made\n");
    expect(cgroups()).toEqual([]);
  });

  limitAttack("what escapes by daemonizing is in the group as well, and ends with it", async () => {
    const line =
      "(setsid sh -c 'setsid sleep 1234 &' &); sleep 0.2; i=0; while [ $i -lt 20 ]; do sleep 1 & i=$((i+1)); done";
    expect(await run(`${line}; exit 1`, { limits: { pids: 8 } })).toMatchObject({ reason: "pids" });
  });
});
