/** Attributes of processes and namespaces, looked at from inside. @module */
import { afterAll, describe, expect } from "bun:test";
import { existsSync } from "node:fs";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, inGuest, noBusybox, noLimits, noSandbox, notRoot, notUser, testUnless } from "./support/machine.ts";
import { call, kept, outcomes, probe, ref } from "./support/probe.ts";
import { makeRootfs } from "./support/rootfs.ts";
import { shellIn } from "./support/shell.ts";

const root = makeRootfs();
afterAll(() => root.remove());

const sandboxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);

const sh = shellIn(root);

/** What system calls tell of the process that makes them. */
async function ask(ops: Parameters<typeof probe>, options: RunOptions): Promise<(number | string)[]> {
  const image = probe(...ops);
  const name = `probe-${Bun.hash(image).toString(36)}`;
  root.write(`bin/${name}`, image, 0o755);
  const { stdoutBytes } = await Sandbox.run([`/bin/${name}`], { rootfs: root.path, ...options });
  return outcomes(stdoutBytes);
}

const capabilities = async (options: RunOptions) =>
  Object.fromEntries(
    (await sh("grep ^Cap /proc/self/status", options)).split("\n").map((line) => {
      const [, name = "", mask = ""] = /^Cap(\w+):\s*(\w+)$/.exec(line) ?? [];
      return [name, Number.parseInt(mask, 16)];
    }),
  );
const [CHOWN, KILL, SETUID] = [1 << 0, 1 << 5, 1 << 7];

describe("capabilities", () => {
  testUnless(notRoot, "an ordinary user has those that are ambient, and its programs get no others", async () => {
    const sets = { bounding: ["CHOWN", "KILL", "SETUID"], permitted: ["KILL"], effective: ["KILL"] };
    const inherited = { ...sets, inheritable: ["KILL"], ambient: ["KILL"] };
    const user = "1000:1000";
    expect(await capabilities({ user, security: { capabilities: inherited } })).toEqual({
      Inh: KILL,
      Prm: KILL,
      Eff: KILL,
      Bnd: CHOWN | KILL | SETUID,
      Amb: KILL,
    });
    const none = { Inh: 0, Prm: 0, Eff: 0, Bnd: CHOWN | KILL | SETUID, Amb: 0 };
    expect(await capabilities({ user, security: { capabilities: sets } })).toEqual(none);
  });

  sandboxTest("without any set, root has none", async () => {
    const none = { Inh: 0, Prm: 0, Eff: 0, Bnd: 0, Amb: 0 };
    expect(await capabilities({ security: { capabilities: {} } })).toEqual(none);
  });
});

describe("groups and umask", () => {
  testUnless(notRoot, "groups are added to those of the user, by number and by name", async () => {
    expect(await sh("id -G", { user: "0:0", groups: [5, "7"] })).toBe("0 5 7");
    expect(await sh("id -G", { groups: ["root", 5, 5] })).toBe("0 5");
    const box = await Sandbox.create({ rootfs: root.path, groups: [9] });
    await using _ = box;
    expect((await new Response(box.spawn(["id", "-G"]).stdout).text()).trim()).toBe("0 9");
  });

  testUnless(notUser, "an ordinary user with a single id cannot have more groups, and is told why", async () => {
    const error = await failureOf(() => sh("id", { groups: [5] }));
    expect([error.code, error.hint]).toEqual([
      "invalid_option",
      "the user or a group is not in the id map of the sandbox",
    ]);
  });

  sandboxTest("the umask", async () => {
    expect(await sh("umask; umask 022; touch /tmp/x", { umask: 0o77 })).toBe("0077");
    expect(await sh("umask")).toBe("0022");
    expect(await sh("umask", { umask: 0 })).toBe("0000");
  });
});

describe("namespaces' own parameters", () => {
  sandboxTest("the domain name", async () => {
    const read = "cat /proc/sys/kernel/domainname";
    expect([await sh(read), await sh(read, { domainname: "nis.example" })]).toEqual(["(none)", "nis.example"]);
  });

  sandboxTest("sysctls of the network and of user namespaces are set, and cannot be changed inside", async () => {
    const sysctls = { "net.ipv4.ip_default_ttl": "77", "user.max_user_namespaces": "0" };
    const read = "cd /proc/sys; cat net/ipv4/ip_default_ttl user/max_user_namespaces";
    expect(await sh(read, { sysctls })).toBe("77\n0");
    expect(await sh("echo 5 2>/dev/null >/proc/sys/net/ipv4/ip_default_ttl || echo refused", { sysctls })).toContain(
      "refused",
    );
    expect(await sh("cat /proc/sys/net/ipv4/ip_default_ttl")).not.toBe("77");
  });

  sandboxTest(
    "every user has all ports of the sandbox's own network, and pings; unless something else is asked for",
    async () => {
      const user = asRoot ? "1000:1000" : "0:0";
      // the socket of `ping`, and port 80
      const address = { text: "127.0.0.1:80", data: Uint8Array.of(2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0) };
      const ops = [
        call("socket", 2, 2, 1),
        kept("socket", call("socket", 2, 1, 0)),
        call("bind", ref("socket"), address, 16),
      ];
      const security = { capabilities: {} };
      const named = { namespaces: { user: "host" } } as const;
      for (const more of asRoot ? [{}, named, { namespaces: { user: "auto" } } as const] : [{}])
        expect(await ask(ops, { user, security, ...more })).toEqual([expect.any(Number), expect.any(Number), 0]);
      const sysctls = { "net.ipv4.ip_unprivileged_port_start": "81" };
      expect(await ask(ops, { user, security, sysctls })).toEqual([expect.any(Number), expect.any(Number), "EACCES"]);
      if (!asRoot) return; // one group is the least that the kernel takes
      const nobody = { "net.ipv4.ping_group_range": "1 0" };
      expect(await ask(ops, { user, security, sysctls: nobody })).toEqual(["EACCES", expect.any(Number), 0]);
    },
  );

  testUnless(notRoot, "sysctls of IPC", async () => {
    const sysctls = { "kernel.msgmax": "4242", "kernel.sem": "32000 1024000000 500 321" };
    const read = "cat /proc/sys/kernel/msgmax /proc/sys/kernel/sem";
    const options: RunOptions = { sysctls, namespaces: { user: "host" } };
    expect((await sh(read, options)).replaceAll("\t", " ")).toBe("4242\n32000 1024000000 500 321");
    expect(await sh(read)).not.toContain("4242");
  });

  sandboxTest("a sysctl that does not exist is named, and so is a value that the kernel refuses", async () => {
    const missing = await failureOf(() => sh("true", { sysctls: { "net.ipv4.nothing": "1" } }));
    expect([missing.code, missing.message]).toEqual([
      "invalid_option",
      'set the sysctl net.ipv4.nothing to "1": ENOENT',
    ]);
    const refused = await failureOf(() => sh("true", { sysctls: { "net.ipv4.ip_default_ttl": "many" } }));
    expect([refused.code, refused.hint]).toEqual(["invalid_option", "the kernel refuses this value"]);
  });
});

describe("CPUs and priorities", () => {
  const [SCHED_BATCH, SCHED_IDLE] = [3, 5];
  const policy = call("sched_getscheduler", 0);

  sandboxTest("the scheduling policy and the nice value", async () => {
    const [NICE_OF_5] = [20 - 5];
    const nice = call("getpriority", 0, 0);
    const batch = { scheduler: { policy: "SCHED_BATCH", nice: 5 } } as const;
    expect(await ask([policy, nice], batch)).toEqual([SCHED_BATCH, NICE_OF_5]);
    expect(await ask([policy], { scheduler: { policy: "SCHED_IDLE" } })).toEqual([SCHED_IDLE]);
    expect(await ask([policy], {})).toEqual([0]);
  });

  testUnless(notRoot, "real time is had in the host's user namespace, and refused in another", async () => {
    const scheduler = { policy: "SCHED_FIFO", priority: 3 } as const;
    expect(await ask([policy], { scheduler, namespaces: { user: "host" } })).toEqual([1]);
    const error = await failureOf(() => sh("true", { scheduler }));
    expect([error.code, error.hint?.includes('namespaces.user "host"')]).toEqual(["permission_denied", true]);
  });

  const noGroups = existsSync("/sys/fs/cgroup/cpu/cpu.rt_runtime_us") ? noLimits : "no groups of real time";
  testUnless(notRoot ?? noGroups, "a CPU limit of version 1 leaves no real time, which the hint tells", async () => {
    const options = { scheduler: { policy: "SCHED_FIFO", priority: 3 }, namespaces: { user: "host" } } as const;
    const error = await failureOf(() => sh("true", { ...options, limits: { cpus: 1 } }));
    expect([error.code, error.hint?.includes("realtimeRuntime")]).toEqual(["permission_denied", true]);
  });

  sandboxTest("the I/O priority", async () => {
    const BE_6 = (2 << 13) | 6;
    expect(await ask([call("ioprio_get", 1, 0)], { ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 } })).toEqual([
      BE_6,
    ]);
  });

  sandboxTest("the CPUs, of the command and of a process that joins", async () => {
    const read = ["grep", "Cpus_allowed_list", "/proc/self/status"];
    expect(await sh(read.join(" "), { cpuAffinity: "0" })).toBe("Cpus_allowed_list:\t0");
    await using box = await Sandbox.create({ rootfs: root.path, cpuAffinity: "0" });
    expect(await new Response(box.spawn(read).stdout).text()).toBe("Cpus_allowed_list:\t0\n");
    const error = await failureOf(() => sh("true", { cpuAffinity: "8000" }));
    expect([error.code, error.message]).toEqual(["limit_unavailable", "run on the CPUs 8000: EINVAL"]);
  });

  testUnless(noSandbox, "the personality", async () => {
    const machine = async (options: RunOptions) => (await Sandbox.run(["uname", "-m"], options)).stdout.trim();
    // User-Mode Linux has no 32-bit machine to tell of
    if (!inGuest) expect(await machine({ personality: "LINUX32" })).toMatch(/^i[36]86$|^armv8l$/);
    expect(await machine({})).toBe(process.arch === "x64" ? "x86_64" : "aarch64");
    expect(await ask([call("personality", 0xffffffff)], { personality: "LINUX32" })).toEqual([8]);
  });
});

describe("a limit of open files that leaves no room for a start", () => {
  sandboxTest("is told as the sandbox's own, whatever fails by it", async () => {
    for (const nofile of [1, 4]) {
      const failed = await failureOf(() => Sandbox.run(["true"], { rootfs: root.path, ulimits: { nofile } }));
      expect([failed.code, failed.message, failed.hint]).toEqual([
        "system",
        expect.stringContaining("EMFILE"),
        expect.stringContaining("ulimits.nofile"),
      ]);
    }
    await using box = await Sandbox.create({ rootfs: root.path, ulimits: { nofile: 12 } });
    await box.$`d=/tmp; for i in $(seq 20); do d=$d/d; mkdir $d; done`;
    const failed = await failureOf(() => box.fs.rm("/tmp/d", { recursive: true }));
    expect([failed.message, failed.hint]).toEqual([
      expect.stringContaining("EMFILE"),
      expect.stringContaining("ulimits.nofile"),
    ]);
  });
});
