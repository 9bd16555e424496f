/** What callers ask for, as specifications; and what they may not ask for. Nothing runs. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { Sandbox, TsboxError, type RunOptions } from "../lib/index.ts";
import { parseDuration, parseSize } from "../lib/sandbox/parse.ts";
import { ROOT_ID_BASE } from "../lib/sandbox/namespaces.ts";
import { signalName, signalNumber } from "../syscalls/signals.ts";
import type { NamespaceType, Spec } from "../lib/spec/index.ts";
import { failureOf } from "./support/failure.ts";
import { JUNK } from "./support/junk.ts";
import { cgroups, descendants, descriptors } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";
import { asRoot } from "./support/machine.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));

const specOf = (options: RunOptions = {}, command = ["true"]) => Sandbox.spec(command, options);
const inRoot = (options: RunOptions = {}) => specOf({ rootfs: root.path, ...options });
const namespaces = (spec: Spec) => spec.linux.namespaces.map(({ type }) => type).toSorted();
const mountOn = (spec: Spec, destination: string) => spec.mounts.filter((m) => m.destination === destination).at(-1);
const ALL: NamespaceType[] = ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"];

describe("namespaces", () => {
  test("all are private where nothing is said", () => expect(namespaces(specOf())).toEqual(ALL));

  test.each<[RunOptions, string]>([
    [{ network: "host" }, "network"],
    [{ namespaces: { pid: "host" } }, "pid"],
    [{ namespaces: { mount: "host" } }, "mount"],
    [{ namespaces: { uts: "host" } }, "uts"],
    [{ namespaces: { ipc: "host" } }, "ipc"],
    [{ namespaces: { cgroup: "host" } }, "cgroup"],
  ])("%j shares only the %s namespace", (options, shared) => {
    expect(namespaces(specOf(options))).toEqual(ALL.filter((type) => type !== shared));
  });

  test("without a mount namespace nothing is mounted, masked or read-only", () => {
    const spec = specOf({ namespaces: { mount: "host" } });
    expect([spec.mounts, spec.linux.maskedPaths, spec.linux.readonlyPaths]).toEqual([[], undefined, undefined]);
  });

  test("sysfs and proc of a namespace that is the host's are bound, not mounted", () => {
    expect(mountOn(specOf({ network: "host" }), "/sys")).toMatchObject({ type: "bind", source: "/sys" });
    expect(mountOn(specOf({ network: "host" }), "/sys")?.options).toContain("rro");
    expect(mountOn(specOf({ namespaces: { pid: "host" } }), "/proc")).toMatchObject({ type: "bind", source: "/proc" });
  });

  test("a network of the sandbox's own is there for all of its users, where its proc is its own too", () => {
    const names = (options: RunOptions) => Object.keys(specOf(options).linux.sysctl ?? {});
    const both = ["net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"];
    expect(names({})).toEqual(both);
    expect(names({ sysctls: { "kernel.msgmax": "1", [both[0]!]: "1024" } })).toEqual([...both, "kernel.msgmax"]);
    expect(specOf({ sysctls: { [both[0]!]: "1024" } }).linux.sysctl?.[both[0]!]).toBe("1024");
    expect(names({ network: "host" })).toEqual([]);
    expect(names({ network: "ns:/proc/1/ns/net" })).toEqual([]);
    expect(names({ namespaces: { mount: "host" } })).toEqual([]);
    expect(names({ namespaces: { pid: "host" } })).toEqual([]);
    expect(names({ namespaces: { user: "ns:/proc/1/ns/user" } })).toEqual([]);
  });

  test("who may ping are all groups that there are", () => {
    const range = (options: RunOptions) => specOf(options).linux.sysctl?.["net.ipv4.ping_group_range"];
    const line = (containerID: number, size: number) => ({ containerID, hostID: 1000 + containerID, size });
    expect(range({ gidMappings: [line(5, 10), line(0, 2)] })).toBe("0 14");
    expect(range({ gidMappings: [line(0, 2 ** 32 - 2000)] })).toBe("0 2147483647");
    expect(range({ gidMappings: [line(0, 10), line(3e9, 10)] })).toBe("0 9");
    const far = { user: "3000000000:3000000000", gidMappings: [line(3e9, 1)] };
    expect(range(far)).toBeUndefined();
  });

  test("without an IPC namespace there are no message queues of the host's", () => {
    expect(mountOn(specOf(), "/dev/mqueue")).toMatchObject({ type: "mqueue" });
    expect(mountOn(specOf({ namespaces: { ipc: "host" } }), "/dev/mqueue")).toBeUndefined();
  });

  test.skipIf(!asRoot)(`root's sandboxes have 65536 ids of their own${asRoot ? "" : " (skipped: needs root)"}`, () => {
    const map = [{ containerID: 0, hostID: ROOT_ID_BASE, size: 65536 }];
    expect(specOf().linux).toMatchObject({ uidMappings: map, gidMappings: map });
  });

  test.skipIf(asRoot)(
    `a user's sandboxes have the one id that is asked for${asRoot ? " (skipped: needs a user)" : ""}`,
    () => {
      const [hostUid, hostGid] = [process.geteuid!(), process.getegid!()];
      expect(specOf({ user: "7:8" }).linux).toMatchObject({
        uidMappings: [{ containerID: 7, hostID: hostUid, size: 1 }],
        gidMappings: [{ containerID: 8, hostID: hostGid, size: 1 }],
      });
    },
  );

  test.skipIf(!asRoot)(`root can share the host's user namespace${asRoot ? "" : " (skipped: needs root)"}`, () => {
    const spec = specOf({ network: "host", namespaces: { user: "host" } });
    expect(namespaces(spec)).toEqual(ALL.filter((type) => type !== "user" && type !== "network"));
    expect([spec.linux.uidMappings, spec.linux.gidMappings]).toEqual([undefined, undefined]);
    // whoever owns the network namespace may mount its sysfs
    expect(mountOn(spec, "/sys")).toMatchObject({ type: "sysfs" });
  });
});

describe("root filesystem and mounts", () => {
  test("the host's is read-only, a directory is not, and both can be told otherwise", () => {
    const readonly = (options: RunOptions) => specOf(options).root.readonly;
    expect([readonly({}), readonly({ rootfs: "host" }), readonly({ rootfs: root.path })]).toEqual([true, true, false]);
    expect(readonly({ rootfs: root.path, security: { readOnly: true } })).toBe(true);
    expect(readonly({ security: { readOnly: false } })).toBe(false);
  });

  test.each([
    ["/proc", { type: "proc" }],
    ["/sys", { type: "sysfs", options: expect.arrayContaining(["ro", "nosuid", "noexec", "nodev"]) }],
    ["/dev", { type: "tmpfs", options: expect.arrayContaining(["nosuid", "noexec", "mode=755"]) }],
    ["/dev/pts", { type: "devpts", options: expect.arrayContaining(["newinstance", "ptmxmode=0666"]) }],
    ["/dev/shm", { type: "tmpfs", options: expect.arrayContaining(["mode=1777", `size=${64 * 2 ** 20}`]) }],
    ["/dev/mqueue", { type: "mqueue" }],
  ])("%s is mounted in every sandbox", (destination, mount) => {
    expect(mountOn(specOf(), destination)).toMatchObject(mount);
    expect(mountOn(inRoot(), destination)).toMatchObject(mount);
  });

  test.each(["/tmp", "/home", "/root", "/run", "/var/tmp"])("%s is private in a view of the host", (destination) => {
    expect(mountOn(specOf(), destination)).toMatchObject({ type: "tmpfs" });
    expect(mountOn(inRoot(), destination)).toBeUndefined();
  });

  test("what is bound of the host is read-only, without setuid and devices", () => {
    const bound = specOf().mounts.filter(({ type }) => type === "bind");
    expect(bound.map(({ destination }) => destination)).toContain("/usr");
    for (const { options } of bound) expect(options).toEqual(["rbind", "rro", "rnosuid", "rnodev"]);
  });

  test("requested mounts come last, so that they are seen", () => {
    const source = outside.directory("data");
    const { mounts } = specOf({
      mounts: [
        { type: "bind", source, target: "/tmp/in/" },
        { type: "bind", source, target: "/ro", readOnly: true },
        { type: "tmpfs", target: "/fast", size: "1m", mode: 0o700 },
        { type: "tmpfs", target: "/plain" },
      ],
    });
    // root's sandboxes have other ids than the files
    const [bound, ids] = [["rbind", "rnosuid", "rnodev"], asRoot ? ["ridmap"] : []];
    expect(mounts.slice(-4)).toEqual([
      { destination: "/tmp/in", type: "bind", source, options: [...bound, ...ids] },
      { destination: "/ro", type: "bind", source, options: [...bound, "rro", ...ids] },
      {
        destination: "/fast",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "nodev", "mode=700", "size=1048576"],
      },
      { destination: "/plain", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
    ]);
  });

  test.each(["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"])("%s is masked", (path) => {
    expect(specOf().linux.maskedPaths).toContain(path);
  });

  test.each(["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"])("%s is read-only", (path) => {
    expect(specOf().linux.readonlyPaths).toContain(path);
  });
});

describe("process", () => {
  test("the command is taken as it is", () => {
    expect(specOf({}, ["a b", "", "$x", "é"]).process.args).toEqual(["a b", "", "$x", "é"]);
  });

  test("the environment is clean, and what is asked for wins", () => {
    process.env["TSBOX_TEST_SECRET"] = "s3cr3t";
    const { env } = specOf({ hostname: "h", env: { A: "1", HOME: "/x", EMPTY: "" } }).process;
    delete process.env["TSBOX_TEST_SECRET"];
    const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    expect(env.toSorted()).toEqual(["A=1", "EMPTY=", "HOME=/x", "HOSTNAME=h", PATH]);
  });

  // of a single id no other group can be had
  const own = (gid: number) => (asRoot ? [gid] : []);
  const app = { uid: 1000, gid: 1001, additionalGids: [...own(1001), 50, 2000] };
  test.each<[string, Partial<Spec["process"]["user"]>, string]>([
    ["0:0", { uid: 0, gid: 0, additionalGids: own(0) }, "/root"],
    ["0", { uid: 0, gid: 0, additionalGids: own(0) }, "/root"],
    ["root", { uid: 0, gid: 0, additionalGids: own(0) }, "/root"],
    ["app", app, "/home/app"],
    ["1000", app, "/home/app"],
    ["1000:1000", { uid: 1000, gid: 1000, additionalGids: own(1000) }, "/home/app"],
    ["app:data", { uid: 1000, gid: 2000, additionalGids: own(2000) }, "/home/app"],
    ["1234:data", { uid: 1234, gid: 2000, additionalGids: own(2000) }, "/"],
    ["1234", { uid: 1234, gid: 0, additionalGids: own(0) }, "/"],
  ])('user "%s"', (user, ids, home) => {
    const spec = inRoot({ user });
    expect(spec.process.user).toEqual({ ...ids } as Spec["process"]["user"]);
    expect(spec.process.env).toContain(`HOME=${home}`);
  });

  test("accounts are read only inside the root filesystem, whatever its symlinks say", () => {
    using hostile = new Folder();
    outside.write("passwd", "mallory:x:666:666::/:/bin/sh\n");
    hostile.link("etc/passwd", join(outside.path, "passwd"));
    const attempt = () => specOf({ rootfs: hostile.path, user: "mallory" });
    expect(attempt).toThrow('use the user "mallory": not known inside the root filesystem');
  });

  test("root has the default capabilities, others only may gain them", () => {
    const capabilities = (options: RunOptions) => specOf(options).process.capabilities!;
    const { bounding, effective, permitted, ambient } = capabilities({});
    expect(bounding).toHaveLength(11);
    for (const name of ["SYS_ADMIN", "MKNOD", "NET_RAW", "SYS_PTRACE", "NET_ADMIN", "SYS_MODULE", "DAC_READ_SEARCH"]) {
      expect(bounding).not.toContain(`CAP_${name}`);
    }
    expect([effective, permitted, ambient]).toEqual([bounding, bounding, undefined]);
    expect(capabilities({ user: "1:1" })).toEqual({ bounding, effective: [], permitted: [] });
    expect(capabilities({ security: { capabilities: [] } }).bounding).toEqual([]);
    expect(capabilities({ security: { capabilities: ["chown", "CAP_KILL", "Net_Raw"] } }).effective).toEqual([
      "CAP_CHOWN",
      "CAP_KILL",
      "CAP_NET_RAW",
    ]);
  });

  test("ulimits by any of their names", () => {
    const ulimits = { nofile: 64, RLIMIT_CORE: 0, Stack: [1024, Infinity] as [number, number] };
    expect(specOf({ ulimits }).process.rlimits).toEqual([
      { type: "RLIMIT_NOFILE", soft: 64, hard: 64 },
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      { type: "RLIMIT_STACK", soft: 1024, hard: Infinity },
    ]);
  });

  test("no_new_privs and a seccomp filter, unless told otherwise", () => {
    const spec = specOf();
    expect([spec.process.noNewPrivileges, spec.linux.seccomp?.defaultAction]).toEqual([true, "SCMP_ACT_ERRNO"]);
    const off = specOf({ security: { noNewPrivileges: false, seccomp: "none" } });
    expect([off.process.noNewPrivileges, off.linux.seccomp]).toEqual([false, undefined]);
    const own = { defaultAction: "SCMP_ACT_ALLOW" as const };
    expect(specOf({ security: { seccomp: own } }).linux.seccomp).toEqual(own);
  });

  test("in the host's pid namespace no process may leave its group, even without a profile", () => {
    const { seccomp } = specOf({ namespaces: { pid: "host" }, security: { seccomp: "none" } }).linux;
    expect(seccomp?.syscalls).toEqual([
      { names: ["setsid", "setpgid"], action: "SCMP_ACT_ERRNO", errnoRet: 1, args: [] },
    ]);
  });
});

describe("limits", () => {
  test("as resources; init is one process more, and swap does not add to memory", () => {
    const { resources } = specOf({ limits: { memory: "64mb", cpus: 0.5, pids: 10, time: "1s", output: "1k" } }).linux;
    expect(resources).toEqual({
      memory: { limit: 64 * 2 ** 20, swap: 64 * 2 ** 20 },
      cpu: { period: 100_000, quota: 50_000 },
      pids: { limit: 11 },
    });
    expect(specOf().linux.resources).toEqual({});
  });

  test("memory, CPUs and huge pages in all their words", () => {
    const limits = {
      memory: "64mb",
      memorySwap: "1gb",
      memoryReservation: "32mb",
      memorySwappiness: 0,
      oomKill: false,
      cpuShares: 512,
      cpuPeriodUs: 10_000,
      cpus: 2,
      cpuBurstUs: 100,
      cpuIdle: true,
      cpusetCpus: "0-1,3",
      cpusetMems: "0",
      hugepages: { "2MB": "4mb" },
      unified: { "memory.high": "32M" },
    };
    expect(specOf({ limits }).linux.resources).toEqual({
      memory: { limit: 2 ** 26, swap: 2 ** 30, reservation: 2 ** 25, swappiness: 0, disableOOMKiller: true },
      cpu: { shares: 512, period: 10_000, quota: 20_000, burst: 100, idle: 1, cpus: "0-1,3", mems: "0" },
      hugepageLimits: [{ pageSize: "2MB", limit: 2 ** 22 }],
      unified: { "memory.high": "32M" },
    });
    expect(specOf({ limits: { memory: "1m", memorySwap: Infinity } }).linux.resources?.memory?.swap).toBe(-1);
    expect(specOf({ limits: { memorySwap: Infinity } }).linux.resources?.memory).toBeUndefined();
  });

  test("I/O of devices, by number and by path; a weight of all", () => {
    const io = [{ device: "8:16", readBps: "1mb", writeIops: 5 }, { device: "8:0", weight: 20 }, { weight: 500 }];
    expect(specOf({ limits: { io } }).linux.resources).toEqual({
      blockIO: {
        throttleReadBpsDevice: [{ major: 8, minor: 16, rate: 2 ** 20 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 16, rate: 5 }],
        weightDevice: [{ major: 8, minor: 0, weight: 20 }],
        weight: 500,
      },
    });
  });

  test("device rules come after all that a sandbox usually has", () => {
    const { devices = [] } = specOf({ security: { deviceRules: ["c 10:200 rw", "b *:* r"] } }).linux.resources ?? {};
    expect(devices[0]).toEqual({ allow: false, access: "rwm" });
    expect(devices.slice(-2)).toEqual([
      { allow: true, type: "c", major: 10, minor: 200, access: "rw" },
      { allow: true, type: "b", major: -1, minor: -1, access: "r" },
    ]);
  });

  test("a cgroup parent is a path that tsbox's own name comes after", () => {
    expect(specOf({ cgroupParent: "/a/b" }).linux.cgroupsPath).toBe("/a/b/");
    expect(specOf({ cgroupParent: "/" }).linux.cgroupsPath).toBe("/");
    expect(specOf().linux.cgroupsPath).toBeUndefined();
  });

  test.each<[number | string, number]>([
    [0, 0],
    [4096, 4096],
    ["4096", 4096],
    ["64k", 65536],
    ["64K", 65536],
    ["64kb", 65536],
    ["64KiB", 65536],
    ["1.5m", 1572864],
    [" 512 mb ", 536870912],
    ["1g", 1073741824],
    ["2T", 2199023255552],
    ["10b", 10],
  ])("size %j is %d bytes", (size, bytes) => expect(parseSize("x", size)).toBe(bytes));

  test.each<[number | string, number]>([
    [1.5, 1.5],
    ["500ms", 500],
    ["2s", 2000],
    ["1.5m", 90_000],
    ["1h", 3_600_000],
  ])("duration %j is %d ms", (duration, ms) => expect(parseDuration("x", duration)).toBe(ms));

  test("no text makes a size or a duration that is not a number", () => {
    const isNumberOrRefused = (parse: () => number, least: number) => {
      try {
        const value = parse();
        return Number.isFinite(value) && value >= least;
      } catch (error) {
        return (error as TsboxError).code === "invalid_option";
      }
    };
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[ \d.eE+-]{0,8}[a-zA-Z]{0,3}$/));
    fc.assert(fc.property(text, (size) => isNumberOrRefused(() => parseSize("x", size), 0)));
    fc.assert(fc.property(text, (duration) => isNumberOrRefused(() => parseDuration("x", duration), Number.MIN_VALUE)));
  });
});

test.each<[number | string, number, string]>([
  [9, 9, "SIGKILL"],
  ["SIGTERM", 15, "SIGTERM"],
  ["term", 15, "SIGTERM"],
  ["SIGABRT", 6, "SIGABRT"],
  ["SIGIOT", 6, "SIGABRT"],
  ["SIG34", 34, "SIG34"],
  ["SIGRTMIN", 34, "SIG34"],
  ["rtmin+3", 37, "SIG37"],
  ["SIGRTMAX-1", 63, "SIG63"],
  [64, 64, "SIG64"],
])("signal %j is %d", (signal, number, name) => {
  expect(signalNumber(signal)).toBe(number);
  expect(signalName(number)).toBe(name);
});

test.each([0, 65, -1, 1.5, NaN, "", "SIG", "SIGNOPE", "SIG65", "9", "RTMIN-1", "RTMAX+1", "RTMAX-31"])(
  "signal %j is none",
  (signal) => {
    expect(() => signalNumber(signal)).toThrow("there is none");
  },
);

const WAYS: ((command: string[], options?: RunOptions) => unknown)[] = [
  (...request) => Sandbox.run(...request),
  (...request) => Sandbox.spawn(...request),
  (...request) => Sandbox.spec(...request),
  (...request) => Sandbox.plan(...request),
];

/** Options as a program without types would pass them: what is said of them, and the remedy. */
const BAD: [name: string, options: unknown, message: string, hint?: string][] = [
  ["an unknown option", { memory: "1g" }, 'use the option "memory": unknown', "limits"],
  ["options that are an array", ["x"], 'use the options ["x"]: not an object'],
  ["a hostname that is a number", { hostname: 5 }, "use the hostname 5: not a string"],
  ["an empty hostname", { hostname: "" }, 'use the hostname ""'],
  ["a hostname of 65 bytes", { hostname: "h".repeat(65) }, "1 to 64 bytes"],
  ["a hostname of 33 two-byte letters", { hostname: "é".repeat(33) }, "1 to 64 bytes"],
  ["a hostname with NUL", { hostname: "a\0b" }, "NUL"],
  ["a hostname for the host", { hostname: "h", namespaces: { uts: "host" } }, "it would be the host's"],
  ["a root filesystem that is a number", { rootfs: 5 }, "use the root filesystem 5: not a string"],
  ["a root filesystem with NUL", { rootfs: "/tmp\0" }, "NUL"],
  ["a variable's name with =", { env: { "A=B": "1" } }, 'set the variable "A=B": not a name'],
  ["a variable's name with NUL", { env: { "A\0": "1" } }, "not a name"],
  ["a variable without a name", { env: { "": "1" } }, "not a name"],
  ["a variable that is a number", { env: { A: 1 } }, 'value of the variable "A" 1: not a string'],
  ["a variable with NUL", { env: { A: "x\0" } }, "NUL"],
  ["an environment that is a string", { env: "A=1" }, "environment"],
  ["an environment that is an array", { env: ["A=1"] }, "environment"],
  ["a user that is a number", { user: 1000 }, "use the user 1000: not a string"],
  ["an empty user", { user: "" }, 'use the user ""', "uid"],
  ["a user with too many parts", { user: "1:2:3" }, "not understood"],
  ["a user above the highest id", { user: "4294967295" }, "above 4294967294"],
  [
    "a pid namespace that is chosen for it",
    { namespaces: { pid: "auto" } },
    'use the pid namespace "auto": not understood',
  ],
  ["a namespace by a relative path", { namespaces: { pid: "ns:x" } }, 'pid namespace "x": not an absolute path'],
  ["id mappings that are an object", { uidMappings: {} }, "use the uidMappings {}: not an array"],
  ["no id mappings", { uidMappings: [] }, "use the uidMappings []: 1 to 340"],
  [
    "an id mapping without a size",
    { gidMappings: [{ containerID: 0, hostID: 0 }] },
    "use the size of an id mapping undefined",
  ],
  [
    "id mappings that overlap",
    {
      uidMappings: [
        { containerID: 0, hostID: 10, size: 5 },
        { containerID: 8, hostID: 14, size: 5 },
      ],
    },
    "the hostID 14 is in two of them",
  ],
  [
    "an id mapping in the namespace of the host",
    { uidMappings: [{ containerID: 0, hostID: 10, size: 5 }], namespaces: { user: "host" } },
    "a user namespace that is not the sandbox's own",
  ],
  [
    "an id mapping next to auto",
    { uidMappings: [{ containerID: 0, hostID: 10, size: 5 }], namespaces: { user: "auto" } },
    "that is who chooses them",
  ],
  [
    "a user whom no mapping has",
    { user: "5:0", uidMappings: [{ containerID: 0, hostID: 10, size: 5 }] },
    "use the user 5: it is not among the ids",
  ],
  ["an OOM score above all", { oomScoreAdj: 1001 }, "use the OOM score 1001", "-1000 to 1000"],
  ["a time offset of no clock", { timeOffsets: { realtime: { secs: 1 } } }, 'use the time offset "realtime": unknown'],
  ["a time offset without seconds", { timeOffsets: { boottime: {} } }, "seconds of the boottime clock undefined"],
  [
    "a mount whose ids are mapped to none",
    { mounts: [{ type: "bind", source: "/", target: "/x", uidMappings: [] }] },
    "use the uidMappings of a mount []: 1 to 340",
  ],
  ["groups that are a string", { groups: "audio" }, 'use the groups "audio": not an array'],
  ["a group that is an object", { groups: [{}] }, "use the group {}: not a string"],
  ["a group below zero", { groups: [-1] }, "use the group -1"],
  ["a umask above all bits", { umask: 0o1000 }, "use the umask 512", "511"],
  ["a umask that is a string", { umask: "022" }, 'use the umask "022"'],
  ["a domain name of 65 bytes", { domainname: "d".repeat(65) }, "1 to 64 bytes"],
  ["a domain name for the host", { domainname: "d", namespaces: { uts: "host" } }, "that of others"],
  ["sysctls that are an array", { sysctls: ["a=b"] }, "not an object", "net.ipv4"],
  ["a sysctl that is a number", { sysctls: { "net.ipv4.ip_forward": 1 } }, "not a string"],
  ["a personality that is not known", { personality: "BSD" }, 'use the personality "BSD"', "LINUX32"],
  ["a scheduler that is a word", { scheduler: "SCHED_RR" }, "not an object", "policy"],
  ["a scheduler without a policy", { scheduler: { nice: 1 } }, "without a policy", "SCHED_OTHER"],
  ["a policy that is not known", { scheduler: { policy: "SCHED_FAIR" } }, 'scheduling policy "SCHED_FAIR"'],
  ["a nice value beyond the last", { scheduler: { policy: "SCHED_OTHER", nice: 20 } }, "use the nice value 20", "19"],
  ["a priority without real time", { scheduler: { policy: "SCHED_OTHER", priority: 1 } }, "only SCHED_FIFO and"],
  ["real time without a priority", { scheduler: { policy: "SCHED_RR" } }, "without a priority", "99"],
  ["a deadline without its policy", { scheduler: { policy: "SCHED_IDLE", deadline: 1 } }, "only SCHED_DEADLINE"],
  ["a scheduling flag that is not known", { scheduler: { policy: "SCHED_IDLE", flags: ["X"] } }, 'flag "X"'],
  ["an I/O priority without a class", { ioPriority: { priority: 1 } }, "without a class", "IOPRIO_CLASS_BE"],
  ["an I/O priority above 7", { ioPriority: { class: "IOPRIO_CLASS_BE", priority: 8 } }, "use the I/O priority 8"],
  ["CPUs that are not numbers", { cpuAffinity: "all" }, 'use the CPUs "all": not understood', "0-3"],
  ["a range of CPUs that ends before it begins", { cpuAffinity: "3-1" }, "ends before it begins"],
  ["a CPU beyond all", { cpuAffinity: "0-9999" }, "no CPUs above 8191"],
  ["a capability set that is not known", { security: { capabilities: { granted: [] } } }, '"granted": unknown'],
  [
    "an effective capability that is not permitted",
    { security: { capabilities: { effective: ["KILL"] } } },
    'use the effective capability "CAP_KILL": it is not among the permitted ones',
  ],
  [
    "an ambient capability that is not inheritable",
    { security: { capabilities: { permitted: ["KILL"], ambient: ["KILL"] } } },
    "it is not among the inheritable ones",
  ],
  ["a working directory that is relative", { cwd: "tmp" }, 'use the working directory "tmp": not an absolute path'],
  ["a working directory with ..", { cwd: "/tmp/../.." }, '".." in it'],
  ["a working directory with NUL", { cwd: "/tmp\0" }, "NUL"],
  ["a working directory that is a number", { cwd: 1 }, "not a string"],
  ["a working directory of 5000 bytes", { cwd: "/" + "d/".repeat(2500) }, "longer than 4095"],
  ["mounts that are an object", { mounts: {} }, "use the mounts {}: not an array"],
  ["a mount that is a string", { mounts: ["/a:/b"] }, "not an object"],
  ["a mount without a target", { mounts: [{ type: "tmpfs" }] }, "mount target"],
  ["a mount on /", { mounts: [{ type: "tmpfs", target: "/" }] }, 'mount on "/"', "rootfs"],
  ["a mount on //", { mounts: [{ type: "tmpfs", target: "//" }] }, "that is the root filesystem"],
  [
    "two mounts of one target",
    {
      mounts: [
        { type: "tmpfs", target: "/x" },
        { type: "tmpfs", target: "/x/" },
      ],
    },
    "two mounts",
  ],
  ["a mount on a relative path", { mounts: [{ type: "tmpfs", target: "x" }] }, "not an absolute path"],
  ["a mount on a path with ..", { mounts: [{ type: "tmpfs", target: "/x/.." }] }, '".."'],
  ["a mount on a path with NUL", { mounts: [{ type: "tmpfs", target: "/x\0" }] }, "NUL"],
  ["a mount of an unknown type", { mounts: [{ type: "nfs", target: "/x" }] }, 'the type "nfs" is unknown', "tmpfs"],
  ["a mount of no type", { mounts: [{ target: "/x" }] }, "unknown"],
  ["a mount with an unknown key", { mounts: [{ type: "tmpfs", target: "/x", quota: 1 }] }, '"quota": unknown'],
  ["a tmpfs with a source", { mounts: [{ type: "tmpfs", target: "/x", source: "/y" }] }, '"source": unknown'],
  [
    "a tmpfs with a bad size",
    { mounts: [{ type: "tmpfs", target: "/x", size: "lots" }] },
    '"lots": not understood',
    "512mb",
  ],
  ["a tmpfs with a bad mode", { mounts: [{ type: "tmpfs", target: "/x", mode: 0o10000 }] }, "mode"],
  ["a tmpfs with a mode that is a string", { mounts: [{ type: "tmpfs", target: "/x", mode: "755" }] }, "mode"],
  ["a bind mount with a size", { mounts: [{ type: "bind", source: "/", target: "/x", size: 1 }] }, '"size": unknown'],
  [
    "a bind mount that shares with the host out of a user namespace",
    { mounts: [{ type: "bind", source: "/usr", target: "/x", propagation: "rshared" }] },
    'the propagation "rshared": not out of a user namespace',
    "rslave",
  ],
  [
    "a propagation that is none",
    { mounts: [{ type: "bind", source: "/usr", target: "/x", propagation: "public" }] },
    "propagation",
  ],
  [
    "an exception from nothing",
    { mounts: [{ type: "bind", source: "/usr", target: "/x", recursive: "writable" }] },
    'recursive "writable"',
  ],
  ["recursive that is a number", { mounts: [{ type: "bind", source: "/", target: "/x", recursive: 1 }] }, "recursive"],
  ["create that is a string", { mounts: [{ type: "bind", source: "/", target: "/x", create: "yes" }] }, "create"],
  ["noExec that is a string", { mounts: [{ type: "bind", source: "/", target: "/x", noExec: "yes" }] }, "noExec"],
  ["devices that are a string", { devices: "/dev/null" }, "not an array"],
  ["a device that is a number", { devices: [7] }, "device"],
  ["a device with an unknown key", { devices: [{ source: "/dev/null", mode: 1 }] }, '"mode": unknown'],
  ["access to a device that is none", { devices: [{ source: "/dev/null", access: "x" }] }, 'the access "x"'],
  ["access to a device twice", { devices: [{ source: "/dev/null", access: "rr" }] }, 'the access "rr"'],
  ["a device on /", { devices: [{ source: "/dev/null", target: "/" }] }, 'mount on "/"'],
  ["a size of shared memory that is none", { shmSize: "lots" }, "shmSize"],
  ["no shared memory", { shmSize: 0 }, "shmSize"],
  ["shared memory in the host's mount namespace", { shmSize: 1, namespaces: { mount: "host" } }, '"shmSize"'],
  ["a bind mount without a source", { mounts: [{ type: "bind", target: "/x" }] }, "mount source"],
  ["a bind mount with NUL", { mounts: [{ type: "bind", source: "/\0", target: "/x" }] }, "NUL"],
  [
    "a bind mount with a readOnly that is a word",
    { mounts: [{ type: "bind", source: "/", target: "/x", readOnly: "no" }] },
    "readOnly",
  ],
  ["limits that are a string", { limits: "1g" }, 'use the limit "1g": not an object', "memory"],
  ["an unknown limit", { limits: { cpu: 1 } }, 'use the limit "cpu": unknown', "cpus"],
  [
    "a memory limit that is a word",
    { limits: { memory: "much" } },
    'use the memory limit "much": not understood',
    "512mb",
  ],
  ["a memory limit below zero", { limits: { memory: -1 } }, "not understood"],
  ["a memory limit that is too little", { limits: { memory: "4k" } }, "too little", "at least"],
  ["a memory limit that is NaN", { limits: { memory: NaN } }, "not understood"],
  ["a memory limit beyond all numbers", { limits: { memory: "99999999t" } }, "not understood"],
  ["a CPU limit of zero", { limits: { cpus: 0 } }, "use the CPU limit 0: not understood", "0.5"],
  ["a CPU limit that is a string", { limits: { cpus: "1" } }, "use the CPU limit"],
  ["a CPU limit that is NaN", { limits: { cpus: NaN } }, "use the CPU limit"],
  ["a process limit of zero", { limits: { pids: 0 } }, "use the process limit 0"],
  ["a process limit that is not whole", { limits: { pids: 1.5 } }, "use the process limit 1.5"],
  ["a process limit that is infinite", { limits: { pids: Infinity } }, "use the process limit"],
  ["a swap limit alone", { limits: { memorySwap: "1g" } }, "without a memory limit"],
  ["a swap limit below memory", { limits: { memory: "2g", memorySwap: "1g" } }, "less than the memory limit"],
  ["a reservation above memory", { limits: { memory: "1g", memoryReservation: "2g" } }, "above the memory limit"],
  ["a swappiness of 101", { limits: { memorySwappiness: 101 } }, "use the memory swappiness 101", "0 to 100"],
  ["no OOM killer without a limit", { limits: { oomKill: false } }, "without a memory limit"],
  ["both CPUs and a quota", { limits: { cpus: 1, cpuQuotaUs: 5000 } }, "they say the same"],
  ["CPU shares of one", { limits: { cpuShares: 1 } }, "use the CPU shares 1"],
  ["a CPU period of an hour", { limits: { cpuPeriodUs: 3.6e9 } }, "use the CPU period"],
  ["a burst without a quota", { limits: { cpuBurstUs: 5 } }, "without a quota"],
  ["a burst above the quota", { limits: { cpus: 0.1, cpuBurstUs: 20_000 } }, "use the CPU burst"],
  ["a CPU set that is none", { limits: { cpusetCpus: "first" } }, 'use the CPU set "first"', "0-2,5"],
  ["an I/O limit of a file system in memory", { limits: { io: { device: "/proc", readBps: 1 } } }, "not on one block"],
  ["an I/O limit of nothing", { limits: { io: { device: "/no/such", readBps: 1 } } }, "no such file"],
  ["an I/O limit that limits nothing", { limits: { io: { device: "8:0" } } }, "limits nothing"],
  ["an I/O limit of zero", { limits: { io: { device: "8:0", readBps: 0 } } }, "nothing could go on"],
  ["an I/O weight of one", { limits: { io: { weight: 1 } } }, "use the I/O weight 1", "10 to 1000"],
  ["huge pages of a size that is none", { limits: { hugepages: { big: "1g" } } }, 'limit pages of "big"', "2MB"],
  ["a cgroup file that is a path", { limits: { unified: { "../cgroup.procs": "0" } } }, "not a name"],
  ["a cgroup file of no controller", { limits: { unified: { "nonsense.max": "0" } } }, "of no known controller"],
  ["a device rule that is none", { security: { deviceRules: ["/dev/fuse"] } }, "use the device rule", "c 10:200 rwm"],
  ["a device rule for all devices of a number", { security: { deviceRules: ["a 1:3 r"] } }, "use the device rule"],
  ["a cgroup parent that leads elsewhere", { cgroupParent: "/a/../b" }, '".." in it'],
  ["a cgroup parent that is no path", { cgroupParent: "a" }, "not an absolute path"],
  ["a CPU time limit of zero", { limits: { cpuTime: 0 } }, "use the CPU time limit 0", "500ms"],
  ["a disk limit that is too little", { limits: { disk: "4k" } }, "use the disk limit", "64k"],
  ["a disk limit in the host's mounts", { namespaces: { mount: "host" }, limits: { disk: "1m" } }, "limits.disk"],
  ["a time limit of zero", { limits: { time: 0 } }, "use the time limit 0: not understood", "500ms"],
  ["a time limit without a unit", { limits: { time: "5" } }, 'use the time limit "5"', "2s"],
  ["a time limit that is infinite", { limits: { time: Infinity } }, "use the time limit"],
  ["a time limit beyond all timers", { limits: { time: "597h" } }, 'use the time limit "597h": too long', "596h"],
  ["a time limit of zero seconds", { limits: { time: "0s" } }, "use the time limit"],
  ["an output limit that is a word", { limits: { output: "some" } }, 'use the output limit "some"', "64k"],
  ["a network that is true", { network: true }, "use the network true: not understood", '"host"'],
  ["a network that is no name", { network: "container:web" }, 'use the network "container:web"', '"host"'],
  ["networks that are none", { network: [] }, "use the networks []: not understood"],
  ["networks that are more than names", { network: ["web", "host"] }, "use the networks", "names of networks"],
  ["a network twice", { network: ["web", "web"] }, 'use the network "web" twice'],
  ["an unknown namespace", { namespaces: { clock: "host" } }, 'use the namespace "clock": unknown', "uts"],
  ["the network among the namespaces", { namespaces: { net: "host" } }, 'use the namespace "net": unknown'],
  ["a namespace that is a boolean", { namespaces: { pid: false } }, "use the pid namespace false", '"private"'],
  ["a root filesystem in the host's mount namespace", { namespaces: { mount: "host" }, rootfs: "/" }, 'use "rootfs"'],
  ["mounts in the host's mount namespace", { namespaces: { mount: "host" }, mounts: [] }, 'use "mounts"'],
  [
    "read-only in the host's mount namespace",
    { namespaces: { mount: "host" }, security: { readOnly: true } },
    "readOnly",
  ],
  ["privileged that is a word", { security: { privileged: "yes" } }, 'privileged "yes"', "true"],
  ["unknown system paths", { security: { systemPaths: "some" } }, 'system paths "some"', "none"],
  ["an unknown security option", { security: { magic: true } }, '"magic": unknown', "capabilities"],
  ["an unknown capability", { security: { capabilities: ["FLY"] } }, 'use the capability "FLY": unknown', "CAP_CHOWN"],
  ["a capability that is a number", { security: { capabilities: [5] } }, "use the capability 5: not a string"],
  ["capabilities that are a string", { security: { capabilities: "ALL" } }, 'use the capabilities "ALL": not an array'],
  [
    "seccomp that is false, which is not to be taken for none",
    { security: { seccomp: false } },
    "profile false",
    '"none"',
  ],
  ["an option that is null", { rootfs: null }, 'use the option "rootfs" null', "leave it out"],
  ["limits in a Map, which would be none", { limits: new Map([["memory", "1g"]]) }, "use the limit {}: not an object"],
  ["a memory limit in an array", { limits: { memory: ["64m"] } }, "use the memory limit"],
  ["a ulimit of three", { ulimits: { nofile: [1, 2, 3] } }, 'set the limit "nofile" to [1,2,3]', "[soft, hard]"],
  ["a hole among the mounts", { mounts: Array(1) }, "use the mount undefined"],
  ["an unknown seccomp profile", { security: { seccomp: "strict" } }, 'use the seccomp profile "strict"', '"none"'],
  ["a readOnly that is a word", { security: { readOnly: "yes" } }, 'use the readOnly "yes"', "true"],
  ["a noNewPrivileges that is a number", { security: { noNewPrivileges: 0 } }, "use the noNewPrivileges 0"],
  ["ulimits that are a string", { ulimits: "nofile=5" }, "not an object"],
  ["ulimits that are an array", { ulimits: [64] }, "use the ulimits [64]: not an object", "nofile"],
  ["an unknown ulimit", { ulimits: { files: 5 } }, 'set the limit "files": unknown', "nofile"],
  ["a ulimit below zero", { ulimits: { nofile: -1 } }, 'set the limit "nofile" to -1', "Infinity"],
  ["a ulimit that is a string", { ulimits: { nofile: "5" } }, 'set the limit "nofile" to "5"'],
  ["a ulimit that is half a pair", { ulimits: { nofile: [5] } }, 'set the limit "nofile"'],
  ["a ulimit whose soft limit is above the hard one", { ulimits: { nofile: [6, 5] } }, "6:5: the soft limit is above"],
  ["stdin that nobody writes to", { stdin: "pipe" }, 'use stdin "pipe"', "Sandbox.spawn"],
  ["stdin that is a number", { stdin: 5 }, "use stdin 5: not understood", "ReadableStream"],
  ["stdout that is a file", { stdout: "file" }, 'use stdout "file"', '"inherit"'],
  ["stderr that is a number", { stderr: 2 }, "use stderr 2", '"inherit"'],
  ["a signal that is none", { signal: "SIGTERM" }, 'use the signal "SIGTERM": not an AbortSignal'],
];

/** The names that an error lists where it does not know one. */
function namesIn(make: (value: unknown) => unknown): string[] {
  try {
    Sandbox.spec(["true"], make({ nope: 1 }) as RunOptions);
  } catch (error) {
    return ((error as TsboxError).hint ?? "").replace(/^known: /, "").split(", ");
  }
  throw new Error("an unknown name was taken");
}

/** Every option that there is, found by asking: how it is put into options. */
function everyOption(): [path: string, make: (value: unknown) => unknown][] {
  const all: [string, (value: unknown) => unknown][] = [["", (value) => value]];
  const within = (path: string, make: (value: unknown) => unknown) => {
    for (const name of namesIn(make)) all.push([`${path}.${name}`, (value) => make({ [name]: value })]);
  };
  within("", (value) => value);
  for (const group of ["limits", "security", "namespaces", "scheduler", "ioPriority", "terminal", "timeOffsets"])
    within(group, (value) => ({ [group]: value }));
  within("io", (value) => ({ limits: { io: value } }));
  within("an id mapping", (value) => ({ uidMappings: [value] }));
  within("capabilities", (value) => ({ security: { capabilities: value } }));
  for (const mount of [
    { type: "bind", source: "/usr", target: "/x" },
    { type: "tmpfs", target: "/x" },
  ]) {
    within(mount.type, (value) => ({ mounts: [{ ...mount, ...(value as object) }] }));
  }
  all.push(
    ["a mount", (value) => ({ mounts: [value] })],
    ["huge pages of a size", (value) => ({ limits: { hugepages: { "2MB": value } } })],
    ["a setting of version 2", (value) => ({ limits: { unified: { "memory.high": value } } })],
    ["a device", (value) => ({ devices: [value] })],
    ["a variable", (value) => ({ env: { A: value } })],
    ["a ulimit", (value) => ({ ulimits: { nofile: value } })],
    ["a soft limit", (value) => ({ ulimits: { nofile: [value, 5] } })],
    ["a sysctl", (value) => ({ sysctls: { "net.ipv4.ip_forward": value } })],
    ["a group", (value) => ({ groups: [value] })],
    ["a capability", (value) => ({ security: { capabilities: [value] } })],
  );
  for (const name of ["defaultAction", "architectures", "syscalls", "flags", "defaultErrnoRet"])
    all.push([`seccomp.${name}`, (value) => seccomp({ [name]: value })]);
  for (const name of ["names", "action", "errnoRet", "args"])
    all.push([`a seccomp rule's ${name}`, (value) => seccomp({ syscalls: [{ ...RULE, [name]: value }] })]);
  for (const name of ["index", "value", "op"])
    all.push([
      `a seccomp condition's ${name}`,
      (value) => seccomp({ syscalls: [{ ...RULE, args: [{ ...CONDITION, [name]: value }] }] }),
    ]);
  return all;
}
const RULE = { names: ["read"], action: "SCMP_ACT_ERRNO" };
const CONDITION = { index: 0, value: 0, op: "SCMP_CMP_EQ" };
const seccomp = (more: object) => ({ security: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", ...more } } });

function refusal(attempt: (command: string[], options: RunOptions) => unknown, options: RunOptions): unknown {
  try {
    attempt(["true"], options);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("no option takes what it cannot use:", () => {
  const CODES = ["invalid_option", "rootfs_not_found", "mount_failed", "user_not_found"];
  const OBJECTS = ["a Map", "a Date", "a Promise", "bytes", "a boxed string", "a symbol", "a function"];
  const USABLE: Record<string, string> = {
    ".stdin": "bytes",
    "terminal.data": "a function",
    "terminal.exit": "a function",
  };
  const before = descriptors().size;

  test("there are many options", () => expect(everyOption().length).toBeGreaterThan(75));

  test.each(everyOption())("%s", (path, make) => {
    for (const [name, value] of JUNK) {
      const refusals = [Sandbox.spec, Sandbox.plan].map((attempt) => refusal(attempt, make(value) as RunOptions));
      for (const error of refusals) {
        if (error === undefined) continue;
        expect([name, error]).toEqual([name, expect.any(TsboxError)]);
        expect(CODES).toContain((error as TsboxError).code);
        expect([name, (error as TsboxError).message.length < 300]).toEqual([name, true]);
      }
      // what is no data is not taken for left out
      const taken = refusals.every((error) => error === undefined);
      if (taken && OBJECTS.includes(name)) expect(USABLE[path]).toBe(name);
    }
  });

  test("and nothing is left of the attempts", () => {
    for (const [, make] of everyOption()) {
      for (const [, value] of JUNK.slice(-8)) {
        const options = { stdin: "nothing that is read", ...(make(value) as object), mounts: "none" };
        expect(() => Sandbox.spawn(["true"], options as unknown as RunOptions)).toThrow();
      }
    }
    expect(descriptors().size).toBe(before);
    expect([descendants(), cgroups()]).toEqual([[], []]);
  });
});

describe("is refused, before anything is made:", () => {
  test.each(BAD.map(([name, options, message, hint = ""]) => [name, options, message, hint]))("%s", async (...bad) => {
    const [, options, message, hint] = bad as unknown as [string, unknown, string, string];
    const error = await failureOf(() => Sandbox.run(["true"], options as RunOptions));
    expect(error.message).toContain(message);
    expect(error.code).toBe("invalid_option");
    expect(error.hint ?? "").toContain(hint);
  });

  test.each<[string, RunOptions, string, string, string]>([
    [
      "a missing root filesystem",
      { rootfs: "/no/such" },
      "rootfs_not_found",
      'use the root filesystem "/no/such"',
      "host",
    ],
    ["a root filesystem that is a file", { rootfs: import.meta.path }, "rootfs_not_found", "no such directory", "host"],
    ["an unknown user", { user: "nobodyatall" }, "user_not_found", 'use the user "nobodyatall"', "/etc/passwd"],
    ["an unknown group", { user: "0:nogroupatall" }, "user_not_found", 'use the group "nogroupatall"', "/etc/group"],
    [
      "a missing source of a mount",
      { mounts: [{ type: "bind", source: "/no/such", target: "/x" }] },
      "mount_failed",
      'mount "/no/such" on "/x"',
      "has to exist",
    ],
  ])("%s", async (_, options, code, message, hint) => {
    const error = await failureOf(() => Sandbox.run(["true"], options));
    expect([error.code, error.name]).toEqual([code as TsboxError["code"], "TsboxError"]);
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
  });

  test.each<[string, unknown]>([
    ["no command", []],
    ["a command that is a string", "ls"],
    ["a command that is undefined", undefined],
    ["a command of numbers", [5]],
    ["a command with NUL", ["echo", "a\0b"]],
  ])("%s", async (_, command) => {
    for (const attempt of WAYS) {
      const error = await failureOf(() => attempt(command as string[]));
      expect(error.code).toBe("invalid_option");
    }
  });

  test("an empty path, which realpath(3) would take for the current directory", async () => {
    const mounts: RunOptions["mounts"] = [{ type: "bind", source: "", target: "/x" }];
    for (const options of [{ rootfs: "" }, { mounts }]) {
      const error = await failureOf(() => Sandbox.run(["true"], options));
      expect(["invalid_option", "rootfs_not_found", "mount_failed"]).toContain(error.code);
      expect(error.message).toContain('""');
    }
  });

  test("the same by every way in", async () => {
    const bad = { limits: { memory: "much" } } as RunOptions;
    for (const attempt of WAYS) {
      expect((await failureOf(() => attempt(["true"], bad))).message).toContain('"much"');
    }
    expect((await failureOf(() => Sandbox.create(bad))).message).toContain('"much"');
    expect((await failureOf(() => Sandbox.create({ stdin: "pipe" } as RunOptions))).message).toContain("stdin");
  });
});
