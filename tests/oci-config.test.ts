/** config.json: what is read, what is refused and in which words, and what of it is passed over. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withFirstAt, withUsers } from "../lib/oci/default-users.ts";
import { parseConfig, parseProcess, parseResources, readConfig } from "../lib/oci/config.ts";
import type { ContainerSpec } from "../lib/spec/index.ts";
import { TsboxError } from "../syscalls/index.ts";
import { cri, docker, everything, podman } from "./support/bundles.ts";

type Json = Record<string, unknown>;

const minimal = (): Json => ({
  ociVersion: "1.2.0",
  process: { args: ["true"], cwd: "/" },
  root: { path: "rootfs" },
});

/** `change(spec, "process.user.uid", 5)`; undefined removes. */
function change(spec: Json, path: string, value: unknown): Json {
  const steps = path.split(/[.[\]]+/).filter((step) => step !== "");
  const last = steps.pop() as string;
  let at = spec;
  for (const step of steps) at = (at[step] ??= {}) as Json;
  at[last] = value;
  return spec;
}

const read = (spec: unknown): { spec: ContainerSpec; warnings: string[] } => parseConfig(JSON.stringify(spec));

function messageOf(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(TsboxError);
    return (error as TsboxError).message;
  }
  throw new Error("nothing was refused");
}

describe("what is read", () => {
  test.each([
    ["dockerd", docker],
    ["podman", podman],
    ["containerd's CRI", cri],
  ])("a config.json of %s, as it is", (_, config) => {
    const { spec, warnings } = read(config());
    expect(warnings).toEqual([]);
    const expected = config() as unknown as ContainerSpec;
    // podman writes the kind of the file along
    for (const device of expected.linux.devices ?? []) device.fileMode = 0o666;
    expect(spec).toEqual(expected);
  });

  test("every field of the specification", () => {
    const { spec, warnings } = read(everything());
    expect(warnings).toEqual([]);
    expect(spec).toEqual(everything() as unknown as ContainerSpec);
  });

  test("what is absent, null or empty, as if it was not there", () => {
    const expected: ContainerSpec = {
      ociVersion: "1.2.0",
      process: { user: { uid: 0, gid: 0 }, args: ["true"], env: [], cwd: "/" },
      root: { path: "rootfs" },
      mounts: [],
      linux: { namespaces: [] },
    };
    expect(read(minimal()).spec).toEqual(expected);
    const empty = {
      ...minimal(),
      hostname: "",
      mounts: null,
      hooks: null,
      linux: {
        cgroupsPath: "",
        rootfsPropagation: "",
        timeOffsets: null,
        seccomp: { defaultAction: "" },
        resources: null,
        devices: null,
      },
    };
    expect(read(empty).spec).toEqual(expected);
  });

  test("a user namespace without mappings: of root an error, of others their own id", () => {
    const [uid, gid] = [process.geteuid!(), process.getegid!()];
    const attempt = (...types: string[]) =>
      parseConfig(JSON.stringify({ ...minimal(), linux: { namespaces: types.map((type) => ({ type })) } }), withUsers)
        .spec.linux;
    const own = (hostID: number) => ({ containerID: 0, hostID, size: 1 });
    if (uid === 0) {
      expect(messageOf(() => attempt("user"))).toContain("a new user namespace needs mappings of users and of groups");
      expect(attempt("pid")).toEqual({ namespaces: [{ type: "pid" }] });
      return;
    }
    for (const { namespaces, uidMappings, gidMappings } of [attempt("user"), attempt()]) {
      expect(namespaces).toEqual([{ type: "user" }]);
      expect([uidMappings?.[0], gidMappings?.[0]]).toEqual([own(uid), own(gid)]);
    }
  });

  test("the caller's id is that of the container's user, and subordinate ones are around it", () => {
    const maps = [
      { containerID: 0, hostID: 1000, size: 1 },
      { containerID: 1, hostID: 5000, size: 10 },
      { containerID: 11, hostID: 9000, size: 5 },
    ];
    const owners = (id: number) =>
      withFirstAt(id, maps)
        .toSorted((a, b) => a.containerID - b.containerID)
        .map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}`);
    expect(owners(0)).toEqual(["0 1000 1", "1 5000 10", "11 9000 5"]);
    expect(owners(3)).toEqual(["0 5000 3", "3 1000 1", "4 5003 7", "11 9000 5"]);
    expect(owners(10)).toEqual(["0 5000 10", "10 1000 1", "11 9000 5"]);
    expect(owners(12)).toEqual(["0 5000 10", "10 9000 2", "12 1000 1", "13 9002 3"]);
    expect(owners(99)).toEqual(["0 5000 10", "10 9000 5", "99 1000 1"]);
    expect(withFirstAt(7, maps.slice(0, 1))).toEqual([{ containerID: 7, hostID: 1000, size: 1 }]);
  });

  test("a container without a process", () => {
    expect(read({ ...minimal(), process: undefined }).spec.process).toBeUndefined();
  });

  test("what is not known, as if it was not there", () => {
    const spec = { ...minimal(), windows: { layerFolders: [1] }, unknown: { deep: [{}] }, vm: 5 };
    expect(read(spec).spec).toEqual(read(minimal()).spec);
  });

  test("names that JavaScript has a meaning for, as any other", () => {
    const text = `{"__proto__":{"hostname":"x"},"constructor":1,"ociVersion":"1.2.0","root":{"path":"r","__proto__":{"readonly":true}},
      "annotations":{"__proto__":"a","toString":"b"},"linux":{"__proto__":{"cgroupsPath":"/x"}}}`;
    const { spec } = parseConfig(text);
    expect(spec.hostname).toBeUndefined();
    expect(spec.root.readonly).toBeUndefined();
    expect(spec.linux.cgroupsPath).toBeUndefined();
    expect(Object.entries(spec.annotations ?? {})).toEqual([
      ["__proto__", "a"],
      ["toString", "b"],
    ]);
    expect(Object.getPrototypeOf(spec.annotations)).toBe(Object.prototype);
    expect(({} as Json)["hostname"]).toBeUndefined();
  });

  test.each(["1.0.0", "1.0.0-rc1", "1.0.2-dev", "1.1.0+dev", "1.2.0", "1.2.1", "1.3.0+dev", "1.10.0"])(
    "version %s",
    (ociVersion) => {
      expect(read({ ...minimal(), ociVersion }).spec.ociVersion).toBe(ociVersion);
    },
  );

  test("64 bits, exactly where they count", () => {
    const text = JSON.stringify(everything())
      .replace('"soft":1024,"hard":1024', '"soft":9007199254740993,"hard":18446744073709551615')
      .replace('"value":1,"valueTwo":2', '"value":18446744073709551615,"valueTwo":18446744069414584320')
      .replace('"limit":536870912', '"limit":9223372036854771712')
      .replace('"limit":4194304', '"limit":18446744073709551615')
      .replace('"shares":1024', '"shares":18446744073709551615');
    const { process, linux } = parseConfig(text).spec;
    expect(process?.rlimits).toEqual([{ type: "RLIMIT_NOFILE", soft: 9007199254740993n, hard: 18446744073709551615n }]);
    expect(linux.seccomp?.syscalls?.[0]?.args?.[0]).toMatchObject({
      value: 2n ** 64n - 1n,
      valueTwo: 0xffffffff00000000n,
    });
    expect(linux.resources?.memory?.limit).toBe(-1);
    expect(linux.resources?.hugepageLimits).toEqual([{ pageSize: "2MB", limit: -1 }]);
    expect(linux.resources?.cpu?.shares).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("a process, and resources, by themselves", () => {
    const warnings: string[] = [];
    const process = parseProcess('{"args":["a"],"cwd":"/","capabilities":{"bounding":["CAP_X"]}}', (warning) =>
      warnings.push(warning),
    );
    expect(process).toEqual({
      user: { uid: 0, gid: 0 },
      args: ["a"],
      env: [],
      cwd: "/",
      capabilities: { bounding: [] },
    });
    expect(warnings).toHaveLength(1);
    expect(parseResources('{"pids":{"limit":5}}')).toEqual({ pids: { limit: 5 } });
    expect(messageOf(() => parseProcess('{"args":["a"],"cwd":"x"}', () => {}))).toBe(
      'read the process: cwd: "x" is not an absolute path',
    );
    expect(messageOf(() => parseResources('{"pids":{"limit":"5"}}'))).toStartWith("read the resources: pids.limit: ");
  });
});

describe("what is passed over, with a warning", () => {
  test.each<[string, (spec: Json) => Json, RegExp, (spec: ContainerSpec) => unknown, unknown]>([
    [
      "unknown capabilities",
      (spec) => change(spec, "process.capabilities", { bounding: ["CAP_UNKNOWN", "CAP_KILL", "UNKNOWN_CAP"] }),
      /ignoring unknown or unavailable capabilities: \["CAP_UNKNOWN","UNKNOWN_CAP"\]/,
      (spec) => spec.process?.capabilities,
      { bounding: ["CAP_KILL"] },
    ],
    [
      "ambient capabilities that are not inheritable",
      (spec) =>
        change(spec, "process.capabilities", {
          permitted: ["CAP_KILL", "CAP_CHOWN"],
          inheritable: ["CAP_KILL"],
          ambient: ["CAP_KILL", "CAP_CHOWN"],
        }),
      /can't raise ambient capability CAP_CHOWN: /,
      (spec) => spec.process?.capabilities?.ambient,
      ["CAP_KILL"],
    ],
    [
      "flags of the personality",
      (spec) => change(spec, "linux.personality", { domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"] }),
      /personality flags: \["ADDR_NO_RANDOMIZE"\]/,
      (spec) => spec.linux.personality,
      { domain: "LINUX" },
    ],
    [
      "a relative destination",
      (spec) => change(spec, "mounts", [{ destination: "data" }]),
      /"data" is not absolute/,
      (spec) => spec.mounts,
      [{ destination: "/data" }],
    ],
    [
      "mappings besides a user namespace to join",
      (spec) =>
        change(spec, "linux", {
          namespaces: [{ type: "user", path: "/proc/1/ns/user" }],
          uidMappings: [{ containerID: 0, hostID: 1, size: 1 }],
        }),
      /those of the namespace count/,
      (spec) => spec.linux,
      { namespaces: [{ type: "user", path: "/proc/1/ns/user" }] },
    ],
  ])("%s", (_, changed, warning, of, expected) => {
    const { spec, warnings } = read(changed(minimal()));
    expect(warnings).toEqual([expect.stringMatching(warning)]);
    expect(of(spec)).toEqual(expected);
  });
});

/** A path, a value that it must not have, and what is said of it. */
const WRONG: [path: string, value: unknown, why: string][] = [
  ["ociVersion", undefined, "it is missing"],
  ["ociVersion", 1, "1 is not a text"],
  ...["2.0.0", "0.9.0", "invalid", "1.2", "v1.2.0", "1.2.0 "].map((version): [string, unknown, string] => [
    "ociVersion",
    version,
    `"${version}" is not a version of the specification from 1.0.0 on, below 2`,
  ]),
  ["root", undefined, "it is missing"],
  ["root", "rootfs", '"rootfs" is not an object'],
  ["root.path", "", '"" is not a path'],
  ["root.path", "a\0b", '"a\\u0000b" is not a text without NUL bytes'],
  ["root.readonly", 1, "1 is not true or false"],
  ["hostname", 5, "5 is not a text"],
  ["hostname", "x".repeat(65), "longer than 64 bytes"],
  ["domainname", [], "[] is not a text"],
  ["annotations", [], "[] is not an object"],
  ["annotations", { a: 1 }, ""],
  ["process", [], "[] is not an object"],
  ["process.args", undefined, "args must not be empty"],
  ["process.args", [], "args must not be empty"],
  ["process.args", "sh", '"sh" is not a list'],
  ["process.args[1]", null, "null is not a text"],
  ["process.args[0]", "a\0", '"a\\u0000" is not a text without NUL bytes'],
  ["process.cwd", undefined, "it is missing"],
  ["process.cwd", "tmp", '"tmp" is not an absolute path'],
  ["process.env", {}, "{} is not a list"],
  ["process.env[0]", "A", '"A" is not a variable: "NAME=value"'],
  ["process.env[0]", "=A", '"=A" is not a variable: "NAME=value"'],
  ["process.terminal", "yes", '"yes" is not true or false'],
  ["process.consoleSize.width", -1, "-1 is not a number from 0 to 65535"],
  ["process.user", 0, "0 is not an object"],
  ["process.user.uid", "root", '"root" is not a number from 0 to 4294967294'],
  ["process.user.uid", -1, "-1 is not a number from 0 to 4294967294"],
  ["process.user.uid", 1.5, "1.5 is not a number from 0 to 4294967294"],
  // as it is: setresuid(2) would leave the process root
  ["process.user.uid", 4294967295, "4294967295 is not a number from 0 to 4294967294"],
  ["process.user.gid", 4294967295, "4294967295 is not a number from 0 to 4294967294"],
  ["process.user.gid", true, "true is not a number from 0 to 4294967294"],
  ["process.user.additionalGids[1]", "wheel", '"wheel" is not a number from 0 to 4294967294'],
  ["process.user.umask", 512, "512 is not a number from 0 to 511"],
  ["process.capabilities", ["CAP_KILL"], '["CAP_KILL"] is not an object'],
  ["process.capabilities.bounding", "CAP_KILL", '"CAP_KILL" is not a list'],
  ["process.rlimits[0].type", "RLIMIT_TEST", 'unknown "RLIMIT_TEST"'],
  ["process.rlimits[0].soft", -1, "-1 is not a number from 0 to 18446744073709551615"],
  ["process.rlimits[0].hard", undefined, "it is missing"],
  ["process.rlimits[0]", { type: "RLIMIT_CPU", soft: 2, hard: 1 }, "the soft limit 2 is above the hard one, 1"],
  ["process.rlimits[1]", { type: "RLIMIT_NOFILE", soft: 1, hard: 1 }, "RLIMIT_NOFILE is there twice"],
  ["process.noNewPrivileges", 1, "1 is not true or false"],
  ["process.oomScoreAdj", 1001, "1001 is not a number from -1000 to 1000"],
  ["process.scheduler.policy", "SCHED_FAST", 'unknown "SCHED_FAST"'],
  ["process.scheduler.flags[0]", "SCHED_FLAG_X", 'unknown "SCHED_FLAG_X"'],
  ["process.scheduler.runtime", -1, "-1 is not a number from 0 to 18446744073709551615"],
  ["process.scheduler.priority", 5, "only SCHED_FIFO and SCHED_RR have one"],
  ["process.scheduler", { policy: "SCHED_RR", period: 5 }, "only SCHED_DEADLINE has runtime, deadline and period"],
  ["process.scheduler", { policy: "SCHED_OTHER", nice: 20 }, ""],
  [
    "process.scheduler",
    { policy: "SCHED_DEADLINE", deadline: 2000 },
    "sched_setattr: `SCHED_DEADLINE` requires `runtime`",
  ],
  [
    "process.scheduler",
    { policy: "SCHED_DEADLINE", runtime: 2000 },
    "sched_setattr: `SCHED_DEADLINE` requires `deadline`",
  ],
  [
    "process.scheduler",
    { policy: "SCHED_DEADLINE", runtime: 1023, deadline: 2000 },
    "sched_setattr: `SCHED_DEADLINE` runtime 1023 must be between 1024 and 9223372036854775807",
  ],
  [
    "process.scheduler",
    { policy: "SCHED_DEADLINE", runtime: 3000, deadline: 2000 },
    "sched_setattr: `SCHED_DEADLINE` runtime 3000 must be <= deadline 2000",
  ],
  [
    "process.scheduler",
    { policy: "SCHED_DEADLINE", runtime: 2000, deadline: 4000, period: 3000 },
    "sched_setattr: `SCHED_DEADLINE` deadline 4000 must be <= period 3000",
  ],
  ["process.ioPriority.class", "IOPRIO_CLASS_X", 'unknown "IOPRIO_CLASS_X"'],
  ["process.ioPriority.priority", 8, "8 is not a number from 0 to 7"],
  ["process.apparmorProfile", 5, "5 is not a text"],
  ["process.selinuxLabel", {}, "{} is not a text"],
  ["mounts", {}, "{} is not a list"],
  ["mounts[0].destination", undefined, "it is missing"],
  ["mounts[0].destination", "", '"" is not a path'],
  ["mounts[0].options", "ro", '"ro" is not a list'],
  ["mounts[0].source", "a\0", '"a\\u0000" is not a text without NUL bytes'],
  ["mounts[0].uidMappings[0].size", 0, "0 is not a number from 1 to 4294967295"],
  ["hooks", [], "[] is not an object"],
  ["hooks.prestart", {}, "{} is not a list"],
  ["hooks.poststop[0].path", undefined, "it is missing"],
  ["hooks.poststop[0].path", "hook", '"hook" is not an absolute path'],
  ["hooks.poststop[0].timeout", 0, "0 is not a number from 1 to 2147483647"],
  ["hooks.poststop[0].env[0]", "A", '"A" is not a variable: "NAME=value"'],
  ["linux", "x", '"x" is not an object'],
  ["linux.namespaces[0].type", "network2", 'unknown "network2"'],
  ["linux.namespaces[0].path", "ns", '"ns" is not an absolute path'],
  ["linux.namespaces[8]", { type: "pid" }, "the pid namespace is there twice"],
  ["linux.uidMappings[0].hostID", -1, "-1 is not a number from 0 to 4294967294"],
  [
    "linux.uidMappings",
    [{ containerID: 5, hostID: 0, size: 2 ** 32 - 4 }],
    "ids from 5 on: 4294967292 are more than there are",
  ],
  [
    "linux.gidMappings",
    [
      { containerID: 0, hostID: 10, size: 5 },
      { containerID: 5, hostID: 14, size: 5 },
    ],
    "the hostID 14 is mapped twice",
  ],
  ["linux.uidMappings", [], "a new user namespace needs mappings of users and of groups"],
  ["linux.devices[0].path", "dev/x", '"dev/x" is not an absolute path'],
  ["linux.devices[0].type", "d", 'unknown "d"'],
  ["linux.devices[0].major", 4096, "4096 is not a number from 0 to 4095"],
  ["linux.devices[0].minor", -1, "-1 is not a number from 0 to 1048575"],
  ["linux.devices[0].fileMode", "0666", '"0666" is not a number from 0 to 4294967295'],
  ["linux.devices[0].uid", 4294967295, "4294967295 is not a number from 0 to 4294967294"],
  ["linux.netDevices", { "a/b": {} }, ""],
  ["linux.netDevices.eth0.name", "..", '".." is not a name of a network device'],
  ["linux.netDevices.eth0.name", "x".repeat(16), '"xxxxxxxxxxxxxxxx" is not a name of a network device'],
  ["linux.cgroupsPath", 5, "5 is not a text"],
  ["linux.rootfsPropagation", "hidden", 'unknown "hidden"'],
  ["linux.maskedPaths[0]", "proc/kcore", '"proc/kcore" is not an absolute path'],
  ["linux.readonlyPaths", "/proc", '"/proc" is not a list'],
  ["linux.sysctl", { "net.core.somaxconn": 256 }, ""],
  ["linux.sysctl", { "kernel.printk": "1" }, ""],
  ["linux.timeOffsets.monotonic.secs", 0.5, ""],
  ["linux.timeOffsets.monotonic.nanosecs", 1e9, "1000000000 is not a number from 0 to 999999999"],
  ["linux.personality.domain", "BSD", 'unknown "BSD"'],
  ["linux.mountLabel", 1, "1 is not a text"],
  ...["..", ".", "a/b", "/a"].map((closID): [string, unknown, string] => [
    "linux.intelRdt.closID",
    closID,
    `"${closID}" is not a name of a directory`,
  ]),
  ["linux.intelRdt.schemata[0]", "L3:0=f\nMB:0=1", '"L3:0=f\\nMB:0=1" is not a text of one line'],
  ["linux.intelRdt.memBwSchema", "a\nb", '"a\\nb" is not a text of one line'],
  ["linux.memoryPolicy", {}, ""],
  ["linux.memoryPolicy.mode", undefined, "invalid memory policy mode: it is missing"],
  ["linux.memoryPolicy.mode", "INTERLEAVE", 'invalid memory policy mode "INTERLEAVE"'],
  ["linux.memoryPolicy.flags[1]", "badflag", 'invalid memory policy flag "badflag"'],
  ["linux.memoryPolicy", { mode: "MPOL_DEFAULT", nodes: "0-7" }, "memory policy mode requires 0 nodes but got 8"],
  ["linux.memoryPolicy", { mode: "MPOL_BIND" }, "memory policy mode requires at least one node but got 0"],
  ["linux.seccomp.defaultAction", "SCMP_ACT_X", 'unknown "SCMP_ACT_X"'],
  ["linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY", "SCMP_ACT_NOTIFY cannot be used as default action"],
  ["linux.seccomp.defaultAction", undefined, "it is missing"],
  ["linux.seccomp.listenerPath", undefined, "seccomp listenerPath is not set: SCMP_ACT_NOTIFY needs it"],
  ["linux.seccomp.listenerPath", "socket", '"socket" is not an absolute path'],
  ["linux.seccomp.architectures[0]", "x86", 'unknown "x86"'],
  ["linux.seccomp.flags[0]", "LOG", 'unknown "LOG"'],
  ["linux.seccomp.syscalls[0].names", "read", '"read" is not a list'],
  ["linux.seccomp.syscalls[0].action", "ALLOW", 'unknown "ALLOW"'],
  ["linux.seccomp.syscalls[0].errnoRet", -1, "-1 is not a number from 0 to 4294967295"],
  ["linux.seccomp.syscalls[0].args[0].index", 6, "6 is not a number from 0 to 5"],
  ["linux.seccomp.syscalls[0].args[0].value", -1, "-1 is not a number from 0 to 18446744073709551615"],
  ["linux.seccomp.syscalls[0].args[0].op", "==", 'unknown "=="'],
  ["linux.resources", [], "[] is not an object"],
  ["linux.resources.memory.limit", "1g", ""],
  ["linux.resources.memory.disableOOMKiller", 0, "0 is not true or false"],
  ["linux.resources.cpu.shares", 1.5, ""],
  ["linux.resources.cpu.cpus", 3, "3 is not a text"],
  ["linux.resources.cpu.idle", 2, "2 is not a number from 0 to 1"],
  ["linux.resources.devices[0].type", "x", 'unknown "x"'],
  ["linux.resources.devices[0].access", "rwx", '"rwx" is not made of "r", "w" and "m"'],
  ["linux.resources.blockIO.weight", 65536, "65536 is not a number from 0 to 65535"],
  ["linux.resources.rdma", { mlx5_1: { hcaHandles: -1 } }, ""],
  ["linux.resources.network.classID", "x", '"x" is not a number from 0 to 4294967295'],
  ["linux.resources.unified", { "memory.max": 5 }, ""],
];

describe("what is refused", () => {
  test.each(WRONG)("%s: %j", (path, value, why) => {
    const message = messageOf(() => read(change(everything(), path, value)));
    expect(message).toStartWith(`read config.json: ${path}`);
    if (why !== "") expect(message).toBe(`read config.json: ${path}: ${why}`);
  });

  test("a number of any size", () => {
    const text = JSON.stringify(everything()).replace('"uid":1', `"uid":1${"0".repeat(100_000)}`);
    expect(messageOf(() => parseConfig(text))).toMatch(/^read config.json: process.user.uid: .{1,20} is not a number/);
    for (const large of ["18446744073709551616", "1e30", "99999999999999999999999"]) {
      const limits = JSON.stringify(everything()).replace('"hard":1024', `"hard":${large}`);
      expect(messageOf(() => parseConfig(limits))).toContain("process.rlimits[0].hard");
    }
  });

  test.each<[what: string, linux: Json, spec: Json, message: RegExp]>([
    ["a hostname", {}, { hostname: "a" }, /hostname: it needs a UTS namespace/],
    ["a domainname", {}, { domainname: "a" }, /domainname: it needs a UTS namespace/],
    ["masked paths", { maskedPaths: ["/a"] }, {}, /linux.maskedPaths: they need a mount namespace/],
    ["read-only paths", { readonlyPaths: ["/a"] }, {}, /linux.readonlyPaths: they need a mount namespace/],
    [
      "mappings",
      { uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] },
      {},
      /linux.uidMappings: they need a user namespace/,
    ],
    ["time offsets", { timeOffsets: { monotonic: {} } }, {}, /linux.timeOffsets: they need a time namespace/],
    [
      "time offsets of others",
      { timeOffsets: {}, namespaces: [{ type: "time", path: "/proc/1/ns/time" }] },
      {},
      /linux.timeOffsets: the time namespace has its own already/,
    ],
    [
      "a domain name that is set to something else",
      { sysctl: { "kernel.domainname": "a" }, namespaces: [{ type: "uts" }] },
      { domainname: "b" },
      /linux.sysctl\["kernel.domainname"\]: it conflicts with the domainname "b"/,
    ],
    [
      "a host name that has a field",
      { sysctl: { "kernel.hostname": "a" }, namespaces: [{ type: "uts" }] },
      { hostname: "a" },
      /linux.sysctl\["kernel.hostname"\]: it conflicts with the hostname/,
    ],
    ["network devices", { netDevices: { a: {} } }, {}, /linux.netDevices: they need a network namespace/],
    ...(
      [
        ["net.ipv4.ip_forward", "network"],
        ["net/ipv4/conf/eth0.5/forwarding", "network"],
        ["kernel.shmmax", "ipc"],
        ["fs.mqueue.msg_max", "ipc"],
        ["kernel.domainname", "uts"],
        ["user.max_user_namespaces", "user"],
      ] as const
    ).map(([name, type]): [string, Json, Json, RegExp] => [
      `the sysctl ${name}`,
      { sysctl: { [name]: "1" } },
      {},
      new RegExp(`linux.sysctl\\["${name}"\\]: it is the host's without a ${type} namespace`),
    ]),
  ])("%s without the namespace for it", (_, linux, spec, message) => {
    expect(messageOf(() => read({ ...minimal(), ...spec, linux }))).toMatch(message);
  });

  test.each<[text: string, message: string]>([
    ["", "line 1, column 1: the text ends here, before it is whole"],
    ["{ invalid json }", 'line 1, column 3: "i" where a key or "}" should be'],
    ['{"a":1,}', 'line 1, column 8: "}" where a key should be'],
    ['{\n  "a": 1\n  "b": 2}', 'line 3, column 3: "\\"" where a "," or the end should be'],
    ['{"a" 1}', 'line 1, column 6: "1" where ":" should be'],
    ['{"a":[1,]}', 'line 1, column 9: "]" where a value should be'],
    ['{"a":[1}', 'line 1, column 8: "}" where a "," or the end should be'],
    ['{"a":tru}', 'line 1, column 6: "t" where a value should be'],
    ['{"a":01}', 'line 1, column 7: "1" where a "," or the end should be'],
    ['{"a":"x', "line 1, column 6: a text that is malformed, or has no end"],
    ['{"a":"\\x"}', "line 1, column 6: a text that is malformed, or has no end"],
    ['{"a":"\n"}', "line 1, column 6: a text that is malformed, or has no end"],
    ["{} {}", 'line 1, column 4: "{" where the text should end'],
    ["]", 'line 1, column 1: "]" where a value should be'],
    ['{"a":1,\n"a":2}', 'line 2, column 1: the key "a" is there twice'],
    ['{"a":1,"\\u0061":2}', 'line 1, column 8: the key "a" is there twice'],
    ['{"process":{"args":[{"b":1,"c":{"b":2},"b":3}]}}', 'line 1, column 40: the key "b" is there twice'],
    ['{"__proto__":1,"__proto__":2}', 'line 1, column 16: the key "__proto__" is there twice'],
    [`{"a": ${"[".repeat(101)}`, "line 1, column 106: nested too deeply"],
  ])("malformed: %j", (text, message) => {
    expect(messageOf(() => parseConfig(text))).toBe(`read config.json: ${message}`);
  });

  test.each(["null", "[]", "1", '"x"'])("a config that is %s", (text) => {
    expect(messageOf(() => parseConfig(text))).toBe(`read config.json: ${text} is not an object`);
  });

  test("what was made to exhaust, soon", () => {
    const deep = 2_000_000;
    const texts = [
      `{"x":${"[".repeat(deep)}${"]".repeat(deep)}}`,
      `{"x":${'{"a":'.repeat(500_000)}`,
      `{"x": 12345678901234567890,"y":${"[".repeat(deep)}${"]".repeat(deep)}}`,
      `{"x":"${"\\".repeat(4_000_000)}`,
      `{"x":${'"\\",'.repeat(800_000)}}`,
      `{"x":${"1".repeat(4_000_000)}`,
      `{${" ".repeat(4_000_000)}`,
    ];
    const start = performance.now();
    for (const text of texts) expect(messageOf(() => parseConfig(text)).length).toBeLessThan(300);
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe("whatever it is", () => {
  const outcome = (attempt: () => unknown): "read" | "refused" => {
    try {
      attempt();
      return "read";
    } catch (error) {
      if (!(error instanceof TsboxError)) throw error;
      expect(error.code).toBe("invalid_option");
      expect(error.message.length).toBeLessThan(400);
      return "refused";
    }
  };

  test("any text is read or refused", () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void outcome(() => parseConfig(text))));
  });

  test("any value anywhere in a config is read or refused", () => {
    const paths: string[] = [];
    const collect = (value: unknown, path: string): void => {
      if (path !== "") paths.push(path);
      if (typeof value === "object" && value !== null)
        for (const [key, each] of Object.entries(value)) collect(each, path === "" ? key : `${path}\n${key}`);
    };
    collect(everything(), "");
    expect(paths.length).toBeGreaterThan(250);
    const put = (path: string, value: unknown) => {
      const steps = path.split("\n");
      const last = steps.pop() as string;
      const spec = everything();
      (steps.reduce<unknown>((at, step) => (at as Json)[step], spec) as Json)[last] = value;
      return JSON.stringify(spec);
    };
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>(null, "", 0, -1, 2 ** 53, 1e300, true, [], {}, "\0", "/"),
    );
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        fc.constantFrom(...paths),
        value,
        (path, junk) => void seen.add(outcome(() => parseConfig(put(path, junk)))),
      ),
      { numRuns: 1000 },
    );
    expect([...seen].toSorted()).toEqual(["read", "refused"]);
  });

  test("it is JSON exactly where JavaScript says so, but for keys that are there twice", () => {
    const text = fc
      .tuple(fc.json(), fc.nat(), fc.nat({ max: 3 }), fc.string({ maxLength: 2 }))
      .map(([json, at, removed, added]) => {
        const place = at % (json.length + 1);
        return json.slice(0, place) + added + json.slice(place + removed);
      });
    fc.assert(
      fc.property(text, (json) => {
        let valid = true;
        try {
          JSON.parse(json);
        } catch {
          valid = false;
        }
        let message = "";
        try {
          parseConfig(json);
        } catch (error) {
          message = (error as TsboxError).message;
        }
        const malformed = /^read config.json: line \d+, column \d+: /.test(message);
        if (malformed && / is there twice$|nested too deeply$/.test(message)) return;
        expect(malformed).toBe(!valid);
        expect(message).not.toEndWith(": malformed");
      }),
      { numRuns: 2000 },
    );
  });

  test("a key that is there twice is found in any text", () => {
    const indent = fc.constantFrom(undefined, 1, 2, "\t");
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), indent, (object, space) => {
        const text = JSON.stringify({ x: object }, null, space);
        const [key] = Object.keys(object);
        const twice = text.replace(/^(\{\s*"x":\s*\{)/, (open) => `${open}${JSON.stringify(key)}:0,`);
        expect(messageOf(() => parseConfig(twice))).toEndWith("is there twice");
        expect(messageOf(() => parseConfig(text))).not.toContain("twice");
      }),
    );
  });
});

describe("a bundle", () => {
  let directory: string;
  beforeAll(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), "tsbox-test-config-")));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  let made = 0;
  function bundle(config?: string, rootfs = true): string {
    const path = join(directory, `bundle${made++}`);
    mkdirSync(path);
    if (rootfs) mkdirSync(join(path, "rootfs"));
    if (config !== undefined) writeFileSync(join(path, "config.json"), config);
    return path;
  }

  test("is read, also through symlinks", () => {
    const text = JSON.stringify(minimal(), null, 2);
    const path = bundle(text);
    expect(readConfig(path)).toEqual({ ...parseConfig(text, withUsers), text });
    const other = bundle();
    symlinkSync(join(path, "config.json"), join(other, "config.json"));
    const link = join(directory, "link");
    symlinkSync(other, link);
    expect(readConfig(link).text).toBe(text);
  });

  test("without a config.json", () => {
    expect(messageOf(() => readConfig(bundle()))).toEndWith("JSON specification file config.json not found");
    expect(messageOf(() => readConfig(join(directory, "nothing")))).toEndWith("no such directory");
  });

  test("with a config.json that is no plain file, or too long", () => {
    const folder = bundle();
    mkdirSync(join(folder, "config.json"));
    expect(messageOf(() => readConfig(folder))).toEndWith("EISDIR");
    const pipe = bundle();
    expect(Bun.spawnSync(["mkfifo", join(pipe, "config.json")]).exitCode).toBe(0);
    expect(messageOf(() => readConfig(pipe))).toEndWith("EINVAL");
    const device = bundle();
    symlinkSync("/dev/zero", join(device, "config.json"));
    expect(messageOf(() => readConfig(device))).toEndWith("EINVAL");
    expect(messageOf(() => readConfig(bundle(" ".repeat(4 * 1024 * 1024 + 1))))).toEndWith("EFBIG");
  });

  test("with a rootfs that is not there, is no directory, or is reached through a symlink", () => {
    const config = (path: string) => JSON.stringify({ ...minimal(), root: { path } });
    const refused = (path: string) => messageOf(() => readConfig(bundle(config(path), false)));
    expect(refused("rootfs")).toEndWith('/rootfs": invalid rootfs: it is not there');
    expect(refused("config.json")).toEndWith("invalid rootfs: it is no directory");
    const linked = bundle(config("rootfs"), false);
    symlinkSync("/", join(linked, "rootfs"));
    expect(messageOf(() => readConfig(linked))).toEndWith("invalid rootfs: not an absolute path, or a symlink");
    const through = bundle(config("link/rootfs"));
    symlinkSync(".", join(through, "link"));
    expect(messageOf(() => readConfig(through))).toEndWith("invalid rootfs: not an absolute path, or a symlink");
    expect(readConfig(bundle(config("./rootfs/../rootfs"))).spec.root.path).toBe("./rootfs/../rootfs");
  });

  test("with a sysctl of the host's network, whatever it is called", () => {
    const config = (path: string) =>
      JSON.stringify({
        ...minimal(),
        linux: { namespaces: [{ type: "network", path }], sysctl: { "net.ipv4.ip_forward": "1" } },
      });
    expect(messageOf(() => readConfig(bundle(config("/proc/self/ns/net"))))).toEndWith(
      "not allowed in host network namespace",
    );
    expect(readConfig(bundle(config("/proc/self/ns/mnt"))).warnings).toEqual([]);
  });
});
